"""A program with one of the configurations in tests/imports/peers, lbjwt with what `lbjwt import` makes of it, and the same requests to both."""

import contextlib
import functools
import http.client
import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from bench.peers import envoy, haproxy, nginx
from lbjwt.config import document
from lbjwt.imports.load import import_file
from tests.harness.ports import free_port
from tests.harness.processes import wait_for_port
from tests.harness.serving import serving
from tests.integration.serve_scene import Serve

SAMPLES = Path(__file__).parents[1] / "imports" / "peers"
NAMES = (
    "none",
    "good",
    "admin",
    "second",
    "web",
    "wrong issuer",
    "wrong audience",
    "expired",
    "no exp",
    "mallory",
    "other key",
    "other algorithm",
    "changed",
    "garbage",
)
GOOD = {"iss": "https://issuer.example", "aud": "api", "sub": "alice"}


class Answer(NamedTuple):
    """What became of a request: its status, and of one that passed the backend, the verified user that the backend was told, and the path it got."""

    status: int
    backend: str = ""
    user: str = ""
    path: str = ""


class Request(NamedTuple):
    method: str
    host: str
    path: str
    token: str  # its name in `tokens`


@functools.cache
def key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid}, private=True)


def mint(kid="one", algorithm="RS256", **changes):
    claims = {**GOOD, "exp": int(time.time()) + 3600, **changes}
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": algorithm, "kid": kid}, present, key(kid), [algorithm])


def tokens() -> dict[str, str]:
    """Tokens by their `NAMES`, which say what is special about them; "" for none."""
    good = mint()
    head, body, signature = good.split(".")
    return {
        "none": "",
        "good": good,
        "admin": mint(role="admin", groups=["staff", "other"], scope="orders:read orders:write", level=5),
        "second": mint(iss="https://second.example", role="admin", level=3),
        "web": mint(aud="web"),
        "wrong issuer": mint(iss="https://third.example"),
        "wrong audience": mint(aud="other"),
        "expired": mint(exp=int(time.time()) - 3600),
        "no exp": mint(exp=None),
        "mallory": mint(sub="mallory", role="user", groups=["other"], scope="orders:read", level=2),
        "other key": mint("two"),
        "other algorithm": mint(algorithm="RS384"),
        "changed": f"{head}.{body}.{signature[:-6]}AAAAAA",
        "garbage": "abc.def",
    }


class _Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name = ""

    def _answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps([self.name, self.headers.get("X-User") or "", self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PUT = _answer

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def backend(name: str) -> Iterator[int]:
    """A server that says its name and the user it was told; yields its port."""
    handler = type("Handler", (_Backend,), {"name": name, "disable_nagle_algorithm": True})
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        yield port


class Pair:
    """A program and the lbjwt that was made of its configuration; `findings` are those of the import."""

    def __init__(self, name: str, folder: Path, backends: dict[str, int]) -> None:
        self.findings: tuple[str, ...] = ()
        self._tokens = tokens()
        self._connections: list[http.client.HTTPConnection] = []
        program = {"nginx": nginx, "haproxy": haproxy, "envoy": envoy}[name].program()
        if program is None:
            pytest.skip(f"{name} is missing")
        sample = next(SAMPLES.glob(f"{name}.*"))
        self._file = folder / sample.name
        self._port = free_port()
        text = sample.read_text()
        for word, value in {"folder": folder, "port": self._port, **backends}.items():
            text = text.replace(f"@{word}@", str(value))
        self._file.write_text(text)
        (folder / "public.pem").write_bytes(key("one").as_pem(private=False))
        (folder / "keys.jwks").write_text(json.dumps({"keys": [key("one").as_dict(private=False)]}))
        self._command = {
            "nginx": [program, "-p", str(folder), "-e", "stderr", "-c", str(self._file)],
            "haproxy": [program, "-db", "-f", str(self._file)],
            "envoy": [program, "-c", str(self._file), "--concurrency", "1", "--disable-hot-restart", "-l", "error"],
        }[name]
        self._kind, self._folder = name, folder

    @contextlib.contextmanager
    def running(self) -> Iterator["Pair"]:
        imported = import_file(self._kind, self._file)
        self.findings = tuple(map(str, imported.findings))
        root, _ = document.read(imported.text)
        assert root is not None
        with contextlib.ExitStack() as stack:
            peer = stack.enter_context(subprocess.Popen(self._command, cwd=self._folder, stdin=subprocess.DEVNULL))
            stack.callback(peer.terminate)
            served = Serve(self._folder, {**root.data, "listeners": [{"address": "127.0.0.1:0"}]})
            stack.callback(served.end)
            stack.callback(served.process.terminate)
            wait_for_port(self._port)
            url = served.url()
            served.wait_for("ready: ")
            for address in (f"127.0.0.1:{self._port}", url.removeprefix("http://")):
                connection = http.client.HTTPConnection(address, timeout=60)
                self._connections.append(stack.enter_context(contextlib.closing(connection)))
            yield self

    def ask(self, request: Request) -> tuple[Answer, Answer]:
        """What the program answers, and what lbjwt does."""
        token = self._tokens[request.token]
        fields = {"Host": request.host, **({"Authorization": f"Bearer {token}"} if token else {})}
        found = []
        for connection in self._connections:
            connection.request(request.method, request.path, None, fields)
            response = connection.getresponse()
            body = response.read()
            found.append(
                Answer(response.status, *json.loads(body)) if response.status == 200 else Answer(response.status)
            )
        return found[0], found[1]


def requests(methods, hosts, paths, names) -> list[Request]:
    return [Request(*one) for one in itertools.product(methods, hosts, paths, names)]
