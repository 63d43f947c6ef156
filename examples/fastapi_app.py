"""
A FastAPI application whose endpoints name the scopes that they need. Run it with an ASGI server:

    ISSUER=https://issuer.example uvicorn examples.fastapi_app:app
"""

import os
from typing import Annotated

from fastapi import FastAPI, Security, WebSocket
from pydantic import BaseModel

from lbjwt import Verifier
from lbjwt.fastapi import JWTBearer


class User(BaseModel):
    """The claims that this application uses."""

    sub: str
    email: str | None = None


verifier = Verifier.discover(os.environ["ISSUER"], audiences=["orders"])
bearer = JWTBearer(verifier, User)
Reader = Annotated[User, Security(bearer, scopes=["orders:read"])]
Writer = Annotated[User, Security(bearer, scopes=["orders:write"])]

app = FastAPI()


@app.get("/orders")
async def orders(user: Reader) -> dict[str, str]:
    return {"orders_of": user.sub}


@app.post("/orders")
async def order(user: Writer) -> dict[str, str]:
    return {"ordered_by": user.sub}


@app.websocket("/updates")
async def updates(websocket: WebSocket, user: Reader) -> None:
    await websocket.accept()
    await websocket.send_json({"updates_for": user.sub})
    await websocket.close()
