"""From configuration to the endpoints that are balanced over, and to what listeners accept. Opens nothing and starts nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from lbjwt.config.model import FailLimit
from lbjwt.http1._request import RequestPolicy
from lbjwt.observe._offenders import Offenders
from lbjwt.upstream._cluster import Cluster, Endpoint
from lbjwt.upstream._pending import PendingQueue

if TYPE_CHECKING:
    from lbjwt.config import model
    from lbjwt.observe._board import Board

CallSoon = Callable[[Callable[[], object]], object]


def configure_clusters(
    configured: Mapping[str, model.Cluster],
    known: Mapping[str, Cluster],
    board: Board,
    call_soon: CallSoon,
    rows: Mapping[tuple[str, str], int],
) -> dict[str, Cluster]:
    """
    Return the clusters of a configuration by name, ready for requests.

    Args:
        known: Those of the configuration before; one with a name that stays is configured anew and keeps its endpoints.
        call_soon: Runs a function in the next turn of the event loop.
        rows: Where each endpoint is counted, by the name of its cluster and the text of its address.
    """
    clusters: dict[str, Cluster] = {}
    for name, cluster in configured.items():
        made = known.get(name) or Cluster(name, board, PendingQueue(board, call_soon))
        made.configure(
            [
                Endpoint(
                    rows[name, str(endpoint.address)],
                    str(endpoint.address),
                    endpoint.address.host,
                    endpoint.address.port,
                    endpoint.address.path or "",
                    endpoint.weight,
                )
                for endpoint in cluster.endpoints
            ],
            connect_timeout=cluster.connect_timeout,
            response_timeout=cluster.response_timeout,
            idle_timeout=cluster.idle_timeout,
            max_idle=cluster.max_connections if cluster.max_idle_connections is None else cluster.max_idle_connections,
            max_connections=cluster.max_connections,
            max_pending=cluster.max_pending,
            pending_timeout=cluster.pending_timeout,
            retries=cluster.retries,
        )
        clusters[name] = made
    return clusters


def new_policy(configuration: model.Configuration, *, https: bool) -> RequestPolicy:
    """What a listener accepts as a request head and what becomes of it."""
    limits = configuration.limits
    return RequestPolicy(
        max_request_line=limits.max_request_line,
        max_head=limits.max_request_head,
        max_fields=limits.max_request_fields,
        header_names=configuration.header_names,
        forwarded_headers=configuration.forwarded_headers,
        # what a place says of itself is over the default; the places then take away what is not forwarded
        forward_token=configuration.forward_token
        or any(
            place.forward and place.name.lower() == "authorization"
            for issuer in configuration.issuers.values()
            for place in issuer.headers
        ),
        allow_websocket=configuration.allow_websocket,
        https=https,
        identity_headers=[pair.header for pair in configuration.claim_to_headers],
    )


def forwarding_trust(configuration: model.Configuration) -> Callable[[str], bool] | None:
    """Whether the forwarding fields of a peer address are believed; None when nobody's are."""
    networks = configuration.trusted_proxies
    if not networks:
        return None

    @lru_cache(maxsize=4096)  # asked for each request of a proxy when there is an access log
    def trusts(peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return trusts


def new_offenders(configuration: model.Configuration, workers: int) -> Offenders | None:
    """Failures by address, when there is a limit on them or an admin API to show them at."""
    limit = configuration.fail_limit
    if limit is not None:
        return Offenders(workers, limit=limit.failures, window=limit.window)
    return (
        Offenders(workers, window=FailLimit.model_fields["window"].default) if configuration.admin is not None else None
    )
