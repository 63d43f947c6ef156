"""
nginx, Envoy and HAProxy asking lbjwt about each request: the files of examples/beside/, with the addresses and the issuer of the benchmark.

The proxy and lbjwt share one core, and a request costs what both of them use. All connections are kept, to the backend and to lbjwt, but for
``nginx-lbjwt-close``, where nginx opens one for each question.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ruamel.yaml import YAML

from bench.child import BenchError
from bench.peers import envoy, haproxy, nginx
from bench.peers.base import Peer, Setup
from bench.tokens import AUDIENCE, ISSUER
from tests.harness.beside_examples import ADMIN, APPLICATION, EDGE, EXAMPLES, LISTENERS, adapted

# nginx as in the other cases: connections are kept, and files are written in its own directory.
_FOLDERS = "".join(f"\n    {kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
_NGINX = {
    "events {}": "events { worker_connections 16384; }",
    "access_log off;": f"access_log off;\n    keepalive_timeout 600s;\n    keepalive_requests 1000000000;{_FOLDERS}",
    "server 127.0.0.1:9001;": "server 127.0.0.1:9001;\n        keepalive 256;\n        keepalive_requests 1000000000;",
    "proxy_pass http://application;": (
        'proxy_http_version 1.1;\n            proxy_set_header Connection "";\n            proxy_pass http://application;'
    ),
}
_NGINX_CLOSE = {"keepalive 64;": ""}


def _write(setup: Setup, name: str, changes: Mapping[str, str] | None = None) -> Path:
    """
    Write a file of examples/beside/ with the ports of this run; return its path.

    Raises:
        BenchError: What is to be changed is not there, or more than once.
    """
    text = (EXAMPLES / name).read_text()
    for old, new in (changes or {}).items():
        if text.count(old) != 1:
            raise BenchError(f"examples/beside/{name} has {old!r} {text.count(old)} times")
        text = text.replace(old, new)
    ports = {EDGE: setup.port, APPLICATION: setup.backend_port, ADMIN: setup.admin_port}
    path = setup.directory / name
    path.write_text(adapted(text, ports | dict.fromkeys(LISTENERS.values(), setup.asked_port), setup.directory))
    return path


def _nginx(setup: Setup, *, changes: Mapping[str, str]) -> list[str]:
    path = _write(setup, "nginx.conf", changes)
    options = f"daemon off; pid {setup.directory}/nginx.pid; error_log stderr crit;"
    return [nginx.program() or "nginx", "-p", str(setup.directory), "-e", "stderr", "-c", str(path), "-g", options]


def _envoy(setup: Setup, *, file: str) -> list[str]:
    return envoy.command_line(_write(setup, file))


def _haproxy(setup: Setup) -> list[str]:
    _write(setup, "haproxy.spoe")
    limits = setup.directory / "limits.cfg"
    limits.write_text("global\n    nbthread 1\n    maxconn 9000\n")
    folder = str(setup.directory)
    return [
        haproxy.program() or "haproxy",
        "-db",
        "-C",
        folder,
        "-f",
        str(limits),
        "-f",
        str(_write(setup, "haproxy.cfg")),
    ]


def _lbjwt(setup: Setup, *, profile: str) -> list[str]:
    """lbjwt with the one listener that this proxy asks. Its routes, which are those of a shop, are left out."""
    configuration = YAML(typ="safe").load(EXAMPLES / "lbjwt.yaml")
    (listener,) = [one for one in configuration["listeners"] if one["authorize"]["profile"] == profile]
    del configuration["routes"]
    configuration |= {
        "listeners": [listener | {"address": f"127.0.0.1:{setup.asked_port}"}],
        "issuers": {
            "main": {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks_file": str(setup.material.jwks.resolve())}
        },
        "timeouts": {"keep_alive": "600s", "drain": "1s"},
        "workers": 1,
        "admin": {"address": f"127.0.0.1:{setup.admin_port}"},
    }
    path = setup.directory / "lbjwt.yaml"
    path.write_text(json.dumps(configuration, indent=1))  # JSON is YAML
    return [sys.executable, "-m", "lbjwt", "serve", str(path)]


PEERS = tuple(
    Peer(
        name,
        about,
        command,
        module.program,
        module.PEERS[0].version,
        module.PEERS[0].install,
        verifies=True,
        remembers=True,
        asked=partial(_lbjwt, profile=profile),
    )
    for name, about, command, module, profile in (
        ("nginx-lbjwt", "nginx auth_request + lbjwt", partial(_nginx, changes=_NGINX), nginx, "nginx"),
        (
            "nginx-lbjwt-close",
            "nginx auth_request + lbjwt, a connection per question",
            partial(_nginx, changes=_NGINX | _NGINX_CLOSE),
            nginx,
            "nginx",
        ),
        ("haproxy-lbjwt", "HAProxy SPOE + lbjwt", _haproxy, haproxy, "haproxy"),
        ("envoy-lbjwt", "Envoy ext_authz by HTTP + lbjwt", partial(_envoy, file="envoy.yaml"), envoy, "envoy"),
        (
            "envoy-lbjwt-grpc",
            "Envoy ext_authz by gRPC + lbjwt",
            partial(_envoy, file="envoy-grpc.yaml"),
            envoy,
            "envoy-grpc",
        ),
    )
)
