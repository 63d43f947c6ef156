"""A route with every rule there is, and for each reason of a refusal a request that meets it."""

import time
from typing import Any

from lbjwt._fastverify import DenyReason
from lbjwt.auth.encrypted import Decryption
from tests.playbooks.policies import Policies, bearer, token
from tests.playbooks.stage import Stage
from tests.unit.encrypted_tokens import decryption_key, encrypt, recipient

REASONS = [reason for reason in DenyReason if reason is not DenyReason.NONE]
STRICT = (
    "algorithms: [EdDSA], clock_skew: 0s, max_lifetime: 2h, max_age: 3h, typ: at+jwt, subjects: [alice, mallory, nobody], clients: [app], "
    "required_scopes: [read], required_claims: [jti], required_headers: {region: [eu, us]}"
)
RULES = "rules: [{claim: level, equals: 3}]"
RATE = "fail_limit: {failures: 1}"
NAMED = "claim_to_headers: [{claim: sub, header: X-Jwt-Sub}, {claim: name, header: X-Name, unrepresentable: refuse}]"


def strict(kid: str = "k1", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token that meets all that `STRICT` and `RULES` ask."""
    good = {"sub": "alice", "azp": "app", "scope": "read", "jti": "1", "level": 3, "tenant": "acme", **claims}
    return token("a", kid, header={"typ": "at+jwt", "region": "eu", **(header or {})}, **good)


def bad_requests() -> dict[DenyReason, bytes]:
    """One request for each reason, by what stands in its Authorization fields."""
    now = int(time.time())
    head, payload, signature = strict().split(".")
    return {
        DenyReason.MISSING: b"",
        DenyReason.MULTIPLE_TOKENS: bearer(strict()) * 2,
        DenyReason.MALFORMED_CREDENTIALS: b"Authorization: Bearer\r\n",
        DenyReason.MALFORMED: bearer("a.b.c"),
        DenyReason.ALGORITHM_REFUSED: bearer(strict(header={"alg": "RS256"})),
        DenyReason.UNKNOWN_KEY: bearer(strict("k2")),
        DenyReason.BAD_SIGNATURE: bearer(f"{head}.{payload}.{'A' * len(signature)}"),
        DenyReason.EXPIRED: bearer(strict(iat=now - 100, exp=now - 1)),
        DenyReason.NOT_YET_VALID: bearer(strict(nbf=now + 600)),
        DenyReason.ISSUED_IN_FUTURE: bearer(strict(iat=now + 600)),
        DenyReason.WRONG_ISSUER: bearer(strict(iss="https://stranger.test")),
        DenyReason.WRONG_AUDIENCE: bearer(strict(aud="other")),
        DenyReason.MISSING_CLAIM: bearer(strict(jti=None)),
        DenyReason.INVALID_CLAIM: bearer(strict(exp="soon")),
        DenyReason.LIFETIME_TOO_LONG: bearer(strict(exp=now + 9000)),
        DenyReason.INSUFFICIENT_SCOPE: bearer(strict(scope="write")),
        DenyReason.KEYS_UNAVAILABLE: bearer(token("b")),
        DenyReason.UNREPRESENTABLE_CLAIM: bearer(strict(name="Zoë")),
        DenyReason.REVOKED: bearer(strict(sub="mallory")),
        DenyReason.CLAIM_REFUSED: bearer(strict(level=2)),
        DenyReason.SUBJECT_REFUSED: bearer(strict(sub="bob")),
        DenyReason.CLIENT_REFUSED: bearer(strict(azp="tool")),
        DenyReason.NO_CLUSTER: bearer(strict(tenant="stranger")),
        DenyReason.TOO_OLD: bearer(strict(auth_time=now - 4 * 3600)),
        DenyReason.WRONG_TYPE: bearer(strict(header={"typ": "JWT"})),
        DenyReason.RATE_LIMITED: bearer(strict(jti="over the limit")),
        DenyReason.INTERNAL: bearer(strict(sub="nobody")),
        DenyReason.HEADER_REFUSED: bearer(strict(header={"region": "cn"})),
        DenyReason.DECRYPTION_FAILED: bearer(encrypt(strict().encode(), recipient("P-256", 1), "ECDH-ES").decode()),
        DenyReason.ENCRYPTION_REFUSED: bearer(
            encrypt(strict().encode(), recipient("P-256"), "ECDH-ES", zip="DEF").decode()
        ),
        DenyReason.NOT_ENCRYPTED: bearer(token("c")),
    }


def revoked(issuer: int, kid: str, claims: Any, now: float) -> bool:
    """Mallory is, and to ask about nobody is a fault of ours."""
    if claims["sub"] == "nobody":
        raise RuntimeError("no table")
    return claims["sub"] == "mallory"


def strict_stage(pieces: int | None, route: str, reason: DenyReason) -> Stage:
    """One route with every rule there is; somebody failed once before where that is the matter."""
    rest = NAMED + (f"\n{RATE}" if reason is DenyReason.RATE_LIMITED else "")
    if "report_only" not in route:
        route += ", cluster: {claim: tenant, clusters: {acme: main}}"
    keys = (decryption_key(recipient("P-256")),)
    decryptions = {"a": Decryption(keys), "c": Decryption(keys, required=True)}
    issuers = {"a": STRICT, "b": "", "c": ""}
    policies = Policies(f"  - {{name: only, {RULES}, {route}}}", issuers, rest, revoked, decryptions)
    policies.publish("b")
    stage = Stage(pieces, **policies.options())
    if policies.offenders is not None:
        policies.offenders.add_failure("192.0.2.7", time.monotonic())
    return stage


ABOUT_A = set(REASONS) - {
    *(DenyReason.MISSING, DenyReason.MULTIPLE_TOKENS, DenyReason.MALFORMED_CREDENTIALS, DenyReason.MALFORMED),
    *(DenyReason.WRONG_ISSUER, DenyReason.KEYS_UNAVAILABLE, DenyReason.RATE_LIMITED),
    *(DenyReason.DECRYPTION_FAILED, DenyReason.ENCRYPTION_REFUSED, DenyReason.NOT_ENCRYPTED),
}
