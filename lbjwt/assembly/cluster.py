"""From configuration to the endpoints, and to what listeners accept. Opens nothing and starts nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from lbjwt.assembly.backend_tls import in_use, new_backend_tls, peer_of
from lbjwt.assembly.certificates import Renewals
from lbjwt.auth.identity import WOULD_REFUSE
from lbjwt.config.model import FailLimit
from lbjwt.files import Kept, nothing_kept
from lbjwt.http1._request import RequestPolicy
from lbjwt.observe._offenders import Offenders
from lbjwt.upstream._cluster import Cluster
from lbjwt.upstream._ejection import EjectionRules
from lbjwt.upstream._endpoint import Endpoint, Http2Settings, Protocol
from lbjwt.upstream._pending import PendingQueue
from lbjwt.upstream.balancing.rules import MAX_LOAD, balancing_rule
from lbjwt.upstream.outliers import SuccessRates

if TYPE_CHECKING:
    from lbjwt.config import model
    from lbjwt.net.certificate import BackendTls
    from lbjwt.observe._board import Board

CallSoon = Callable[[Callable[[], object]], object]
CallLater = Callable[[float, Callable[[], object]], object]


class Clusters:
    """
    The clusters of one balancer, over all its configurations. One that left serves the requests that it has, and is forgotten then.

    Args:
        call_soon: Runs a function in the next turn of the event loop.
        call_later: Runs a function after so many seconds.
        kept: As for `new_backend_tls`.
    """

    def __init__(
        self, board: Board, call_soon: CallSoon, call_later: CallLater | None = None, kept: Kept = nothing_kept
    ) -> None:
        self._board = board
        self._kept = kept
        self._call_soon = call_soon
        self._call_later = call_later
        self._in_force: dict[str, Cluster] = {}
        self._configured: Mapping[str, model.Cluster] = {}
        self._leaving: dict[str, Cluster] = {}
        self._success_rates: dict[str, SuccessRates] = {}
        self._tls: dict[str, BackendTls] = {}
        self._renewals = Renewals(board)

    @property
    def all(self) -> list[Cluster]:
        """Those of the configuration, and those whose last requests are under way."""
        return [*self._in_force.values(), *self._leaving.values()]

    def named(self, names: Iterable[str]) -> dict[str, Cluster]:
        """The clusters with these names. Those that are new have no endpoints yet; the others are as they are."""
        known = self._leaving | self._in_force
        return {
            name: known.get(name)
            or Cluster(name, self._board, PendingQueue(self._board, self._call_soon), self._call_later)
            for name in names
        }

    def plan_tls(self, configured: Mapping[str, model.Cluster]) -> dict[str, BackendTls]:
        """As `new_backend_tls`."""
        return new_backend_tls(configured, self._tls, self._kept)

    @property
    def tls_files(self) -> Iterable[BackendTls]:
        """What connections to endpoints use."""
        return self._tls.values()

    def plan_members_tls(self, configured: Mapping[str, model.Cluster]) -> dict[str, BackendTls]:
        """
        TLS for clusters that get their first https endpoint. What the others use stays, whatever their files hold now: a file that cannot be used is
        no reason to keep members that left.

        Raises:
            TLSError: As `new_backend_tls`.
        """
        return new_backend_tls({name: one for name, one in configured.items() if name not in self._tls}, {})

    def look_at_certificates(self) -> None:
        """Use files for TLS to endpoints that were replaced for the next connections."""
        self._renewals.look(self._tls.values(), lambda tls, context: None)

    def close(self) -> None:
        """Read no more files."""
        self._renewals.stop()

    def use(
        self,
        configured: Mapping[str, model.Cluster],
        clusters: Mapping[str, Cluster],
        tls: Mapping[str, BackendTls],
        rows: Mapping[tuple[str, str], int],
    ) -> None:
        """
        Put a configuration into force.

        Args:
            clusters: What `named` made for it.
            tls: What `plan_tls` made for it.
            rows: Where each endpoint is counted, by the name of its cluster and the text of its address.
        """
        self._tls = in_use(tls, self._tls)
        for name, cluster in self._in_force.items():
            if name not in configured:
                cluster.retire()
                self._leaving[name] = cluster
        for name, section in configured.items():
            configure_cluster(clusters[name], section, rows, self._tls.get(name), self._board.affinity_key)
            self._leaving.pop(name, None)
        self._in_force = dict(clusters)
        self._success_rates = {
            name: self._success_rates.get(name) or SuccessRates(cluster) for name, cluster in clusters.items()
        }
        self._configured = configured

    def compare_success_rates(self, now: float) -> None:
        """Have endpoints ejected that fail more often than the others. One process does so for all. now: seconds on the monotonic clock."""
        if self._board.slot == 0:
            for rates in self._success_rates.values():
                rates.look(now)

    def use_members(
        self,
        configured: Mapping[str, model.Cluster],
        tls: Mapping[str, BackendTls],
        rows: Mapping[tuple[str, str], int],
    ) -> None:
        """
        Give clusters that are in force other members. Arguments as for `use`; everything but the endpoints is as it was there.

        Args:
            tls: What `plan_members_tls` made.
        """
        self._tls |= tls
        for name, section in configured.items():
            if section.endpoints != self._configured[name].endpoints:
                configure_cluster(self._in_force[name], section, rows, self._tls.get(name), self._board.affinity_key)
        self._configured = configured

    def forget(self) -> bool:
        """Forget those that left and have nothing under way any more; True when there was one."""
        gone = [name for name, cluster in self._leaving.items() if cluster.is_unused]
        for name in gone:
            del self._leaving[name]
        return bool(gone)


def configure_cluster(
    made: Cluster,
    cluster: model.Cluster,
    rows: Mapping[tuple[str, str], int],
    tls: BackendTls | None = None,
    cookie_key: bytes = b"",
) -> None:
    """
    Give a cluster its endpoints and limits. An endpoint that it has already stays as it is.

    Args:
        rows: As for `Clusters.use`.
        tls: For its https endpoints.
        cookie_key: As for `balancing_rule`.
    """
    balancing = cluster.balancing
    made.configure(
        [
            Endpoint(
                rows[made.name, str(endpoint.address)],
                str(endpoint.address),
                endpoint.address.host,
                endpoint.address.port,
                endpoint.address.path or "",
                endpoint.weight,
                tls=peer_of(tls, endpoint.address),
                backup=endpoint.backup,
                max_connections=endpoint.max_connections or 0,
                protocol=Protocol[cluster.protocol.upper()],
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
        balancing=balancing_rule(
            balancing.method,
            hash_on=balancing.hash_on or "",
            max_load=balancing.max_load or MAX_LOAD,
            cookie=balancing.cookie or "",
            cookie_key=cookie_key,
        ),
        slow_start=cluster.slow_start,
        max_requests=cluster.max_requests or 0,
        ejection=EjectionRules.off() if cluster.ejection is False else cluster.ejection.rules,
        panic_threshold=cluster.panic_threshold,
        retry_budget=cluster.retry_budget,
        http2=Http2Settings(
            max_streams=cluster.http2.max_streams,
            ping_interval=cluster.http2.ping_interval or 0.0,
            ping_timeout=cluster.http2.ping_timeout,
            max_connection_age=cluster.http2.max_connection_age or 0.0,
        ),
    )


def new_policy(configuration: model.Configuration, *, https: bool) -> RequestPolicy:
    """What a listener accepts as a request head, and how it is forwarded."""
    limits = configuration.limits
    return RequestPolicy(
        max_request_line=limits.max_request_line,
        max_head=limits.max_request_head,
        max_fields=limits.max_request_fields,
        header_names=configuration.header_names,
        forwarded_headers=configuration.forwarded_headers,
        # a token location may override the default; then the locations remove what is not forwarded
        forward_token=configuration.forward_token
        or any(
            place.forward and place.name.lower() == "authorization"
            for issuer in configuration.issuers.values()
            for place in issuer.headers
        ),
        allow_websocket=configuration.allow_websocket,
        https=https,
        identity_headers=[*(pair.header for pair in configuration.claim_to_headers), WOULD_REFUSE],
    )


def forwarding_trust(configuration: model.Configuration) -> Callable[[str], bool] | None:
    """Tells whether the forwarding fields of a peer address are believed; None without trusted proxies."""
    networks = configuration.trusted_proxies
    return network_trust(networks) if networks else None


def network_trust(networks: Collection[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> Callable[[str], bool]:
    """Tells whether an address is in one of these networks."""

    @lru_cache(maxsize=4096)  # asked for each request of a proxy when there is an access log
    def trusts(peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return trusts


def new_offenders(configuration: model.Configuration, workers: int) -> Offenders | None:
    """Failures by address, when there is a limit on them or an admin API that shows them."""
    limit = configuration.fail_limit
    if limit is not None:
        return Offenders(workers, limit=limit.failures, window=limit.window)
    if configuration.admin is not None:
        return Offenders(workers, window=FailLimit.model_fields["window"].default)
    return None
