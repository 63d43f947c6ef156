"""This project: with its cache of verified tokens, without it, and with two workers."""

from __future__ import annotations

import json
import sys
from functools import partial
from importlib.util import find_spec
from typing import Any

from bench.peers.base import Peer, Setup, first_line_of
from bench.tokens import AUDIENCE, ISSUER


def _program() -> str | None:
    return sys.executable if find_spec("lbjwt") and find_spec("lbjwt.__main__") else None


def _start(setup: Setup, *, cached: bool, workers: int) -> list[str]:
    listener: dict[str, Any] = {"address": f"127.0.0.1:{setup.port}"}
    if setup.tls is not None:
        listener["tls"] = {"certificate": str(setup.tls.certificate), "private_key": str(setup.tls.private_key)}
    configuration = {
        "listeners": [listener],
        "issuers": {
            "main": {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks_file": str(setup.material.jwks.resolve())}
        },
        "clusters": {"main": {"endpoints": [{"address": f"127.0.0.1:{setup.backend_port}"}]}},
        "claim_to_headers": [{"claim": "sub", "header": "X-Jwt-Sub"}],
        # the default of 64 MiB may not hold the whole rotation, and then it would measure eviction
        "token_cache": {"max_bytes": "256MiB"} if cached else {"max_entries": 0},
        "timeouts": {"keep_alive": "600s", "drain": "1s"},
        "workers": workers,
        "admin": {"address": f"127.0.0.1:{setup.admin_port}"},
    }
    path = setup.directory / "lbjwt.yaml"
    path.write_text(json.dumps(configuration, indent=1))  # JSON is YAML
    return [sys.executable, "-m", "lbjwt", "serve", str(path)]


def _version() -> str:
    return first_line_of(sys.executable, "-m", "lbjwt", "--version")


def _variant(name: str, about: str, *, cached: bool = True, workers: int = 1) -> Peer:
    command = partial(_start, cached=cached, workers=workers)
    return Peer(
        name, about, command, _program, _version, "make build", verifies=True, workers=workers, remembers=cached
    )


PEERS = (
    _variant("lbjwt", "lbjwt"),
    _variant("lbjwt-nocache", "lbjwt without cache", cached=False),
    _variant("lbjwt-2w", "lbjwt, two workers", workers=2),
)
