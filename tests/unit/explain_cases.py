"""Configurations, and tokens and requests that are wrong in every way, for the tests of `lbjwt.explain`."""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from lbjwt.config.load import load_text
from lbjwt.config.model import Configuration
from lbjwt.explain.explain import explain
from lbjwt.explain.scene import Asked, set_scene
from tests.unit.auth_tokens import ISSUER, NOW, b64, claims, jwk_of, private_key, rsa_key, token
from tests.unit.encrypted_tokens import encrypt, recipient

OTHER = "https://other.example"
T = int(NOW)


@cache
def jwks() -> dict[str, Any]:
    """Three keys: one of each kind, with key ids."""
    return {
        "keys": [
            jwk_of(private_key("ES256"), kid="k1"),
            jwk_of(rsa_key(), kid="r1", alg="RS256"),
            jwk_of(private_key("EdDSA"), kid="e1"),
        ]
    }


@cache
def several() -> dict[str, Any]:
    """Keys that share an id, have none, or have a certificate as a name; those that sign stand behind others."""
    return {
        "keys": [
            jwk_of(ec.generate_private_key(ec.SECP256R1()), kid="k1"),
            jwk_of(private_key("ES256"), kid="k1"),
            jwk_of(rsa_key(1)),
            jwk_of(rsa_key()),
            jwk_of(private_key("EdDSA"), x5t="named"),
        ]
    }


BASE = """
listeners: [{address: "127.0.0.1:8080"}]
clusters: {main: {endpoints: [{address: "127.0.0.1:9001"}]}}
"""

CONFIGURATIONS = {
    "chosen": f"""{BASE}
issuers: {{main: {{issuer: "{ISSUER}", audiences: [api], jwks: JWKS}}}}
routes: [{{name: all, cluster: {{claim: team, clusters: {{a: main}}}}}}]
""",
    "one": f"""{BASE}
issuers: {{main: {{issuer: "{ISSUER}", audiences: [api], jwks: JWKS}}}}
claim_to_headers: [{{claim: sub, header: X-Sub, unrepresentable: refuse}}, {{claim: groups, header: X-Groups, style: comma}}]
limits: {{max_token: 4KiB, max_token_header: 2KiB}}
""",
    "strict": f"""{BASE}
issuers:
  main:
    issuer: "{ISSUER}"
    audiences: [api, other]
    algorithms: [ES256]
    jwks: JWKS
    clock_skew: 5s
    max_lifetime: 1h
    max_age: 30m
    typ: at+jwt
    required_claims: [team]
    subjects: [user-1]
    clients: [app]
    refuse_sender_constrained: true
    required_scopes: [read]
revocation: {{file: revoked.jsonl}}
""",
    "padded": f"""{BASE}
issuers: {{main: {{issuer: "{ISSUER}", audiences: [api], jwks: JWKS, allow_padding: true}}}}
""",
    "anybody": f"""{BASE}
issuers: {{main: {{any_issuer: true, any_audience: true, jwks: JWKS, require_expiration: false}}}}
fail_limit: {{failures: 5}}
""",
    "tenants": f"""{BASE}
issuers:
  main: {{issuer: "https://login.example/{{tenant}}/v2", tenants: {{names: [a, b]}}, audiences: [api], jwks: JWKS}}
  hex: {{issuer: "https://hex.example/{{tenant}}", tenants: {{kind: hex, max_tenants: 1}}, audiences: [api], jwks: JWKS}}
  plain: {{issuer: "{ISSUER}", audiences: [api], jwks: JWKS, allow_padding: true}}
""",
    "several": f"""{BASE}
issuers: {{main: {{issuer: "{ISSUER}", audiences: [api], jwks: SEVERAL}}}}
""",
    "sealed": f"""{BASE}
issuers:
  main:
    issuer: "{ISSUER}"
    audiences: [api]
    jwks: JWKS
    jwe: {{key_files: [decryption.jwk], required: true}}
    required_headers: {{region: eu}}
    max_remaining: 1h
    subject_prefixes: [user-]
  other: {{issuer: "{OTHER}", audiences: [api], jwks: JWKS}}
""",
    "far": f"""{BASE}
issuers: {{main: {{issuer: "{ISSUER}", audiences: [api], remote_jwks: {{uri: "https://issuer.example/jwks"}}}}}}
""",
    "routes": f"""{BASE}
issuers:
  main: {{issuer: "{ISSUER}", audiences: [api], jwks: JWKS}}
  other:
    issuer: "{OTHER}"
    audiences: [api]
    jwks: JWKS
    from_headers: [{{name: X-Token, scheme: ""}}, {{name: X-Other, scheme: Token, forward: false}}]
    from_cookies: [{{name: session}}]
    from_params: [{{name: access_token}}]
    from_subprotocol: true
claim_to_headers: [{{claim: sub, header: X-Sub, unrepresentable: refuse, issuer: other}}, {{claim: [deep, er], header: X-Deep, issuer: main}}]
forward_token: false
routes:
  - {{name: public, path: /public, public: true}}
  - {{name: maybe, prefix: /maybe, allow_missing: true, audiences: [api, b]}}
  - {{name: trial, prefix: /trial, report_only: true, scopes: {{all: [read]}}, rules: [{{claim: team, equals: a, report_only: true}}]}}
  - name: ruled
    prefix: /ruled
    audiences: [b, api]
    scopes: {{all: [read], any: [write, admin]}}
    rules:
      - {{name: level, claim: level, at_least: 3}}
      - {{claim: team, one_of: [a, b], report_only: true}}
      - {{not: {{claim: blocked, equals: true}}}}
  - {{name: both, prefix: /both, require: {{all_of: [main, other]}}, rules: [{{claim: level, exists: true}}]}}
  - {{name: mine, prefix: /mine, require: {{issuer: main}}}}
  - {{name: get, hosts: ["*.api.example"], path: /only, methods: [GET]}}
  - name: meta
    hosts: [api.example]
    prefix: /meta
    resource: {{identifier: "https://api.example/meta"}}
    refusals: {{format: json, expose_reason: true, statuses: {{403: 404}}}}
  - {{name: page, prefix: /page, refusals: {{redirect: "https://login.example/?back={{url}}"}}}}
""",
}


@cache
def configuration(name: str) -> Configuration:
    """One of the configurations, with inline keys."""
    text = CONFIGURATIONS[name].replace("JWKS", json.dumps(jwks())).replace("SEVERAL", json.dumps(several()))
    return load_text(text, Path("/nowhere"))


@dataclass(frozen=True)
class Case:
    """One request to one configuration."""

    name: str
    asked: Asked
    at: float = NOW


def told(case: Case, directory: Path | None = None) -> dict[str, Any]:
    """The explanation of a case, offline."""
    made = configuration(case.name)
    if case.name == "sealed":
        assert directory is not None
        file = directory / "decryption.jwk"
        file.write_text(json.dumps(recipient("P-256").as_dict(private=True)))
        issuer = made.issuers["main"]
        assert issuer.jwe is not None
        sealed = issuer.model_copy(update={"jwe": issuer.jwe.model_copy(update={"key_files": (file,)})})
        made = made.model_copy(update={"issuers": {**made.issuers, "main": sealed}})
    if made.revocation is not None:
        assert directory is not None
        made = made.model_copy(
            update={"revocation": made.revocation.model_copy(update={"file": directory / "revoked.jsonl"})}
        )
    return answer(made, case.asked, case.at)


def answer(made: Configuration, asked: Asked, now: float = NOW) -> dict[str, Any]:
    """The explanation of one request, offline, as programs read it."""
    return json.loads(json.dumps(explain(asyncio.run(set_scene(made, asked, offline=True, now=now)))))


ALGORITHM = {"k1": "ES256", "r1": "RS256", "e1": "EdDSA"}
CHANGES: list[dict[str, Any]] = [
    {},
    {"iss": None}, {"iss": 5}, {"iss": ISSUER + "/"}, {"iss": OTHER},
    {"iss": "https://login.example/a/v2"}, {"iss": "https://login.example/c/v2"}, {"iss": "https://hex.example/af"}, {"iss": "https://hex.example/g"},
    {"aud": None}, {"aud": "b"}, {"aud": ["b", "api"]}, {"aud": [1]}, {"aud": "web"},
    {"exp": None}, {"exp": T - 1000}, {"exp": "soon"}, {"exp": T + 100_000},
    {"nbf": T + 500}, {"nbf": "x"}, {"iat": T + 500}, {"iat": None}, {"iat": T - 3000, "exp": T + 500},
    {"auth_time": T - 4000}, {"auth_time": "x"}, {"sub": None}, {"sub": 5}, {"sub": "user-2"}, {"sub": "é"}, {"sub": "revoked"},
    {"jti": "gone"}, {"jti": 5}, {"team": "a"}, {"team": "c", "level": 9}, {"team": None},
    {"scope": "read write"}, {"scope": "read"}, {"scp": ["admin"]}, {"scope": 5},
    {"scope": "read admin", "level": 3, "team": "a", "blocked": False}, {"scope": "read admin", "level": "3", "blocked": True},
    {"scope": "read write", "level": 5, "team": "z", "blocked": False}, {"scope": "read write", "level": 5, "blocked": None},
    {"client_id": "app", "azp": "app"}, {"client_id": "web"}, {"cnf": {"jkt": "x"}}, {"groups": ["a", "b"]}, {"groups": {"a": 1}},
    {"groups": {}}, {"groups": "x" * 5000}, {"deep": {"er": [1, "two"]}}, {"deep": 5},
    {"team": "a", "azp": "app", "scope": "read"}, {"team": "a", "azp": "app", "scope": "read", "cnf": {}},
    {"team": "a", "azp": "app", "scope": "write"}, {"team": "a", "azp": "no"}, {"team": "a", "client_id": 5},
    {"team": "a", "azp": "app", "scope": "read", "jti": "gone"}, {"team": "a", "azp": "app", "scope": "read", "iat": T - 1700},
]  # fmt: skip
HEADERS: list[dict[str, Any]] = [
    *[{}] * 20, {"typ": "at+jwt"}, {"typ": "at+jwt"}, {"typ": "application/AT+JWT"},
    {"typ": "logout+jwt"}, {"typ": 5}, {"kid": "nobody"}, {"kid": None}, {"kid": ""}, {"kid": None, "x5t": "named"},
    {"kid": 5}, {"kid": "a\n"}, {"kid": "x" * 300}, {"alg": "none"},
    {"alg": "HS256"}, {"alg": None}, {"alg": "RS512"}, {"crit": ["x"]}, {"b64": False}, {"cty": "JWT"}, {"enc": "A128GCM"}, {"jwk": {"kty": "oct"}},
    {"big": "x" * 2000},
]  # fmt: skip
PATHS = [
    "/", "/public", "/maybe/x", "/trial", "/ruled/a", "/both", "/mine", "/only", "/meta", "/page?x=1", "/ruled/%2e%2e/mine", "/%2fx",
    "/.well-known/oauth-protected-resource/meta", "/nowhere", "/maybe?access_token=zzz",
]  # fmt: skip
EXTRA: list[tuple[tuple[str, str], ...]] = [
    (), (), (), (), (),
    (("Authorization", "Bearer other"),), (("Authorization", "Bearer"),), (("Authorization", "Basic eA=="),), (("Cookie", "session=abc"),),
    (("Cookie", "session=a; session=b"),), (("X-Token", "abc"),), (("Connection", "x-token"), ("X-Token", "abc")), (("Accept", "text/html"),),
    (("Content-Type", "application/grpc"),), (("Sec-WebSocket-Protocol", "bearer"),), (("Host", "b"),), (("Bad Name", "x"),),
]  # fmt: skip


SPOILS = 17  # ways to spoil a token


def spoilt(text: bytes, way: int) -> str:
    """The token, spoilt in one of the ways; as it is for every other number."""
    header, payload, signature = text.split(b".")
    padded = payload + b"=" * (-len(payload) % 4)
    made = {
        0: text + b"=",
        1: header + b"=." + padded + b"." + signature + b"==",
        2: text + b"." + header,
        3: header + b"." + payload,
        4: text[:-4] + (b"AAAA" if not text.endswith(b"AAAA") else b"BBBB"),
        5: header + b"." + payload + b"." + signature[:-5],
        6: header + b"." + payload[:-1] + b"!." + signature,
        7: b"a b" + text,
        8: "é".encode() + text,
        9: header + b"." + b64(b'{"iss":"x","iss":"y"}').encode() + b"." + signature,
        10: header + b"." + b64(b"[]").encode() + b"." + signature,
        11: b64(b"[]").encode() + b"." + payload + b"." + signature,
        12: b"x" * 5000,
        13: header + b".." + signature,
        14: header + b"." + payload + b"." + signature[:-1] + b"_",
        15: b"e30.e30.",
        16: header + b"." + padded + b"." + signature,
    }.get(way, text)
    return made.decode()


GOOD: dict[str, dict[str, Any]] = {"chosen": {"team": "a"}, "strict": {"team": "a", "azp": "app", "scope": "read"}}
"""What a token needs beyond the usual claims to be good enough for a configuration."""


def one_at_a_time() -> Iterator[Case]:
    """A good token with one claim changed, for every change and every configuration with rules of its own."""
    for name in sorted(CONFIGURATIONS.keys() - {"padded", "several", "far"}):
        for change in CHANGES:
            said = claims(**GOOD.get(name, {})) | change
            text = token(_without_none(said), algorithm="ES256", header=_header(name, "k1"))
            yield Case(name, Asked(text.decode(), path="/ruled/a" if name == "routes" else "/", host="x.example"))


def spoilt_ones() -> Iterator[Case]:
    """A token of every issuer of every configuration, spoilt in every way."""
    further = {"routes": OTHER, "tenants": "https://login.example/a/v2"}
    for name in CONFIGURATIONS:
        for issuer in filter(None, (ISSUER, further.get(name))):
            text = token(claims(**GOOD.get(name, {}), iss=issuer), algorithm="ES256", header=_header(name, "k1"))
            for way in range(SPOILS):
                yield Case(name, Asked(spoilt(text, way), path="/mine" if name == "routes" else "/"))


def encrypted_ones() -> Iterator[Case]:
    """A token inside another one, good and wrong in the ways that have to do with encryption."""
    key, header = recipient("P-256"), {"alg": "ES256", "kid": "k1", "region": "eu"}
    for inside, to, options in (
        (token(claims(), algorithm="ES256", header=header), key, {}),
        (token(claims(), algorithm="ES256", header=header), key, {"zip": "DEF"}),
        (token(claims(), algorithm="ES256", header=header), key, {"kid": "other"}),
        (token(claims(), algorithm="ES256", header=header), recipient("P-256", 1), {}),
        (token(claims(sub="x"), algorithm="ES256", header=header), key, {}),
        (token(claims(exp=T + 10_000), algorithm="ES256", header=header), key, {}),
        (token(claims(iss=OTHER), algorithm="ES256", header=header), key, {}),
        (token(claims(), algorithm="ES256", kid="k1"), key, {}),
        (b'{"sub":"x"}', key, {}),
    ):
        yield Case("sealed", Asked(encrypt(inside, to, "ECDH-ES", **options).decode()))


def elsewhere() -> Iterator[Case]:
    """Tokens of both issuers in every place of both, wherever they are looked for or not."""
    for issuer in (ISSUER, OTHER):
        text = token(claims(iss=issuer), algorithm="ES256", kid="k1").decode()
        for path in ("/maybe", "/mine", "/both", "/trial"):
            places = [
                ("Authorization", f"Bearer {text}"),
                ("X-Token", text),
                ("X-Other", f"Token {text}"),
                ("Cookie", f"session={text}"),
                ("Sec-WebSocket-Protocol", f"bearer, {text}"),
            ]
            for place in places:
                yield Case("routes", Asked("", path=path, headers=(place,)))
            yield Case("routes", Asked("", path=f"{path}?access_token={text}"))
            yield Case("routes", Asked(text, path=path, headers=(places[0], places[1])))
            yield Case("routes", Asked(text, path=path, headers=(places[1], places[3])))


def at_random(count: int, seed: int) -> Iterator[Case]:
    """Claims, header, text, request and time changed; the same cases for the same seed."""
    chance = random.Random(seed)
    names = [*CONFIGURATIONS, "routes", "routes", "strict"]
    for _ in range(count):
        name = chance.choice(names)
        kid = chance.choice(["k1", "k1", "r1", "e1"])
        header = _header(name, kid) | chance.choice(HEADERS)
        said = claims(**({"iss": OTHER} if name == "routes" and chance.random() < 0.4 else {}))
        if chance.random() < 0.8:
            said |= GOOD.get(name, {})
        for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
            said |= chance.choice(CHANGES)
        text = token(_without_none(said), algorithm=ALGORITHM[kid], header=_without_none(header))
        asked = Asked(
            "" if chance.random() < 0.04 else spoilt(text, chance.randrange(80)),
            chance.choice(["GET", "GET", "GET", "POST"]),
            chance.choice(PATHS) if name == "routes" else "/",
            chance.choice(["api.example", "x.api.example:80", "localhost"]),
            chance.choice(EXTRA) if chance.random() < 0.3 else (),
        )
        yield Case(name, asked, NOW + chance.choice([0, 0, 0, 61, -700, 1_000]))


def _header(name: str, kid: str) -> dict[str, Any]:
    return {"alg": ALGORITHM[kid], "typ": "at+jwt" if name == "strict" else "JWT", "kid": kid}


def _without_none(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
