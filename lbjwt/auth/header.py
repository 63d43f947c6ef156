"""
The rules on a JOSE header: what it must not hold, and which key it may ask for.

Runs once per distinct header of good tokens, because the gate remembers the result, and for every forged one.

Source: RFC 7515 section 4, RFC 7516 section 9, RFC 7519 section 5, RFC 7797 section 7, RFC 8725 section 3, RFC 9068 section 4.
"""

import json
from typing import Any

from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.auth.policy import PROFILE_TYPE, REFUSED, IssuerPolicy, media_type
from lbjwt.jose.certificates import thumbprints_named
from lbjwt.jose.imports import is_usable_key_id
from lbjwt.jose.keyring import KeyRing
from lbjwt.jose.keys import VerificationKey

MAX_SHOWN = 80  # characters of one quoted claim: a line of a terminal

# Types of tokens with another purpose, refused when no type is configured (RFC 8725 section 3.12, THREATS A25):
# OIDC Back-Channel Logout section 2.4, RFC 8417 section 2.3, RFC 9449 section 4.2, RFC 9101, RFC 9701, RFC 9901.
_OF_OTHER_USE = frozenset(
    {"logout+jwt", "secevent+jwt", "dpop+jwt", "oauth-authz-req+jwt", "token-introspection+jwt", "kb+jwt"}
)
_TEXTS = ("typ", "cty", "kid")


class HeaderRules:
    """
    Turns a parsed header into its signature check, several that are tried in turn, or the reason for none.

    jku, x5u, jwk and x5c are ignored: keys come from the ring alone (THREATS A6, A7). Without a key id, x5t and x5t#S256 choose among the keys of
    the ring; one that matches no key is ignored (RFC 7515 section 4.1.7), so made-up ones cause no fetch.
    """

    __slots__ = ("_allowed", "_keys", "_required", "_wanted_type")

    def __init__(self, keys: KeyRing, policy: IssuerPolicy) -> None:
        self._keys = keys
        self._allowed = None if policy.algorithms is None else frozenset(policy.algorithms)
        self._required = dict(policy.required_headers)
        self._wanted_type = None if policy.typ is None else media_type(policy.typ)
        if policy.access_token_profile:
            self._wanted_type = PROFILE_TYPE

    def __call__(
        self, header: dict[str, Any], trace: list[tuple[str, int, Any]] | None = None
    ) -> SignatureCheck | tuple[SignatureCheck, ...] | DenyReason:
        """
        Args:
            trace: Gets each rule up to the first that refuses, and last what was found among the keys.
        """
        for name, rule in _RULES:
            reason = rule(self, header)
            if trace is not None:
                trace.append((name, reason, None))
            if reason != DenyReason.NONE:
                return reason
        found = self._keys.find(_key_id_of(header), header["alg"], thumbprints_named(header))
        if trace is not None:
            trace.append(("header.key", found if isinstance(found, DenyReason) else DenyReason.NONE, found))
        return found

    # In the order in which a header is judged; every rule after _texts relies on that one.

    def _extensions(self, header: dict[str, Any]) -> DenyReason:
        return DenyReason.NONE if REFUSED.isdisjoint(header) else DenyReason.MALFORMED

    def _texts(self, header: dict[str, Any]) -> DenyReason:
        for name in _TEXTS:
            text = header.get(name)
            if text is not None and not isinstance(text, str):
                return DenyReason.MALFORMED
        return DenyReason.NONE

    def _content(self, header: dict[str, Any]) -> DenyReason:
        cty = header.get("cty")
        return DenyReason.MALFORMED if cty is not None and media_type(cty) == "jwt" else DenyReason.NONE  # THREATS A26

    def _type(self, header: dict[str, Any]) -> DenyReason:
        typ = header.get("typ")
        given = None if typ is None else media_type(typ)
        wrong = given in _OF_OTHER_USE if self._wanted_type is None else given != self._wanted_type
        return DenyReason.WRONG_TYPE if wrong else DenyReason.NONE

    def _members(self, header: dict[str, Any]) -> DenyReason:
        for name, values in self._required.items():
            found = header.get(name)
            if not any(type(found) is type(value) and found == value for value in values):  # true is not 1
                return DenyReason.HEADER_REFUSED
        return DenyReason.NONE

    def _algorithm(self, header: dict[str, Any]) -> DenyReason:
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or (self._allowed is not None and algorithm not in self._allowed):
            return DenyReason.ALGORITHM_REFUSED
        return DenyReason.NONE

    def _key_id(self, header: dict[str, Any]) -> DenyReason:
        kid = _key_id_of(header)
        return DenyReason.NONE if kid is None or is_usable_key_id(kid) else DenyReason.UNKNOWN_KEY


_RULES = (
    ("header.extensions", HeaderRules._extensions),
    ("header.texts", HeaderRules._texts),
    ("header.content", HeaderRules._content),
    ("header.type", HeaderRules._type),
    ("header.required", HeaderRules._members),  # before the key id: tokens of another signer cause no fetch
    ("header.algorithm", HeaderRules._algorithm),
    ("header.key_id", HeaderRules._key_id),
)


def _key_id_of(header: dict[str, Any]) -> str | None:
    """The key id of a header; an empty one counts as none."""
    return header.get("kid") or None


def key_shown(key: VerificationKey) -> str:
    """A key for people to read: its id, type and size, without key material."""
    curve = f" {key.crv}" if key.crv else ""
    return f"{shown(key.kid) if key.kid else 'a key without id'} ({key.kty}{curve}, {key.bits} bits)"


def shown(value: Any) -> str:
    """A claim or a member of a header for people to read: JSON in visible ASCII, cut at 80 characters; `missing` for None."""
    if value is None:
        return "missing"
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
