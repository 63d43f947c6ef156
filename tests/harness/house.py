"""
The scene of the refusals: several issuers with rules of their own, and routes that ask for more than a token.

`Denial` is one request and the answer and reason it must get; the cases are in `deny`. `controls` are requests that must pass, so that a
balancer that refuses everything is not praised for it.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.harness.client import request
from tests.harness.keys import SigningKey, b64, new_key
from tests.harness.ports import free_port
from tests.harness.tokens import AUDIENCE, TokenSource

SKEW = 60  # seconds, of `main`
LIFETIME = 600  # seconds, of tokens here
ANSWERS: dict[str, tuple[int, str]] = {
    "missing": (401, ""),
    "multiple_tokens": (400, "invalid_request"),
    "malformed_credentials": (400, "invalid_request"),
    "insufficient_scope": (403, "insufficient_scope"),
    "claim_refused": (403, "insufficient_scope"),
    "subject_refused": (403, "insufficient_scope"),
    "client_refused": (403, "insufficient_scope"),
    "no_cluster": (403, "insufficient_scope"),
    "rate_limited": (429, ""),
    "keys_unavailable": (503, ""),
}
NO_GOOD = (401, "invalid_token")


@dataclass(frozen=True)
class Denial:
    """One request and what must become of it. An id is put in place of `<id>`."""

    name: str
    reason: str  # as log and metrics name it
    data: bytes
    scopes: str = ""  # of the route
    style: str = "text"  # of the route: text, json, reason, grpc, hidden

    @property
    def status(self) -> int:
        """Before the route's style changes it."""
        return ANSWERS.get(self.reason, NO_GOOD)[0]

    @property
    def told_scopes(self) -> str:
        """What the challenge of 403 names: the scopes of the route and of the issuers that may open it."""
        return f"{self.scopes} base".strip() if self.status == 403 else ""

    @property
    def error(self) -> str:
        """The error code of RFC 6750 section 3.1, "" for none."""
        return ANSWERS.get(self.reason, NO_GOOD)[1]


@dataclass
class House(TokenSource):
    """
    Issuers: `main` (ordinary), `strict` (every rule an issuer can have), `shared` (a secret), `dark` (no keys can be had), `sealed` (encrypted tokens
    only, and a member of the header that must be there).

    Routes: /r (any issuer), /main (only that one), /scoped, /rules, /aud, /optional, /json, /told, /hidden, and /public.
    """

    directory: Path
    issuer: str = "https://main.test"
    audience: str = AUDIENCE
    signers: dict[str, SigningKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.signers = {
            "RS256": new_key("RS256"),
            "ES256": new_key("ES256"),
            "EdDSA": new_key("EdDSA"),
            "gone": new_key("ES256", "gone"),
            "strict": new_key("ES256", "strict"),
            "shared": new_key("HS256", "shared"),
            "dark": new_key("ES256", "dark"),
            "sealed": new_key("ES256", "sealed"),
        }
        self.seal = os.urandom(32)
        self.keys = {name: key.private for name, key in self.signers.items()}
        self.dark_port = free_port()

    def jwks(self) -> dict[str, Any]:
        """Of `main`."""
        return {"keys": [self.signers[name].jwk() for name in ("RS256", "ES256", "EdDSA", "gone")]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims of `main` with changes; `None` leaves one out, `json.loads('null')` cannot be had so."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + LIFETIME, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def mint(self, algorithm: str = "ES256", *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token of `main`."""
        return self.signers[algorithm].token(self.claims(**claims), **(header or {}))

    def strict(self, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token of `strict`, which asks for the whole profile of RFC 9068 and more."""
        claims = self.claims(
            **{
                "iss": "https://strict.test",
                "client_id": "app",
                "jti": "j",
                "scope": "base",
                "tenant": "acme",
                **changes,
            }
        )
        return self.signers["strict"].token(claims, **{"typ": "at+jwt", **(header or {})})

    def shared(self, **changes: Any) -> str:
        """A token of `shared`."""
        return self.signers["shared"].token(self.claims(**{"iss": "https://shared.test", **changes}))

    def dark(self, **changes: Any) -> str:
        """A token of `dark`."""
        return self.signers["dark"].token(self.claims(**{"iss": "https://dark.test", **changes}))

    def inside(self, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A signed token of `sealed`."""
        claims = self.claims(**{"iss": "https://sealed.test", **changes})
        return self.signers["sealed"].token(claims, **{"signer": "balancer", **(header or {})})

    def sealed(self, inside: str, *, key: bytes | None = None, **header: Any) -> str:
        """The same encrypted for lbjwt: `dir` with A256GCM (RFC 7516 section 5.1). key: another one."""
        protected = b64(json.dumps({"alg": "dir", "enc": "A256GCM", "cty": "JWT", **header}).encode())
        iv = os.urandom(12)
        sealed = AESGCM(key or self.seal).encrypt(iv, inside.encode(), protected.encode())
        return f"{protected}..{b64(iv)}.{b64(sealed[:-16])}.{b64(sealed[-16:])}"

    def configuration(self) -> dict[str, Any]:
        """Changes to the balancer's configuration."""
        strict = self.directory / "strict.json"
        strict.write_text(json.dumps({"keys": [self.signers["strict"].jwk()]}), encoding="utf-8")
        secret = self.directory / "shared.secret"
        secret.write_bytes(self.signers["shared"].private)
        secret.chmod(0o600)
        sealed, seal = self.directory / "sealed.json", self.directory / "seal.jwk"
        sealed.write_text(json.dumps({"keys": [self.signers["sealed"].jwk()]}), encoding="utf-8")
        seal.write_text(json.dumps({"kty": "oct", "alg": "dir", "k": b64(self.seal)}), encoding="utf-8")
        seal.chmod(0o600)
        more = {"audiences": [AUDIENCE]}
        revoked = self.directory / "revoked.jsonl"
        revoked.write_text("".join(json.dumps(entry) + "\n" for entry in revocations()), encoding="utf-8")
        return {
            "revocation": {"file": str(revoked)},
            "claim_to_headers": [
                {"claim": "sub", "header": "X-Jwt-Sub"},
                {"claim": "nick", "header": "X-Jwt-Nick", "unrepresentable": "refuse"},
            ],
            "issuers": {
                "main": {"clock_skew": f"{SKEW}s"},
                "strict": {
                    **more,
                    "issuer": "https://strict.test",
                    "jwks_file": str(strict),
                    "access_token_profile": True,
                    "max_lifetime": "1h",
                    "max_age": "30m",
                    "clock_skew": "30s",
                    "subjects": ["alice", "bob"],
                    "clients": ["app"],
                    "required_claims": ["tenant"],
                    "required_scopes": ["base"],
                },
                "shared": {
                    **more,
                    "issuer": "https://shared.test",
                    "secret_file": str(secret),
                    "algorithms": ["HS256"],
                },
                "sealed": {
                    **more,
                    "issuer": "https://sealed.test",
                    "jwks_file": str(sealed),
                    "required_headers": {"signer": "balancer"},
                    "jwe": {"key_files": [str(seal)], "required": True},
                },
                "dark": {
                    **more,
                    "issuer": "https://dark.test",
                    "remote_jwks": {"uri": f"http://127.0.0.1:{self.dark_port}/jwks", "timeout": "1s"},
                },
            },
            "routes": [
                {"name": "any", "prefix": "/r"},
                {"name": "main", "prefix": "/main", "require": {"issuer": "main"}},
                {"name": "scoped", "prefix": "/scoped", "scopes": {"all": ["read"], "any": ["admin", "write"]}},
                {"name": "rules", "prefix": "/rules", "rules": RULES},
                {"name": "aud", "prefix": "/aud", "audiences": ["special"]},
                {"name": "optional", "prefix": "/optional", "allow_missing": True},
                {"name": "json", "prefix": "/json", "refusals": {"format": "json"}},
                {"name": "told", "prefix": "/told", "refusals": {"format": "json", "expose_reason": True}},
                {"name": "hidden", "prefix": "/hidden", "refusals": {"statuses": {"401": 404, "403": 404}}},
                {"name": "public", "prefix": "/public", "public": True},
                {
                    "name": "chosen",
                    "prefix": "/chosen",
                    "cluster": {"claim": "tenant", "clusters": {"acme": "main"}},
                },
            ],
        }


RULES: list[dict[str, Any]] = [
    {"claim": ["realm_access", "roles"], "contains": "admin"},
    {"any": [{"claim": "tier", "equals": "gold"}, {"claim": "level", "at_least": 3}]},
    {"not": {"claim": "banned", "exists": True}},
    {"claim": "https://example.test/region", "one_of": ["eu", "us"]},
    {"claim": "email", "prefix": "a@"},
]
LAWFUL: dict[str, Any] = {
    "realm_access": {"roles": ["user", "admin"]},
    "tier": "gold",
    "https://example.test/region": "eu",
    "email": "a@example.test",
}


def revocations() -> list[dict[str, Any]]:
    """The revoked of this house."""
    now = int(time.time())
    ends = {"expires": now + 3600}
    return [
        {"jti": "revoked-1", **ends},
        {"jti": "revoked-2", "issuer": "https://strict.test", **ends},
        {"sub": "mallory", **ends},
        {"sub": "trent", "issued_before": now - 50, **ends},
        {"kid": "gone", **ends},
        {"issuer": "https://shared.test", "issued_before": now - 5000, **ends},
    ]


def get(token: str | None, target: str = "/r/<id>", **options: Any) -> bytes:
    """One GET."""
    return request(target, token=token, id="<id>", **options)


def controls(house: House) -> dict[str, bytes]:
    """Requests that must pass, one for every issuer and route."""
    return {
        **{f"main {name}": get(house.mint(name)) for name in ("RS256", "ES256", "EdDSA")},
        "strict": get(house.strict()),
        "strict bob": get(house.strict(sub="bob", azp="app")),
        "shared": get(house.shared()),
        "sealed": get(house.sealed(house.inside())),
        "main on main": get(house.mint(), "/main/<id>"),
        "scope": get(house.mint(scope="read write other"), "/scoped/<id>"),
        "scp list": get(house.mint(scp=["read", "admin"]), "/scoped/<id>"),
        "rules": get(house.mint(**LAWFUL), "/rules/<id>"),
        "rules, the other way": get(house.mint(**{**LAWFUL, "tier": "tin", "level": 3}), "/rules/<id>"),
        "audience": get(house.mint(aud=[AUDIENCE, "special"]), "/aud/<id>"),
        "optional with": get(house.mint(), "/optional/<id>"),
        "optional without": get(None, "/optional/<id>"),
        "json": get(house.mint(), "/json/<id>"),
        "told": get(house.mint(), "/told/<id>"),
        "hidden": get(house.mint(), "/hidden/<id>"),
        "public": get(None, "/public/<id>"),
        "public with rubbish": get("rubbish", "/public/<id>"),
        "nick": get(house.mint(nick="al")),
        "revoked-2 of another issuer": get(house.mint(jti="revoked-2")),
        "a new token of trent": get(house.mint(sub="trent")),
        "edge of exp": get(house.mint(exp=int(time.time()) - SKEW + 20)),
        "edge of nbf": get(house.mint(nbf=int(time.time()) + SKEW - 5)),
        "fractions": get(house.mint(exp=time.time() + 100.5, iat=time.time() - 0.5)),
        "other headers": get(house.mint(header={"typ": "JWT", "x5t": "abc", "nonce": "n"})),
        "scheme in capitals": get(None, fields=[f"Authorization: BEARER {house.mint()}"]),
        "two spaces": get(None, fields=[f"Authorization: Bearer  {house.mint()}"]),
    }
