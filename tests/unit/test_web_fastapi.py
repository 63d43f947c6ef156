"""The FastAPI dependency: typed claims, scopes of endpoints, and refusals, in an application without a server."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security, WebSocket
from pydantic import BaseModel

from lbjwt import Verifier
from lbjwt.errors import ConfigurationError
from lbjwt.fastapi import JWTBearer
from tests.harness.tokens import TokenFactory
from tests.unit.web_calls import call, connect

FACTORY = TokenFactory()
VERIFIER = Verifier.from_jwks(json.dumps(FACTORY.jwks()), issuer=FACTORY.issuer, audiences=[FACTORY.audience])


class User(BaseModel):
    sub: str
    level: int = 0


@dataclass
class Client:
    client_id: str


bearer = JWTBearer(VERIFIER, User, scopes=["api"])
app = FastAPI()


@app.get("/read")
async def read(user: Annotated[User, Security(bearer, scopes=["read"])]) -> User:
    assert type(user) is User
    return user


@app.get("/both")
async def both(
    user: Annotated[User, Security(bearer, scopes=["read"])], other: Annotated[User, Security(bearer, scopes=["write"])]
) -> User:
    return user


@app.get("/client")
def client(client: Annotated[Client, Depends(JWTBearer(VERIFIER, Client))]) -> str:
    return client.client_id


@app.get("/anybody")
async def anybody(claims: Annotated[dict[str, Any] | None, Depends(JWTBearer(VERIFIER, optional=True))]) -> Any:
    return claims and claims["sub"]


@app.websocket("/updates")
async def updates(websocket: WebSocket, user: Annotated[User, Security(bearer, scopes=["read"])]) -> None:
    await websocket.accept()
    await websocket.send_text(user.sub)


def asked(path, **claims):
    headers = [("authorization", f"Bearer {FACTORY.mint('ES256', **claims)}")] if claims else []
    return call(app, path, headers)


@pytest.mark.parametrize(
    ("path", "claims", "status", "challenge"),
    [
        ("/read", {}, 401, ""),
        ("/read", {"scope": "api read", "exp": 1}, 401, ', error="invalid_token"'),
        ("/read", {"scope": "read"}, 403, ', error="insufficient_scope", scope="api read"'),
        ("/read", {"scope": "api"}, 403, ', error="insufficient_scope", scope="api read"'),
        ("/both", {"scope": "api read"}, 403, ', error="insufficient_scope", scope="api write"'),
        ("/read", {"scope": "api read", "level": "high"}, 401, ', error="invalid_token"'),
        ("/client", {"scope": ""}, 401, ', error="invalid_token"'),
        ("/anybody", {"exp": 1}, 401, ', error="invalid_token"'),
    ],
)
def test_a_refusal(path, claims, status, challenge):
    """The statuses and challenges of the balancer, in the JSON of FastAPI. Claims that are not what the program needs are no good token."""
    answered = asked(path, **claims)
    assert (answered.status, answered.header("www-authenticate")) == (status, [f'Bearer realm="lbjwt"{challenge}'])
    assert set(answered.seen) == {"detail"}
    assert answered.header("cache-control") == ["no-store"]


@pytest.mark.parametrize(
    ("path", "claims", "body"),
    [
        ("/read", {"scope": "api read", "level": 3}, {"sub": "alice", "level": 3}),
        ("/both", {"scope": "api read write"}, {"sub": "alice", "level": 0}),
        ("/client", {"client_id": "app"}, "app"),
        ("/anybody", {}, None),
        ("/anybody", {"scope": ""}, "alice"),
    ],
)
def test_an_endpoint_gets_its_claims(path, claims, body):
    """As a model, a dataclass or a dict."""
    answered = asked(path, **claims)
    assert (answered.status, answered.seen) == (200, body)


def test_a_websocket():
    """Refused before it is accepted: with the whole answer, or with the close that a server turns into 403."""
    good = [("authorization", f"Bearer {FACTORY.mint('ES256', scope='api read')}")]
    assert [message["type"] for message in connect(app, good).sent] == ["websocket.accept", "websocket.send"]
    assert connect(app).sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]
    refused = connect(app, extensions={"websocket.http.response": {}})
    assert (refused.status, refused.header("www-authenticate")) == (401, ['Bearer realm="lbjwt"'])


def test_the_openapi_document_names_the_scheme():
    """With it, the interactive documentation asks for a token."""
    document = app.openapi()
    assert document["components"]["securitySchemes"]["JWTBearer"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
    assert document["paths"]["/read"]["get"]["security"] == [{"JWTBearer": ["read"]}]


def test_a_wrong_requirement_is_named_at_once():
    with pytest.raises(ConfigurationError, match="scopes must be a list"):
        JWTBearer(VERIFIER, scopes="read")
