"""
How the file descriptors of a worker are shared: how many it needs, and what it does when the limit of open files is lower.

A client connection is one, and so is a connection to an endpoint. A client that was accepted must be able to reach its endpoint, so when the limit
(RLIMIT_NOFILE) is lower than what the configuration promises, fewer clients are served, until a connection for each of them is left over.
"""

import os
import resource
from dataclasses import dataclass
from typing import Final

from lbjwt.config.model import Configuration
from lbjwt.errors import LbjwtError

SPARE: Final = 64
"""Beside connections: files that are read again, name resolution, the log, connections on their way to being closed."""


class TooFewDescriptors(LbjwtError):
    """The limit of open files leaves none for clients."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Client connections of one worker."""

    clients: int
    """That are served at once."""
    answered: int
    """Up to which a further one is told 503; beyond, it is reset, because telling takes a descriptor, too."""


def needed(configuration: Configuration) -> int:
    """Return how many descriptors a worker may come to need."""
    return SPARE + configuration.limits.max_connections + _pools(configuration)


def shortage(configuration: Configuration, limit: int) -> str:
    """
    Return what a limit of open files is too low for, with all numbers; "" when no client has to give way.

    Args:
        limit: -1 when there is none.
    """
    clients, pools = configuration.limits.max_connections, _pools(configuration)
    room = _shares(clients, pools, limit - SPARE).clients
    if limit == resource.RLIM_INFINITY or room == clients:
        return ""
    return (
        f"a worker may open {limit} files and may need {needed(configuration)}: limits.max_connections is {clients}, connections to "
        f"endpoints {pools}, {SPARE} for the rest. It serves {max(room, 0)} clients at once. "
        "Raise the limit (LimitNOFILE=, ulimit -Hn), or lower max_connections"
    )


def shares(configuration: Configuration, limit: int | None = None, *, connections: int = 0) -> Shares:
    """
    Share the descriptors that this process does not use for anything else.

    Args:
        limit: Of open files; None asks the kernel, -1 is none.
        connections: That are open now, to clients and endpoints.

    Raises:
        TooFewDescriptors: There is none for a client.
    """
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    clients = configuration.limits.max_connections
    if limit == resource.RLIM_INFINITY:
        return Shares(clients, 2 * clients)
    found = _shares(clients, _pools(configuration), limit - SPARE - len(os.listdir("/proc/self/fd")) + connections)
    if found.clients < 1:
        raise TooFewDescriptors(
            f"this process may open {limit} files (RLIMIT_NOFILE), which leaves none for clients; it may need {needed(configuration)}"
        )
    return found


def _pools(configuration: Configuration) -> int:
    return sum(len(cluster.endpoints) * cluster.max_connections for cluster in configuration.clusters.values())


def _shares(clients: int, pools: int, free: int) -> Shares:
    """
    Of `free` descriptors the pools get all they may want, or, when that leaves less than half of the rest to the clients, four ninths for the
    clients, four for their connections to endpoints and one for refusals. Unused connections to endpoints are closed before one is missing.
    """
    most = min(clients, max(free - pools, free * 4 // 9))
    return Shares(most, max(most, min(2 * clients, free - min(most, pools))))
