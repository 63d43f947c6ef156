"""From configuration to working parts: the verifier, where its keys come from, and the cluster. Opens nothing and starts nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING

from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verifier import Verifier
from lbjwt.http1._request import RequestPolicy, request_policy
from lbjwt.jose.keyring import KeyRing
from lbjwt.jwks.embedded import RemoteKeySource
from lbjwt.jwks.lifecycle import MAX_STALE, KeyLifecycle
from lbjwt.jwks.origin import KeyOrigin
from lbjwt.jwks.source import FileKeySource, KeySource
from lbjwt.upstream._cluster import Cluster, Endpoint

if TYPE_CHECKING:
    from lbjwt.config import model
    from lbjwt.observe._board import Board

__all__ = ["forwarding_trust", "key_source", "new_cluster", "new_policy", "new_verifier"]


def new_verifier(configuration: model.Configuration) -> Verifier:
    """The verifier of the one issuer, without keys yet."""
    (issuer,) = configuration.issuers.values()
    policy = IssuerPolicy(
        issuer=issuer.issuer,
        audiences=issuer.audiences or None,
        algorithms=issuer.algorithms,
        clock_skew=issuer.clock_skew,
        require_expiration=issuer.require_expiration,
        required_claims=issuer.required_claims,
        max_lifetime=issuer.max_lifetime,
        typ=issuer.typ,
        required_scopes=issuer.required_scopes,
        allow_padding=issuer.allow_padding,
        max_token=configuration.limits.max_token,
    )
    return Verifier(
        None,
        policy,
        identity_headers=[(pair.claim, pair.header) for pair in configuration.claim_to_headers],
        cache_bytes=configuration.token_cache.max_bytes,
        cache_entries=configuration.token_cache.max_entries,
    )


def key_source(configuration: model.Configuration, verifier: Verifier, board: Board) -> KeySource:
    """Where the issuer's keys come from; what it reads is published to the verifier."""
    (issuer,) = configuration.issuers.values()
    algorithms = issuer.algorithms

    def from_jwks(document: bytes) -> KeyRing:
        remote = issuer.remote_jwks
        limits = {"max_keys": remote.max_keys, "max_bytes": remote.max_bytes} if remote else {}
        return KeyRing.from_jwks(document, algorithms=algorithms, **limits)

    def from_pem(document: bytes) -> KeyRing:
        return KeyRing.from_pem(document, algorithms=algorithms)

    def from_secret(document: bytes) -> KeyRing:
        return KeyRing.from_secret(document, algorithms=algorithms or ())

    def on_read(ok: bool) -> None:
        board.add("key_fetches")
        if not ok:
            board.add("key_fetch_failures")

    if issuer.remote_jwks is not None:
        remote = issuer.remote_jwks
        every = remote.refresh_interval
        return RemoteKeySource(
            KeyOrigin(uri=remote.uri, timeout=remote.timeout, max_bytes=remote.max_bytes, allow_http=remote.allow_http),
            KeyLifecycle(interval=every, floor=every, ceiling=every, max_stale=max(MAX_STALE, 2 * every)),
            build=from_jwks,
            publish=verifier.publish,
            on_read=on_read,
            on_keys=board.set_keys,
        )
    for path, build in ((issuer.jwks_file, from_jwks), (issuer.pem_file, from_pem), (issuer.secret_file, from_secret)):
        if path is not None:
            return FileKeySource(path, build=build, publish=verifier.publish, on_read=on_read, on_keys=board.set_keys)
    raise AssertionError("the configuration names exactly one key source")


def new_cluster(cluster: model.Cluster, board: Board) -> Cluster:
    """The endpoints to balance over."""
    endpoints = [
        Endpoint(
            at,
            str(endpoint.address),
            endpoint.address.host,
            endpoint.address.port,
            endpoint.address.path or "",
            endpoint.weight,
        )
        for at, endpoint in enumerate(cluster.endpoints)
    ]
    return Cluster(
        endpoints,
        board,
        response_timeout=cluster.response_timeout,
        idle_timeout=cluster.idle_timeout,
        max_idle=cluster.max_idle_connections,
        max_connections=cluster.max_connections,
        retries=cluster.retries,
    )


def new_policy(configuration: model.Configuration, *, https: bool) -> RequestPolicy:
    """What a listener accepts as a request head and what becomes of it."""
    limits = configuration.limits
    return request_policy(
        max_request_line=limits.max_request_line,
        max_head=limits.max_request_head,
        max_fields=limits.max_request_fields,
        header_names=configuration.header_names,
        forward_token=configuration.forward_token,
        allow_websocket=configuration.allow_websocket,
        https=https,
        identity_headers=[pair.header for pair in configuration.claim_to_headers],
    )


def forwarding_trust(configuration: model.Configuration) -> Callable[[str], bool] | None:
    """Whether the forwarding fields of a peer address are believed; None when nobody's are."""
    networks = configuration.trusted_proxies
    if not networks:
        return None

    def trusts(peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return trusts
