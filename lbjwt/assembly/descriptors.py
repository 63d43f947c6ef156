"""
How the file descriptors of a worker are shared between client connections and connections to endpoints.

A client that was accepted must be able to reach an endpoint. So when the limit of open files (RLIMIT_NOFILE) is lower than the configuration needs,
a worker serves fewer clients.
"""

import os
import resource
from dataclasses import dataclass
from typing import Final

from lbjwt.assembly.discovered import is_discovered
from lbjwt.config.model import Configuration
from lbjwt.errors import LbjwtError
from lbjwt.upstream.discovery import resolver
from lbjwt.upstream.health import prober

SPARE: Final = 64
"""For everything but connections in use: files that are read again, name resolution, the log, connections that are closing."""


class TooFewDescriptors(LbjwtError):
    """The limit of open files leaves none for clients."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Client connections of one worker."""

    clients: int
    """Served at once."""
    answered: int
    """Up to this number, further clients get a 503, which takes a descriptor too; beyond it they are reset."""


def needed(configuration: Configuration) -> int:
    """Return how many descriptors a worker may need."""
    return SPARE + configuration.limits.max_connections + _pools(configuration)


def shortage(configuration: Configuration, limit: int) -> str:
    """Return a warning if a limit of open files (-1: none) leaves fewer clients than `limits.max_connections`, else ""."""
    clients, pools = configuration.limits.max_connections, _pools(configuration)
    room = _shares(clients, pools, limit - SPARE).clients
    if limit == resource.RLIM_INFINITY or room == clients:
        return ""
    return (
        f"a worker can open {limit} files but may need {needed(configuration)}: limits.max_connections is {clients}, connections to "
        f"endpoints {pools}, {SPARE} for the rest. It serves {max(room, 0)} clients at once. "
        "Raise the limit (LimitNOFILE=, ulimit -Hn), or lower max_connections"
    )


def shares(
    configuration: Configuration, limit: int | None = None, *, connections: int = 0, is_alone: bool = False
) -> Shares:
    """
    Share the descriptors that this process does not use yet.

    Args:
        limit: Of open files; None asks the kernel, -1 is none.
        connections: To clients and endpoints, that are open now.
        is_alone: There is no control process: this process checks endpoints and resolves names itself.

    Raises:
        TooFewDescriptors: None is left for clients.
    """
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    clients = configuration.limits.max_connections
    if limit == resource.RLIM_INFINITY:
        return Shares(clients, 2 * clients)
    own = _own(configuration) if is_alone else 0
    used = SPARE + own + len(os.listdir("/proc/self/fd")) - connections
    found = _shares(clients, _pools(configuration), limit - used)
    if found.clients < 1:
        raise TooFewDescriptors(
            f"this process can open only {limit} files (RLIMIT_NOFILE), which leaves none for clients; "
            f"raise the limit to {needed(configuration) + own}"
        )
    return found


def _own(configuration: Configuration) -> int:
    """Descriptors for checks that are under way at the same time, and for queries to name servers: A and AAAA of each name."""
    clusters = configuration.clusters.values()
    checked = sum(len(cluster.endpoints) for cluster in clusters if cluster.health_check is not None)
    return min(prober.AT_ONCE, checked) + (2 * resolver.AT_ONCE if any(map(is_discovered, clusters)) else 0)


def _pools(configuration: Configuration) -> int:
    return sum(
        endpoint.max_connections or cluster.max_connections
        for cluster in configuration.clusters.values()
        for endpoint in cluster.endpoints
    )


def _shares(clients: int, pools: int, free: int) -> Shares:
    """
    Share `free` descriptors: the pools get all they may want, and clients the rest. If the rest is less than four ninths, clients get four ninths,
    their connections to endpoints four, and refusals one. Idle connections to endpoints are closed before a descriptor is missing.
    """
    most = min(clients, max(free - pools, free * 4 // 9))
    return Shares(most, max(most, min(2 * clients, free - min(most, pools))))
