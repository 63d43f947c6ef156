"""
`python -m bench.programs`: CPU time per token of the verifier in a program, beside other libraries, and of the ASGI middleware per request, beside
that of Starlette with PyJWT.

Every library verifies signature, times, issuer and audience of the same tokens, in one process, in turn, several rounds; the median counts. Authlib
is left out if it is not installed.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import click
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet
from jwt.algorithms import RSAAlgorithm
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection

from lbjwt import Verifier
from lbjwt.asgi import JWTMiddleware

ISSUER, AUDIENCE, KEY_ID = "https://issuer.bench.example/", "https://api.bench.example", "bench"
KNOWN = 200  # calls per token that is known

Verify = Callable[[str], Any]


def material(count: int) -> tuple[list[str], dict[str, Any]]:
    """Different RS256 tokens of about 600 bytes, and the JWK Set for them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 7200, "scope": "orders:read orders:write"}
    tokens = [
        jwt.encode({**claims, "sub": f"user|{number:016x}"}, key, "RS256", {"kid": KEY_ID}) for number in range(count)
    ]
    jwk = json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": KEY_ID, "alg": "RS256", "use": "sig"}
    return tokens, {"keys": [jwk]}


def libraries(jwks: dict[str, Any]) -> dict[str, Verify]:
    """How a program verifies with each."""
    pyjwt_key = jwt.PyJWK(jwks["keys"][0]).key
    joserfc_keys = KeySet.import_key_set(jwks)
    registry = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}
    )

    def joserfc(token: str) -> Any:
        decoded = joserfc_jwt.decode(token, joserfc_keys, algorithms=["RS256"])
        registry.validate(decoded.claims)
        return decoded.claims

    found: dict[str, Verify] = {
        "lbjwt": lbjwt_verifier(jwks).verify,
        "PyJWT": lambda token: jwt.decode(token, pyjwt_key, ["RS256"], audience=AUDIENCE, issuer=ISSUER),
        "joserfc": joserfc,
    }
    try:
        with warnings.catch_warnings(action="ignore"):  # the module is to move
            from authlib.jose import JsonWebKey, JsonWebToken
    except ImportError:
        return found
    authlib_keys, authlib_jwt = JsonWebKey.import_key_set(jwks), JsonWebToken(["RS256"])
    options = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": AUDIENCE}}

    def authlib(token: str) -> Any:
        claims = authlib_jwt.decode(token, authlib_keys, claims_options=options)
        claims.validate()
        return claims

    return found | {"Authlib": authlib}


def lbjwt_verifier(jwks: dict[str, Any]) -> Verifier:
    return Verifier.from_jwks(json.dumps(jwks), issuer=ISSUER, audiences=[AUDIENCE])


def microseconds(work: Callable[[], Any], count: int) -> float:
    """CPU time of one of `count` pieces of work."""
    begun = time.process_time()
    work()
    return (time.process_time() - begun) / count * 1e6


def each(verify: Verify, tokens: Sequence[str]) -> Callable[[], None]:
    def work() -> None:
        for token in tokens:
            assert verify(token)

    return work


async def application(scope: Any, receive: Any, send: Any) -> None:
    """An application that does nothing."""


def with_starlette(jwks: dict[str, Any]) -> Any:
    """The application behind Starlette's own middleware, whose backend verifies with PyJWT: each request anew."""

    class Backend(AuthenticationBackend):
        async def authenticate(self, connection: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
            scheme, _, token = connection.headers["Authorization"].partition(" ")
            if scheme.lower() != "bearer":
                raise AuthenticationError("no bearer token")
            try:
                claims = jwt.decode(token, key, ["RS256"], audience=AUDIENCE, issuer=ISSUER)
            except jwt.InvalidTokenError as error:
                raise AuthenticationError("invalid token") from error
            return AuthCredentials(claims["scope"].split()), SimpleUser(claims["sub"])

    key = jwt.PyJWK(jwks["keys"][0]).key
    return AuthenticationMiddleware(application, backend=Backend())


def requests(called: Any, token: str, calls: int) -> Callable[[], None]:
    """Requests with the fields of a browser's request."""
    fields = [(f"x-field-{number}".encode(), b"some value of a field") for number in range(10)]
    fields += [(b"host", b"api.example"), (b"accept", b"*/*"), (b"authorization", f"Bearer {token}".encode())]

    async def run() -> None:
        for _ in range(calls):
            scope = {"type": "http", "method": "GET", "path": "/orders", "query_string": b"a=b", "headers": fields}
            await called({**scope, "scheme": "http", "state": {}}, None, None)

    return lambda: asyncio.run(run())


@click.command()
@click.option("--tokens", default=500, show_default=True, type=click.IntRange(10), help="Different ones, per round.")
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
def main(tokens: int, rounds: int) -> None:
    """CPU microseconds per RS256 token of lbjwt.Verifier, PyJWT, joserfc and Authlib, and per request of ASGI middleware."""
    figures: dict[str, list[float]] = {}
    calls = tokens * KNOWN // 10
    for _ in range(rounds):
        minted, jwks = material(tokens)  # of a new key: no cache knows them
        for name, verify in libraries(jwks).items():
            figures.setdefault(f"{name}, first seen", []).append(microseconds(each(verify, minted), tokens))
            repeated = [minted[0]] * (calls if name == "lbjwt" else tokens)
            figures.setdefault(f"{name}, known", []).append(microseconds(each(verify, repeated), len(repeated)))
        bare = microseconds(requests(application, minted[0], calls), calls)
        for name, called, count in (
            ("ASGI middleware, known", JWTMiddleware(application, lbjwt_verifier(jwks)), calls),
            ("Starlette and PyJWT", with_starlette(jwks), tokens),
        ):
            requests(called, minted[0], 1)()  # now the token is known
            spent = microseconds(requests(called, minted[0], count), count)
            figures.setdefault(name, []).append(spent - bare)
    click.echo(f"CPU µs, median of {rounds} rounds (least to greatest), {tokens} tokens of 2048-bit RS256 each")
    for name, values in figures.items():
        click.echo(f"{name:26} {statistics.median(values):8.2f}   ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
