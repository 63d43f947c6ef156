"""A token issuer for the demo: a fresh ES256 key each run, its JWKS over HTTP, and a mint without any login.

Anybody who reaches it gets a token: it is for loopback and for demonstration only. The private key never leaves memory.
"""

import secrets
import time
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey

AUDIENCE = "demo-api"
LIFETIME = 3600.0  # seconds


class Issuer:
    """Mints ES256 access tokens (RFC 7519) and publishes the key that checks them (RFC 7517)."""

    def __init__(self, url: str) -> None:
        """`url`: where the issuer is reached; also the `iss` of its tokens."""
        self.url = url
        self._key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "use": "sig", "alg": "ES256"})

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/.well-known/jwks.json"

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The JWK Set with the public key alone."""
        return {"keys": [self._key.as_dict(private=False)]}

    def mint(self, subject: str, *, audience: str = AUDIENCE, lifetime: float = LIFETIME) -> str:
        """
        Return a signed token.

        Args:
            subject: The `sub` claim.
            audience: The `aud` claim.
            lifetime: Seconds from now until `exp`; negative for a token that has already expired.
        """
        now = int(time.time())
        issued = now + min(0, int(lifetime)) - (1 if lifetime < 0 else 0)
        claims = {"iss": self.url, "sub": subject, "aud": audience, "iat": issued, "exp": now + int(lifetime)}
        return jwt.encode({"alg": "ES256", "kid": self._key.kid}, claims, self._key)

    def application(self) -> web.Application:
        """`GET /.well-known/jwks.json` and `GET /token?sub=NAME`, which answers with the bare token."""
        application = web.Application()
        application.router.add_get("/.well-known/jwks.json", self._answer_jwks)
        application.router.add_get("/token", self._answer_token)
        return application

    async def _answer_jwks(self, request: web.Request) -> web.Response:
        return web.json_response(self.jwks())

    async def _answer_token(self, request: web.Request) -> web.Response:
        return web.Response(text=self.mint(request.query.get("sub", "alice")), headers={"Cache-Control": "no-store"})
