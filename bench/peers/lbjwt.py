"""This project: with its cache of verified tokens, without it, with a whole policy, and with two workers."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from importlib.util import find_spec
from typing import Any

from bench.peers.base import Peer, Setup, first_line_of
from bench.tokens import AUDIENCE, ISSUER


def _program() -> str | None:
    return sys.executable if find_spec("lbjwt") and find_spec("lbjwt.__main__") else None


REVOKED = 100_000
"""Revocations in force beside the policy. None is of a token that is sent: they are looked for and not found."""


def _policy(setup: Setup) -> dict[str, Any]:
    """A route with scopes and three claim rules, three claims as headers, and a long list of revocations."""
    revoked = setup.directory / "revoked.jsonl"
    expires = int(time.time()) + 86_400
    revoked.write_text(
        "".join(f'{{"jti": "revoked-{number:08d}", "expires": {expires}}}\n' for number in range(REVOKED))
    )
    return {
        "routes": [
            {
                "name": "all",
                "prefix": "/",
                "scopes": {"all": ["openid", "orders:read"], "any": ["basket:read", "basket:write"]},
                "rules": [
                    {"claim": "sub", "prefix": "auth0|"},
                    {"claim": "iat", "at_least": 1_000_000_000},
                    {"any": [{"claim": "iss", "equals": ISSUER}, {"claim": "tenant", "one_of": ["a", "b"]}]},
                ],
            }
        ],
        "claim_to_headers": [
            {"claim": "sub", "header": "X-Jwt-Sub"},
            {"claim": "scope", "header": "X-Jwt-Scope"},
            {"claim": "exp", "header": "X-Jwt-Exp"},
        ],
        "revocation": {"file": str(revoked)},
    }


def _start(setup: Setup, *, cached: bool, workers: int, policy: bool) -> list[str]:
    listener: dict[str, Any] = {"address": f"127.0.0.1:{setup.port}"}
    if setup.tls is not None:
        listener["tls"] = {"certificate": str(setup.tls.certificate), "private_key": str(setup.tls.private_key)}
    scheme, trust = "", {}
    if setup.backend_tls is not None:
        scheme, trust = "https://", {"tls": {"ca": str(setup.backend_tls.certificate)}}
    configuration = {
        "listeners": [listener],
        "issuers": {
            "main": {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks_file": str(setup.material.jwks.resolve())}
        },
        "clusters": {
            f"c{number}": {
                "endpoints": [{"address": f"{scheme}{address}"} for address in setup.addresses()],
                **trust,
                **({"health_check": {"path": "/", "interval": "1s"}} if setup.checks else {}),
            }
            for number in range(setup.clusters)
        },
        "claim_to_headers": [{"claim": "sub", "header": "X-Jwt-Sub"}],
        # the default of 64 MiB may not hold the whole rotation, and then it would measure eviction
        "token_cache": {"max_bytes": "256MiB"} if cached else {"max_entries": 0},
        "timeouts": {"keep_alive": "600s", "drain": "1s"},
        "workers": workers,
        "admin": {"address": f"127.0.0.1:{setup.admin_port}"},
    }
    if setup.routes > 1:
        every = [*setup.areas(), ("/", 0)]
        configuration["routes"] = [
            {"name": f"r{at}", "prefix": prefix, "cluster": f"c{number}"} for at, (prefix, number) in enumerate(every)
        ]
    if policy:
        configuration |= _policy(setup)
    path = setup.directory / "lbjwt.yaml"
    path.write_text(json.dumps(configuration, indent=1))  # JSON is YAML
    return [sys.executable, "-m", "lbjwt", "serve", str(path)]


def _version() -> str:
    return first_line_of(sys.executable, "-m", "lbjwt", "--version")


def _variant(name: str, about: str, *, cached: bool = True, workers: int = 1, policy: bool = False) -> Peer:
    command = partial(_start, cached=cached, workers=workers, policy=policy)
    return Peer(
        name, about, command, _program, _version, "make build", verifies=True, workers=workers, remembers=cached
    )


PEERS = (
    _variant("lbjwt", "lbjwt"),
    _variant("lbjwt-nocache", "lbjwt without cache", cached=False),
    _variant("lbjwt-policy", "lbjwt with scopes, rules, three headers and 100,000 revocations", policy=True),
    _variant("lbjwt-2w", "lbjwt, two workers", workers=2),
)
