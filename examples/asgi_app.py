"""
A Starlette application behind JWTMiddleware. Run it with an ASGI server:

    ISSUER=https://issuer.example uvicorn examples.asgi_app:app
"""

import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from lbjwt import Verifier
from lbjwt.asgi import JWTMiddleware

verifier = Verifier.discover(os.environ["ISSUER"], audiences=["orders"])


async def orders(request: Request) -> JSONResponse:
    return JSONResponse({"orders_of": request.state.claims["sub"]})


async def updates(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"updates_for": websocket.state.claims["sub"]})
    await websocket.close()


async def health(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")


app = Starlette(
    routes=[Route("/orders", orders), WebSocketRoute("/updates", updates), Route("/health", health)],
    middleware=[Middleware(JWTMiddleware, verifier=verifier, public=["/health"])],
)
