"""Refusals for what a good signature vouches for: claims, whose they are, and what issuers and routes ask for besides. See `house`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from tests.harness.house import LAWFUL, SKEW, Denial, House, get
from tests.harness.keys import SigningKey, new_key
from tests.harness.tokens import AUDIENCE


def claims(house: House) -> Iterator[Denial]:
    """RFC 7519 section 4.1 and RFC 8725 sections 3.8 and 3.9, by the issuer with the ordinary rules."""
    now = int(time.time())

    def claim(name: str, reason: str, **changes: Any) -> Denial:
        return Denial(f"claims: {name}", reason, get(house.mint(**changes)))

    def raw(name: str, reason: str, member: str) -> Denial:
        """A member as JSON text, in place of the claim of that name or beside the others."""
        key = json.loads("{" + member + "}").popitem()[0]
        body = json.dumps(house.claims(**{key: None}))
        text = house.signers["ES256"].sealed(
            b'{"alg":"ES256","kid":"ES256"}', (body[:-1] + "," + member + "}").encode()
        )
        return Denial(f"claims: {name}", reason, get(text))

    for seconds in (1, 2, 10, 3600, 10**6):
        yield claim(f"expired {seconds} s and the skew ago", "expired", exp=now - SKEW - seconds)
    yield claim("expired in 1970", "expired", exp=0)
    yield claim("expired, a fraction", "expired", exp=now - SKEW - 0.5)
    yield claim("no exp", "missing_claim", exp=None)
    for seconds in (300, 3600, 10**6):
        yield claim(f"not before {seconds} s from the skew on", "not_yet_valid", nbf=now + SKEW + seconds)
        yield claim(
            f"issued {seconds} s beyond the skew", "issued_in_future", iat=now + SKEW + seconds, exp=now + 10**7
        )
    forms = (
        '"1999999999"',
        "true",
        "false",
        "null",
        "[]",
        "{}",
        "[1999999999]",
        "-1",
        "1e17",
        "9007199254740994",
        '""',
        "-0.5",
    )
    for name in ("exp", "nbf", "iat"):
        for form in forms:
            yield raw(f"{name} {form}", "invalid_claim", f'"{name}": {form}')
    for name in ("sub", "jti"):
        for form in ("1", "true", "[]", "{}", '["alice"]', "1.5"):
            yield raw(f"{name} {form}", "invalid_claim", f'"{name}": {form}')
    yield claim("no aud", "missing_claim", aud=None)
    for aud in (
        "",
        "ap",
        "api2",
        "API",
        " api",
        "api ",
        "api,other",
        "https://api",
        "a.p.i",
        [],
        ["other"],
        ["ap", "i"],
        ["API"],
    ):
        yield claim(f"aud {aud!r}", "wrong_audience", aud=aud)
    for form in ("1", "true", "{}", '{"api": true}', "[1]", '["api", 1]', "[[]]", '[["api"]]', "null"):
        yield raw(f"aud {form}", "invalid_claim", f'"aud": {form}')


def issuers(house: House) -> Iterator[Denial]:
    """Whose token it is: exactly one of the issuers, by its own key, and none when its keys cannot be had."""

    def claim(name: str, reason: str, **changes: Any) -> Denial:
        return Denial(f"issuer: {name}", reason, get(house.mint(**changes)))

    main = house.issuer
    for iss in (
        *(
            main + "/",
            main[:-1],
            main.upper(),
            main + " ",
            " " + main,
            main + "\0",
            main + "#",
            main + "?",
            main + ":443",
        ),
        *(
            main.replace("https", "http"),
            main.removeprefix("https://"),
            "",
            "https://other.test",
            "main",
            "*",
            "https://*.test",
        ),
        *("https://main.test@evil.test", "https://mаin.test", f"{main},https://strict.test"),
    ):
        yield claim(f"{iss!r}", "wrong_issuer", iss=iss)
    yield claim("none", "missing_claim", iss=None)
    for value in (1, True, [main], {"iss": main}):
        yield claim(f"{value!r}", "invalid_claim", iss=value)
    for name, token, reason in (
        ("main's key in strict's name", house.mint(iss="https://strict.test", header={"typ": "at+jwt"}), "unknown_key"),
        ("main's key in shared's name", house.mint(iss="https://shared.test"), "algorithm_refused"),
        ("strict's key in main's name", house.strict(iss=main), "unknown_key"),
        ("strict's key under main's kid", house.strict(iss=main, header={"kid": "ES256"}), "bad_signature"),
        ("shared's secret in main's name", house.shared(iss=main), "unknown_key"),
        (
            "shared's secret under main's kid",
            SigningKey("ES256", "HS256", house.keys["shared"]).token(house.claims()),
            "algorithm_refused",
        ),
    ):
        yield Denial(f"issuer: {name}", reason, get(token))
    dark = {
        "good": house.dark(),
        "expired": house.dark(exp=1),
        "for another": house.dark(aud="other"),
        "by main's key": house.mint(iss="https://dark.test"),
        "with alg none": house.mint(iss="https://dark.test", header={"alg": "none"}),
        "with another kid": house.mint(iss="https://dark.test", header={"kid": "x"}),
    }
    for name, token in dark.items():
        yield Denial(f"issuer: no keys, {name}", "keys_unavailable", get(token))
        yield Denial(f"issuer: no keys, {name}, optional", "keys_unavailable", get(token, "/optional/<id>"))


def states(house: House) -> Iterator[Denial]:
    """Good tokens that were revoked, and one with a claim that a header cannot hold."""
    now = int(time.time())
    for name, token in {
        "by jti": house.mint(jti="revoked-1"),
        "by sub": house.mint(sub="mallory"),
        "by sub, an old token": house.mint(sub="trent", iat=now - 100),
        "by kid": house.signers["gone"].token(house.claims()),
        "by jti, of another issuer": house.strict(jti="revoked-2"),
        "by issuer": house.shared(iat=now - 10_000),
    }.items():
        yield Denial(f"revoked: {name}", "revoked", get(token))
        yield Denial(f"revoked: {name}, optional", "revoked", get(token, "/optional/<id>"))
    for nick in ("é", "a\r\nX-Admin: 1", "\0", "tab\t", "x" * 5000, "\u202e"):
        yield Denial(f"claim to header: {nick[:12]!r}", "unrepresentable_claim", get(house.mint(nick=nick)))


def strict(house: House) -> Iterator[Denial]:
    """Everything an issuer's policy may ask for."""
    now = int(time.time())

    def strict(name: str, reason: str, header: dict[str, Any] | None = None, **changes: Any) -> Denial:
        return Denial(f"strict: {name}", reason, get(house.strict(header=header, **changes)))

    for typ in (None, "JWT", "jwt", "id+jwt", "at+jwt2", "at", "application/jwt", "logout+jwt"):
        yield strict(f"typ {typ}", "wrong_type", header={"typ": typ})
    for name in ("sub", "client_id", "jti", "tenant"):
        yield strict(f"no {name}", "missing_claim", **{name: None})
    yield strict("no exp", "missing_claim", exp=None)
    yield strict("no iat", "missing_claim", iat=None)
    yield strict("no aud", "missing_claim", aud=None)
    for seconds in (3601, 7200, 10**6):
        yield strict(f"lives {seconds} s", "lifetime_too_long", iat=now, exp=now + seconds)
    for seconds in (1831, 1900):
        yield strict(f"issued {seconds} s ago", "too_old", iat=now - seconds)
        yield strict(f"logged in {seconds} s ago", "too_old", auth_time=now - seconds)
    yield strict("logged in long ago", "too_old", auth_time=1)
    yield strict("auth_time is text", "invalid_claim", auth_time="now")
    for sub in ("Alice", "alice ", "carol", "alic", "", "alice,bob", "*"):
        yield strict(f"sub {sub!r}", "subject_refused", sub=sub)
    for client in ("App", "app2", "ap", "", "*"):
        yield strict(f"client_id {client!r}", "client_refused", client_id=client)
        yield strict(f"azp {client!r}", "client_refused", azp=client)
    yield strict("azp is a list", "invalid_claim", azp=["app"])
    for scope in ("", "bas", "bases", "BASE", "nobase", "read", "base,read", "other bas"):
        yield Denial(f"strict: scope {scope!r}", "insufficient_scope", get(house.strict(scope=scope)))
    yield Denial("strict: no scope", "insufficient_scope", get(house.strict(scope=None)))


def sealed(house: House) -> Iterator[Denial]:
    """Encrypted tokens, and members of the header."""
    inside = house.inside()
    yield Denial("sealed: not encrypted", "not_encrypted", get(inside))
    yield Denial("sealed: with another key", "decryption_failed", get(house.sealed(inside, key=bytes(32))))
    yield Denial("sealed: a token of main", "decryption_failed", get(house.sealed(house.mint())))
    for alg in ("RSA1_5", "PBES2-HS256+A128KW", "none", "ES256"):
        yield Denial(f"sealed: {alg}", "encryption_refused", get(house.sealed(inside, alg=alg)))
    yield Denial("sealed: compressed", "encryption_refused", get(house.sealed(inside, zip="DEF")))
    yield Denial("sealed: no token inside", "malformed", get(house.sealed('{"sub": "alice"}')))
    for signer in (None, "another", ["balancer"]):
        token = house.sealed(house.inside(header={"signer": signer}))
        yield Denial(f"sealed: signer {signer}", "header_refused", get(token))
    yield Denial("sealed: expired", "expired", get(house.sealed(house.inside(exp=1))))


def routes(house: House) -> Iterator[Denial]:
    """What routes ask for beyond a good token; the same token passes elsewhere."""
    for name, token in (("strict", house.strict()), ("shared", house.shared())):
        yield Denial(f"route: main asked for, {name} came", "wrong_issuer", get(token, "/main/<id>"))
    scopes = "read admin write"
    for scope in (
        None,
        "",
        "read",
        "write",
        "admin",
        "write admin",
        "reads write",
        "read writes",
        "read,write",
        "READ WRITE",
        "xread write",
        "read\twrite",
    ):
        yield Denial(
            f"route: scope {scope!r}", "insufficient_scope", get(house.mint(scope=scope), "/scoped/<id>"), scopes
        )
    for scp in ([], ["read"], ["write"], ["read write"], ["Read", "write"], "read"):
        yield Denial(f"route: scp {scp!r}", "insufficient_scope", get(house.mint(scp=scp), "/scoped/<id>"), scopes)
    for aud in (AUDIENCE, [AUDIENCE], [AUDIENCE, "specials"], [AUDIENCE, "Special"]):
        yield Denial(f"route: aud {aud!r}", "wrong_audience", get(house.mint(aud=aud), "/aud/<id>"))
    breaches: dict[str, dict[str, Any]] = {
        "no claims": dict.fromkeys(LAWFUL),
        "no roles": {"realm_access": None},
        "roles under a dotted name": {"realm_access": None, "realm_access.roles": ["admin"]},
        "roles a text": {"realm_access": {"roles": "admin"}},
        "roles an object": {"realm_access": {"roles": {"admin": True}}},
        "roles one level up": {"realm_access": ["admin"]},
        "part of a role": {"realm_access": {"roles": ["nonadmin", "admi", "admin ", "Admin"]}},
        "role nested": {"realm_access": {"roles": [["admin"]]}},
        "no tier": {"tier": None},
        "tier in capitals": {"tier": "Gold"},
        "tier a list": {"tier": ["gold"]},
        "level too low": {"tier": "tin", "level": 2},
        "level a text": {"tier": "tin", "level": "3"},
        "level true": {"tier": "tin", "level": True},
        "level a little low": {"tier": "tin", "level": 2.999},
        "banned": {"banned": True},
        "banned false": {"banned": False},
        "banned nobody": {"banned": ""},
        "no region": {"https://example.test/region": None},
        "region as a path": {"https://example.test/region": None, "https:": {"": {"example.test": {"region": "eu"}}}},
        "another region": {"https://example.test/region": "cn"},
        "region a list": {"https://example.test/region": ["eu"]},
        "region in capitals": {"https://example.test/region": "EU"},
        "another email": {"email": "b@example.test"},
        "email elsewhere": {"email": "evil a@example.test"},
        "email a list": {"email": ["a@example.test"]},
        "email in capitals": {"email": "A@example.test"},
        "no email": {"email": None},
    }
    for name, changes in breaches.items():
        yield Denial(f"rules: {name}", "claim_refused", get(house.mint(**{**LAWFUL, **changes}), "/rules/<id>"))
    # THREATS C8: where a token may be absent, a bad one is as bad as anywhere.
    for name, reason, token in (
        ("rubbish", "malformed", "rubbish"),
        ("expired", "expired", house.mint(exp=1)),
        ("unknown issuer", "wrong_issuer", house.mint(iss="https://nobody.test")),
        ("forged", "bad_signature", new_key("ES256").token(house.claims())),
        ("alg none", "algorithm_refused", house.mint(header={"alg": "none"})),
        ("other audience", "wrong_audience", house.mint(aud="other")),
    ):
        yield Denial(f"optional: {name}", reason, get(token, "/optional/<id>"))
    yield Denial(
        "optional: two tokens",
        "multiple_tokens",
        get(house.mint(), "/optional/<id>", fields=["Authorization: Bearer x"]),
    )
    yield Denial(
        "optional: the word alone",
        "malformed_credentials",
        get(None, "/optional/<id>", fields=["Authorization: Bearer"]),
    )
    for tenant in ("globex", "ACME", "acme ", "", ["acme"], {"acme": 1}, 7, None):
        yield Denial(f"route: tenant {tenant!r}", "no_cluster", get(house.mint(tenant=tenant), "/chosen/<id>"))
    yield Denial("route: no tenant", "no_cluster", get(house.mint(), "/chosen/<id>"))


def styles(house: House) -> Iterator[Denial]:
    """The same refusals in the words of routes that want others, and of gRPC."""
    cases: list[tuple[str, str, str | None]] = [
        ("nothing", "missing", None),
        ("expired", "expired", house.mint(exp=1)),
        ("forged", "bad_signature", new_key("ES256").token(house.claims())),
        ("no keys", "keys_unavailable", house.dark()),
        ("other subject", "subject_refused", house.strict(sub="carol")),
    ]
    for style in ("json", "told", "hidden"):
        for name, reason, token in cases:
            yield Denial(f"{style}: {name}", reason, get(token, f"/{style}/<id>"), style=style)
        yield Denial(
            f"{style}: two tokens",
            "multiple_tokens",
            get(house.mint(), f"/{style}/<id>", fields=["Authorization: Bearer x"]),
            style=style,
        )
    for name, reason, token in cases:
        call = get(token, "/r/<id>", method="POST", body=b"", fields=["Content-Type: application/grpc", "TE: trailers"])
        yield Denial(f"grpc: {name}", reason, call, style="grpc")
