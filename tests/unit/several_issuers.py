"""Three issuers at one verifier, whose keys differ under equal ids."""

from collections.abc import Callable, Mapping
from typing import Any

from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.trusted_issuer import TrustedIssuer
from lbjwt.auth.verifier import Verifier
from lbjwt.jose.keyring import KeyRing
from tests.harness.keys import SigningKey, new_key
from tests.unit.auth_tokens import NOW, claims, judged

LABELS = ("a", "b", "c")
KEYS = {label: {kid: new_key("EdDSA", kid) for kid in ("k1", "k2")} for label in LABELS}
"""Equal ids, different keys."""


def issuer(label: str) -> str:
    return f"https://{label}.example"


def ring(label: str, *kids: str) -> KeyRing:
    return KeyRing.from_jwks({"keys": [KEYS[label][kid].jwk() for kid in kids]})


def trusted(label: str, **policy: Any) -> TrustedIssuer:
    """An issuer, with members of its policy in place of the usual ones."""
    usual: dict[str, Any] = {"issuer": issuer(label), "audiences": ("api",), "clock_skew": 0.0}
    return TrustedIssuer(policy=IssuerPolicy(**(usual | policy)), identity_headers=(("sub", f"X-{label.upper()}"),))


class Bench:
    """A verifier of three issuers, each with its first key, and a list of revoked ids."""

    def __init__(self, *, revoked: Callable[..., bool] | None = None, **policies: dict[str, Any]) -> None:
        self.revoked: set[str] = set()
        self.asked: list[tuple[int, str, str, float]] = []
        self.verifier = Verifier.for_issuers(
            [trusted(label, **policies.get(label, {})) for label in LABELS],
            revoked=revoked or self._ask,
        )
        for index, label in enumerate(LABELS):
            self.verifier.publish(ring(label, "k1"), index)

    def _ask(self, index: int, kid: str, claims: Mapping[str, Any], now: float) -> bool:
        self.asked.append((index, kid, claims.get("sub", ""), now))
        return claims.get("jti") in self.revoked

    def judge(self, text: str | bytes, now: float = NOW) -> str:
        return judged(self.verifier.verify(text, now))

    @property
    def cached(self) -> int:
        return len(self.verifier.gate.cache)


def token(label: str = "a", kid: str = "k1", *, key: SigningKey | None = None, **changes: Any) -> str:
    """A good token of an issuer. key: signs in the place of its own."""
    payload = claims(**{"iss": issuer(label), "sub": f"user-of-{label}", **changes})
    return (key or KEYS[label][kid]).token(payload)
