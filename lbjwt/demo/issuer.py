"""A token issuer for the demo, with a new key each run. It gives tokens without any login, so it listens on loopback only."""

import secrets
import time
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey

AUDIENCE = "demo-api"
LIFETIME = 3600  # seconds


class Issuer:
    """Mints ES256 access tokens whose `iss` is the URL of the issuer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "use": "sig", "alg": "ES256"})

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        return {"keys": [self._key.as_dict(private=False)]}

    def mint(self, subject: str, *, audience: str = AUDIENCE, expired: bool = False) -> str:
        """Return a signed token that is valid for an hour, or that expired an hour ago."""
        expires = int(time.time()) + (-LIFETIME if expired else LIFETIME)
        claims = {"iss": self.url, "sub": subject, "aud": audience, "iat": expires - LIFETIME, "exp": expires}
        return jwt.encode({"alg": "ES256", "kid": self._key.kid}, claims, self._key)

    def application(self) -> web.Application:
        """`GET /.well-known/jwks.json` and `GET /token?sub=NAME`, which answers with the bare token."""

        async def answer_jwks(request: web.Request) -> web.Response:
            return web.json_response(self.jwks())

        async def answer_token(request: web.Request) -> web.Response:
            token = self.mint(request.query.get("sub", "alice"))
            return web.Response(text=token, headers={"Cache-Control": "no-store"})

        application = web.Application()
        application.router.add_get("/.well-known/jwks.json", answer_jwks)
        application.router.add_get("/token", answer_token)
        return application
