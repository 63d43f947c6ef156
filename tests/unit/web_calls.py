"""Calling an ASGI or a WSGI application without a server, and applications that tell what they were given."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from wsgiref.util import setup_testing_defaults


@dataclass
class Answered:
    """What a client would have got. `sent` has the messages of a WebSocket."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    sent: list[dict[str, Any]] = field(default_factory=list)

    def header(self, name: str) -> list[str]:
        return [value.decode() for key, value in self.headers if key == name.encode()]

    @property
    def seen(self) -> dict[str, Any]:
        """What `telling` saw."""
        return json.loads(self.body)


async def telling(scope, receive, send):
    """An application that answers with what the middleware left in its scope."""
    assert scope["type"] == "http"
    state = scope["state"]
    token = state["verified_token"]
    seen = {"claims": state["claims"], "issuer": None if token is None else token.issuer, "path": scope["path"]}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


def asgi_scope(
    kind: str = "http", path: str = "/", headers: Iterable[tuple[str, str]] = (), **more: Any
) -> dict[str, Any]:
    scope = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "GET",
        "scheme": "http" if kind == "http" else "ws",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"app.test"), *((name.encode(), value.encode("latin-1")) for name, value in headers)],
        "extensions": {},
        **more,
    }
    if kind == "websocket":
        del scope["method"]
    return scope


async def acall(app: Any, scope: dict[str, Any], answered: Answered | None = None) -> Answered:
    """One request or WebSocket handshake. `answered` is filled."""
    answered = Answered() if answered is None else answered

    messages = [{"type": "http.request", "body": b""} if scope["type"] == "http" else {"type": "websocket.connect"}]

    async def receive():
        return messages.pop() if messages else await asyncio.Event().wait()  # the client stays, and says nothing more

    async def send(message):
        answered.sent.append(message)
        if message["type"].endswith("http.response.start"):
            answered.status, answered.headers = message["status"], list(message["headers"])
        elif message["type"].endswith("http.response.body"):
            answered.body += message["body"]

    await app(scope, receive, send)
    return answered


def call(app: Any, path: str = "/", headers: Iterable[tuple[str, str]] = (), **more: Any) -> Answered:
    return asyncio.run(acall(app, asgi_scope("http", path, headers, **more)))


def connect(app: Any, headers: Iterable[tuple[str, str]] = (), **more: Any) -> Answered:
    """A WebSocket handshake for /updates, with what the application sends after it."""
    return asyncio.run(acall(app, asgi_scope("websocket", "/updates", headers, **{"subprotocols": [], **more})))


def call_wsgi(app: Any, path: str = "/", **environ: Any) -> Answered:
    """One request to a WSGI application."""
    answered = Answered()
    given: dict[str, Any] = {}
    setup_testing_defaults(given)
    given |= {"PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", **environ}

    def start_response(status, headers, exc_info=None):
        answered.status = int(status.split()[0])
        answered.headers = [(name.lower().encode(), value.encode()) for name, value in headers]

    answered.body = b"".join(app(given, start_response))
    return answered
