"""
The rules on a JOSE header: what it must not hold, and which key it may ask for.

Runs once per distinct header of good tokens (the gate remembers), and for every forged one. Pure: same header, same answer.

Source: RFC 7515 section 4, RFC 7516 section 9, RFC 7519 section 5, RFC 7797 section 7, RFC 8725 section 3,
RFC 9068 section 4.
"""

from typing import Any

from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.auth.outcome import Outcome, shown
from lbjwt.auth.policy import PROFILE_TYPE, IssuerPolicy, media_type
from lbjwt.jose.certificates import thumbprints_named
from lbjwt.jose.imports import is_usable_key_id
from lbjwt.jose.keyring import KeyRing
from lbjwt.jose.keys import VerificationKey

__all__ = ["HeaderRules", "compile_header_rules", "key_shown"]

# crit: we understand no extension, so whatever it names is not understood (RFC 7515 section 4.1.11; an empty one is forbidden).
# b64: must not be used with JWTs (RFC 7797 section 7). enc, zip: the mark of a JWE (RFC 7516 section 9).
# Elsewhere null is the absence of a member; these four are refused with any value, null too, since a reader that takes null for a value
# would read another token.
_REFUSED = frozenset({"crit", "b64", "enc", "zip"})
# Tokens that issuers or clients sign for another purpose and say so. Where no type is configured, none of them is an access token (RFC 8725
# section 3.12, THREATS A25): OIDC Back-Channel Logout section 2.4, RFC 8417 section 2.3, RFC 9449 section 4.2, RFC 9101,
# RFC 9701, RFC 9901.
_OF_OTHER_USE = frozenset(
    {"logout+jwt", "secevent+jwt", "dpop+jwt", "oauth-authz-req+jwt", "token-introspection+jwt", "kb+jwt"}
)
_TEXTS = ("typ", "cty", "kid")
_MOST_NAMED = 10  # keys in one explanation


class HeaderRules:
    """
    Turns a parsed header into the signature check it may have, or several that are tried in turn, or the reason for none.

    jku, x5u, jwk and x5c are never looked at: keys come from the ring alone (THREATS A6, A7). x5t and x5t#S256 choose among the keys of the ring
    when there is no key id; one that no key has is as good as none (RFC 7515 section 4.1.7), so made-up ones cause no fetch.
    """

    __slots__ = ("_allowed", "_keys", "_wanted_type")

    def __init__(self, keys: KeyRing, policy: IssuerPolicy) -> None:
        self._keys = keys
        self._allowed = None if policy.algorithms is None else frozenset(policy.algorithms)
        self._wanted_type = None if policy.typ is None else media_type(policy.typ)
        if policy.access_token_profile:
            self._wanted_type = PROFILE_TYPE

    def __call__(self, header: dict[str, Any]) -> SignatureCheck | tuple[SignatureCheck, ...] | DenyReason:
        for rule in _RULES:
            if (reason := rule(self, header)) != DenyReason.NONE:
                return reason
        return self._keys.find(_key_id_of(header), header["alg"], thumbprints_named(header))

    def explain(self, header: dict[str, Any]) -> list[Outcome]:
        """
        Every rule in order, also those after the first that refuses; the last one is about the key.

        The detail of what is refused begins with the name of its reason, as in `PolicyRules.explain`.
        """
        outcomes: list[Outcome] = []
        readable = True
        for rule, (asked, found) in zip(_RULES, self._words(header), strict=True):
            if not readable:
                outcomes.append(Outcome(asked, "unknown", "not judged, since a member of the header is not text"))
                continue
            outcomes.append(_outcome(asked, rule(self, header), found))
            readable = rule is not HeaderRules._texts or outcomes[-1].outcome == "met"
        asked = "a key of the issuer for it"
        algorithm = header.get("alg")
        if not readable or not isinstance(algorithm, str):
            outcomes.append(Outcome(asked, "unknown", "not looked for"))
            return outcomes
        meant = self._keys.find(_key_id_of(header), algorithm, thumbprints_named(header))
        if isinstance(meant, SignatureCheck):
            outcomes.append(Outcome(asked, "met", f"{key_shown(meant.key)} with {algorithm}"))
        elif isinstance(meant, tuple):
            several = ", ".join(key_shown(check.key) for check in meant)
            outcomes.append(Outcome(asked, "met", f"{len(meant)} keys, tried in turn with {algorithm}: {several}"))
        else:
            outcomes.append(_outcome(asked, meant, self._why_none(header, algorithm)))
        return outcomes

    # In the order in which a header is judged; every rule after _texts relies on that one.

    def _extensions(self, header: dict[str, Any]) -> DenyReason:
        return DenyReason.NONE if _REFUSED.isdisjoint(header) else DenyReason.MALFORMED

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

    def _algorithm(self, header: dict[str, Any]) -> DenyReason:
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or (self._allowed is not None and algorithm not in self._allowed):
            return DenyReason.ALGORITHM_REFUSED
        return DenyReason.NONE

    def _key_id(self, header: dict[str, Any]) -> DenyReason:
        kid = _key_id_of(header)
        return DenyReason.NONE if kid is None or is_usable_key_id(kid) else DenyReason.UNKNOWN_KEY

    def _words(self, header: dict[str, Any]) -> list[tuple[str, str]]:
        """For each of the rules: what is asked, and what the header says about it."""
        there = sorted(_REFUSED & header.keys())
        said = [f"{name} is {shown(header[name])}" for name in _TEXTS if header.get(name) is not None]
        other_use = "not that of a token for another use"
        algorithms = "what the key says" if self._allowed is None else f"one of {', '.join(sorted(self._allowed))}"
        return [
            (f"without {', '.join(sorted(_REFUSED))}", f"{', '.join(there)} is there" if there else ""),
            (f"{', '.join(_TEXTS)} are text", ", ".join(said)),
            ("no token inside the token", f"cty is {shown(header.get('cty'))}"),
            (f"type: {self._wanted_type or other_use}", f"typ is {shown(header.get('typ'))}"),
            (f"algorithm: {algorithms}", f"alg is {shown(header.get('alg'))}"),
            ("a key id of 1 to 256 printable characters, or none", f"kid is {shown(header.get('kid'))}"),
        ]

    def _why_none(self, header: dict[str, Any], algorithm: str) -> str:
        """Why no key is meant."""
        kid, thumbprints = _key_id_of(header), thumbprints_named(header)
        meant = [
            key
            for key in self._keys.candidates(kid, thumbprints)
            if (key.kid == kid if kid is not None else not key.certificates.isdisjoint(thumbprints))
        ]
        if meant:
            served = sorted(frozenset[str]().union(*(key.algorithms for key in meant)))
            verb = "is" if len(meant) == 1 else "are"
            return f"{_shown_together(meant)} {verb} for {', '.join(served)}, not for {shown(algorithm)}"
        there = _shown_together(list(self._keys))
        if kid is None:
            return f"the token names no key, and no key is for {shown(algorithm)}; there are {there}"
        return f"no key has the id {shown(kid)}; there are {there}"


_RULES = (
    HeaderRules._extensions,
    HeaderRules._texts,
    HeaderRules._content,
    HeaderRules._type,
    HeaderRules._algorithm,
    HeaderRules._key_id,
)


def _key_id_of(header: dict[str, Any]) -> str | None:
    """The key that a header names. An empty id names none: RFC 7515 section 4.1.4 gives an id no form, and no key is ever called ""."""
    return header.get("kid") or None


def _shown_together(keys: list[VerificationKey]) -> str:
    return ", ".join(map(key_shown, keys[:_MOST_NAMED])) + (", …" if len(keys) > _MOST_NAMED else "")


def compile_header_rules(keys: KeyRing, policy: IssuerPolicy) -> HeaderRules:
    """Make the rules of one issuer at one moment."""
    return HeaderRules(keys, policy)


def key_shown(key: VerificationKey) -> str:
    """A key for the eye: its id, type and size; nothing of it."""
    curve = f" {key.crv}" if key.crv else ""
    return f"{shown(key.kid) if key.kid else 'one without id'} ({key.kty}{curve}, {key.bits} bits)"


def _outcome(asked: str, reason: DenyReason, found: str) -> Outcome:
    if reason == DenyReason.NONE:
        return Outcome(asked, "met", found)
    name = reason.name.lower().replace("_", " ")
    return Outcome(asked, "refused", f"{name}: {found}" if found else name)
