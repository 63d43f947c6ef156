"""
Where a trial takes place, all of it on loopback: a backend that tells what it received, an issuer with its keys, a program in front, one request.

Tokens are minted with PyJWT. Nothing here knows a program.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from bench.child import running
from bench.layout import own_cores
from tests.harness.ports import free_port

ISSUER, OTHER, AUDIENCE = "https://issuer.example", "https://other.example", "api"
STREAM_SECONDS = 5.0  # of a response that a token may expire in
WAIT = 10.0  # seconds for one answer; nothing here takes longer


@dataclass(frozen=True)
class Trial:
    """
    One situation of one program.

    Attributes:
        row: The row of the table in docs/comparison.md that it is about; "" for another claim.
        situation: What is configured and sent.
        expected: What was observed when the page was written.
        run: Tries it and says what is observed.
    """

    row: str
    situation: str
    expected: str
    run: Callable[[Scene], str]


@dataclass(frozen=True)
class Answer:
    """Status, the fields that the backend received (names as they came), and how long the response went on, in seconds."""

    status: int
    received: tuple[tuple[str, str], ...] | None
    seconds: float

    def copies(self, *names: str) -> str:
        """The values that the backend received under these names, or "none"."""
        return ", ".join(value for name, value in self.received or () if name.lower() in names) or "none"


class Key:
    """One RSA key of an issuer."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def jwk(self) -> dict[str, Any]:
        return {
            **RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True),
            "kid": self.kid,
            "alg": "RS256",
            "use": "sig",
        }

    @property
    def pem(self) -> bytes:
        kinds = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(*kinds)

    def mint(self, **changes: Any) -> str:
        """A good token with these claims changed; None leaves one out."""
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 600, **changes}
        present = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(present, self.private, algorithm="RS256", headers={"kid": self.kid})


def unsigned() -> str:
    """A token of the algorithm "none"."""
    parts = (
        {"alg": "none", "kid": "one"},
        {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 600},
    )
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A program that ends resets what it keeps open: no news."""


class Scene:
    """
    Attributes:
        jwks: What the issuer publishes at `/jwks`; None: it answers 500.
        fetches: How often it was asked.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key, self.other = Key("one"), Key("two")
        self.fetches = 0
        self.jwks: dict[str, Any] | None = self.key_set(self.key)
        scene = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/jwks":
                    scene.fetches += 1
                    document = scene.jwks
                    self._answer(500 if document is None else 200, json.dumps(document).encode())
                elif self.path == "/.well-known/openid-configuration":
                    scene.fetches += 1
                    self._answer(200, json.dumps({"issuer": ISSUER, "jwks_uri": f"{scene.url}/jwks"}).encode())
                elif self.path == "/stream":
                    self._stream()
                else:
                    self._answer(200, json.dumps(list(self.headers.items())).encode())

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _stream(self) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                with suppress(OSError):
                    for _ in range(int(STREAM_SECONDS * 10)):
                        self.wfile.write(b"1\r\nx\r\n")
                        self.wfile.flush()
                        time.sleep(0.1)
                    self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.backend_port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Of backend and issuer."""
        return f"http://127.0.0.1:{self.backend_port}"

    @cached_property
    def token(self) -> str:
        """A good one."""
        return self.key.mint()

    @staticmethod
    def key_set(*keys: Key) -> dict[str, Any]:
        """A JWK Set."""
        return {"keys": [key.jwk for key in keys]}

    def reset(self) -> None:
        """As before the first trial."""
        self.fetches, self.jwks = 0, self.key_set(self.key)

    def file(self, name: str, content: bytes) -> Path:
        """A file for a configuration to name."""
        path = self.directory / name
        path.write_bytes(content)
        return path

    @contextmanager
    def program(self, name: str, command: Callable[[int], list[str]]) -> Iterator[Program]:
        """Start a program that listens on the port it is told, and end it."""
        port = free_port()
        with running(name, command(port), port=port, cores=tuple(own_cores()), directory=self.directory):
            yield Program(port)

    def __enter__(self) -> Scene:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass(frozen=True)
class Program:
    """A program that runs."""

    port: int

    def ask(self, token: str | None = None, *fields: str, path: str = "/", port: int = 0) -> Answer:
        """One request over a connection of its own."""
        lines = [f"GET {path} HTTP/1.1", "Host: api.example", "Connection: close", *fields]
        lines += [] if token is None else [f"Authorization: Bearer {token}"]
        start = time.monotonic()
        received = b""
        with (
            socket.create_connection(("127.0.0.1", port or self.port), timeout=WAIT) as sock,
            suppress(ConnectionResetError),
        ):
            sock.sendall("\r\n".join([*lines, "", ""]).encode())
            while piece := sock.recv(65536):
                received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        pairs = None
        if b"[[" in body:  # whole, or a chunk of it
            pairs = tuple((name, value) for name, value in json.loads(body[body.index(b"[[") : body.rindex(b"]]") + 2]))
        return Answer(int(head.split()[1]) if head else 0, pairs, time.monotonic() - start)

    def text(self, path: str, port: int) -> str:
        """The body of a page, such as that of an admin port."""
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: sock.recv(65536), b"")).partition(b"\r\n\r\n")[2].decode()


def streamed(answer: Answer) -> str:
    """What became of a stream whose token expired after 2 s."""
    return "goes on to its end" if answer.seconds > STREAM_SECONDS - 1 else f"ends after {answer.seconds:.0f} s"
