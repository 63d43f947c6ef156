"""nginx, the open one. `auth_jwt` is NGINX Plus, which is sold: nobody here could start it, and its column in docs/comparison.md was read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bench.compared import http2
from bench.compared.scene import Program, Scene, Trial
from bench.peers.nginx import CONFIGURATION, PEERS, UPSTREAM, program
from tests.harness.ports import free_port

ABOUT = PEERS[0]
_FIELDS = {
    "Authorization": "Bearer x",
    "Host": "api.example",
    "Content-Length": "0",
    "Transfer-Encoding": "chunked",
    "Expect": "100-continue",
    "If-Match": "*",
    "If-None-Match": "*",
    "If-Modified-Since": "Sat, 28 Nov 2026 00:00:00 GMT",
    "If-Unmodified-Since": "Sat, 28 Nov 2026 00:00:00 GMT",
    "If-Range": "x",
    "Range": "bytes=0-1",
    "Cookie": "a=b",
    "X-Any": "x",
}


def _write(scene: Scene, port: int, line: str = "") -> list[str]:
    backend = f"        server 127.0.0.1:{scene.backend_port};"
    text = CONFIGURATION.format(
        directory=scene.directory,
        upstreams=UPSTREAM.format(number=0, rule="", servers=backend, kept=16),
        locations="        location / { proxy_pass http://c0; }",
        port=port,
        ssl="",
        certificate=line,
        trust="",
    )
    path = scene.file("nginx.conf", text.encode())
    return [program() or "nginx", "-p", str(scene.directory), "-e", "stderr", "-c", str(path)]


@contextmanager
def _nginx(scene: Scene) -> Iterator[Program]:
    with scene.program("nginx", lambda port: _write(scene, port)) as running:
        yield running


def _auth_jwt(scene: Scene) -> str:
    command = [*_write(scene, free_port(), "auth_jwt api;"), "-t"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return "unknown directive" if 'unknown directive "auth_jwt"' in done.stderr else f"ends with {done.returncode}"


def _to_backends(scene: Scene) -> str:
    command = [*_write(scene, free_port(), "proxy_http_version 2;"), "-t"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return "invalid value" if "invalid value" in done.stderr else f"ends with {done.returncode}"


def _underscore(scene: Scene) -> str:
    with _nginx(scene) as running:
        return f"the backend received: {running.ask(None, 'X_Jwt_Sub: forged').copies('x_jwt_sub', 'x-jwt-sub')}"


def _twice(scene: Scene) -> str:
    with _nginx(scene) as running:
        statuses = {name: running.ask(None, *[f"{name}: {value}"] * 2).status for name, value in _FIELDS.items()}
    passed = ", ".join(name for name, status in statuses.items() if status == 200)
    return f"passes for {passed}; {' and '.join(map(str, {*statuses.values()} - {200}))} for the others"


TRIALS = (
    Trial("", "auth_jwt in the configuration", "unknown directive", _auth_jwt),
    Trial(
        "",
        "listen with ssl, then with http2 too",
        "200 over HTTP/1.1; 200 over HTTP/2",
        partial(http2.spoken, peer=ABOUT, file="nginx.conf", offer=" http2", to_backend=False),
    ),
    Trial("", "proxy_http_version 2", "invalid value", _to_backends),
    Trial("", "X_Jwt_Sub: forged", "the backend received: none", _underscore),
    Trial(
        "",
        "a field that comes twice",
        "passes for Range, Cookie, X-Any; 400 for the others",
        _twice,
    ),
)
