"""
Tokens in ASGI applications: Starlette, FastAPI, Litestar, Django, Quart.

Source: the ASGI specification, HTTP & WebSocket 2.4, and its extension WebSocket Denial Response; RFC 6750 sections 2 and 3.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Unpack

from lbjwt.web._open_response import OpenResponse
from lbjwt.web.open_streams import POLICY_VIOLATION, OpenSocket, OpenStreams
from lbjwt.web.protection import Protection, Requirements, Response, response_of

if TYPE_CHECKING:
    from lbjwt.verifier import Verifier
    from lbjwt.web._reader import Decision

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

CLAIMS = "claims"
VERIFIED_TOKEN = "verified_token"  # noqa: S105 - the name of a key


class JWTMiddleware:
    """
    Lets requests and WebSockets through that have a good token, and answers the others as the balancer does.

    The application finds in `scope["state"]` (in Starlette and FastAPI `request.state`) `claims`, a dict of its own, and `verified_token`, the
    `Grant` with issuer and times. Both are None for a request without a token on a public path or with `optional`; what was there before is replaced.

    A refused WebSocket gets the response of a refused request if the server has the extension `websocket.http.response`; otherwise the server
    answers 403. An open one is closed with 1008 within about a second after its token expires or is revoked.

    A response that is sent in parts, such as server-sent events, ends then, too: the task of the application is cancelled. A stream of events
    ends as a whole, any other response is broken off with an OSError for the server. `end_streams=False` lets both go on.

    A token with an unknown key waits for the fetch of the keys. The start of the application waits for the first keys, a few seconds at most.

    Args:
        app: The application.
        verifier: Verifies the tokens.
        requirements: The arguments of `lbjwt.web.protection.Protection`: `scopes`, `any_scope`, `audiences`, `rules`, `optional`, `public`,
            `public_prefixes`, `from_headers`, `from_cookies`, `from_params`, `from_subprotocol`, `end_streams`, `realm`, `json`,
            `expose_reason`.

    Raises:
        ConfigurationError: An invalid requirement.
    """

    def __init__(self, app: Application, verifier: Verifier, **requirements: Unpack[Requirements]) -> None:
        self.app = app
        self._verifier = verifier
        self._protection = Protection(verifier, **requirements)
        self._streams = OpenStreams(verifier)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            if kind != "lifespan":  # nothing lets a connection of an unknown kind through without a token
                raise ValueError(f"unknown type of ASGI scope: {kind!r}")
            await self._verifier.aready()
            await self.app(scope, receive, send)
            return
        decision = self._protection.decide_scope(scope)
        if decision.waits_for >= 0:
            decision = await decide_again(self._protection, decision, scope)
        if decision.status:
            answer = _refuse_request if kind == "http" else _refuse_websocket
            await answer(response_of(decision), scope, receive, send)
            return
        grant = decision.grant
        state = scope.setdefault("state", {})
        state[CLAIMS] = decision.claims
        state[VERIFIED_TOKEN] = grant
        if decision.token_in_query and kind == "http":
            send = _privately(send)
        if kind == "websocket" and decision.subprotocols is not None:
            scope["subprotocols"] = decision.subprotocols
            send = _as_bearer(send) if decision.names_bearer else send
        if grant is None or decision.grace < 0:
            await self.app(scope, receive, send)
        elif kind == "websocket":
            socket = OpenSocket(receive, send, grant, decision.grace)
            with self._streams.entered(socket):
                await self.app(scope, socket.receive, socket.send)
        else:
            response = OpenResponse(send, grant, decision.grace, self._streams)
            try:
                await self.app(scope, receive, response.send)
            except (asyncio.CancelledError, OSError):
                if not response.is_ended:
                    raise
            finally:
                ended = response.leave()
            if ended:
                await response.finish()


async def decide_again(protection: Protection, decision: Decision, scope: Scope) -> Decision:
    """Decide once more when the keys that the first decision lacked have been fetched; of several tokens, those of each issuer once."""
    verifier = protection.verifier
    asked: set[int] = set()
    while decision.waits_for >= 0 and decision.waits_for not in asked:
        asked.add(decision.waits_for)
        coming = verifier.request_keys(decision.waits_for)
        if coming is None:
            break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(verifier.max_wait):
                await asyncio.wrap_future(coming)
        decision = protection.decide_scope(scope)
    return decision


async def _refuse_request(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    await _respond("http.response", response, scope, send)


async def _refuse_websocket(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if (await receive())["type"] != "websocket.connect":
        return
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await _respond("websocket.http.response", response, scope, send)
    else:
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})


async def _respond(prefix: str, response: Response, scope: Scope, send: Send) -> None:
    body = b"" if scope.get("method") == "HEAD" else response.body
    await send({"type": f"{prefix}.start", "status": response.status, "headers": list(response.headers)})
    await send({"type": f"{prefix}.body", "body": body})


def _privately(send: Send) -> Send:
    """Keep shared caches from a response whose URL has a token (RFC 6750 section 2.3)."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"cache-control", b"private")]}
        await send(message)

    return wrapped


def _as_bearer(send: Send) -> Send:
    """A browser that offered subprotocols fails a handshake that picks none: the token came behind `bearer`."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": "bearer"}
        await send(message)

    return wrapped
