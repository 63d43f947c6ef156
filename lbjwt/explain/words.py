"""
The steps of a trace in words: what was asked, and what the token says about it.

Decides nothing: which steps there are, in which order and how they ended comes from the verifier and the route. The words quote claims and headers
of the asker's own token; a token, a signature and a key are in none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

from lbjwt._compact import parse_base64url, parse_object
from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.auth.header import REFUSED, key_shown, shown
from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.policy import PROFILE_CLAIMS, PROFILE_TYPE, media_type
from lbjwt.auth.rules import path_text
from lbjwt.jose.certificates import thumbprints_named

if TYPE_CHECKING:
    from lbjwt.explain.scene import Scene
    from lbjwt.jose.keyring import KeyRing
    from lbjwt.jose.keys import VerificationKey
    from lbjwt.proxy._route import Demand

Words = tuple[str, str]
"""What was asked, and what was found; "" for nothing to add."""

_SHOWN: Final = ("alg", "kid", "x5t", "x5t#S256", "typ", "cty")  # of a header; of everything else the name
_MOST_KEYS: Final = 10  # in one list
_TYPED: Final = ("exp", "nbf", "iat", "iss", "sub", "jti", "azp", "client_id")
_TESTED: Final = {1: "met", 0: "refused", -1: "unknown"}


class TokenReading:
    """
    One token of the request.

    Attributes:
        seen: The token as the document shows it. Header and claims are what it says, whoever wrote it.
    """

    def __init__(self, scene: Scene, demand: Demand, token: bytes, places: list[str]) -> None:
        self._scene = scene
        self._demand = demand
        self._token = token
        self._index = -1
        parts = [parse_base64url(part, True) for part in token.split(b".")[:2]]
        header, claims = [None if part is None else parse_object(part) for part in [*parts, None, None][:2]]
        self._header = header or {}
        self._claims = claims or {}
        self.seen: dict[str, Any] = {
            "places": places,
            "issuer": None,
            "why": "the token was refused before its issuer was looked for",
            "keys_from": None,
            "header": header and {name: value if name in _SHOWN else None for name, value in header.items()},
            "claims": claims,
            "key": None,
            "signature": "unchecked",
        }

    def words(self, step: str, reason: int, value: Any) -> Words | None:
        """A step of the trace in words; None when it asks for nothing here."""
        stage, _, name = step.partition(".")
        match stage:
            case "token":
                return self._of_token(name, reason)
            case "issuer":
                return self._of_keys() if name == "keys" else self._of_issuer(value)
            case "header":
                return self._of_header(name, value)
            case "signature":
                return self._of_signature(name, reason, value)
            case "claims":
                return self._of_claims(name)
            case "revocation":
                return "not revoked", self._revoked_by(value) if reason else self._revocations()
            case "identity":
                return "its claims can be headers", self._identity(reason, value)
            case _:
                return self._of_route(name, value)

    def _of_token(self, name: str, reason: int) -> Words:
        gate, parts = self._scene.verifier.gate, self._token.split(b".")
        match name:
            case "size":
                return f"at most {gate.max_token} bytes", f"{len(self._token)} bytes"
            case "alphabet":
                return "nothing but the characters of a token", ""
            case "parts":
                asked = f"three parts with dots between them, the first of at most {gate.max_header} characters"
                sizes = " and ".join(str(len(part)) for part in parts[:2])
                return asked, f"{sizes} characters before the signature" if len(
                    parts
                ) == 3 else f"{len(parts) - 1} dots"
            case "padding":
                return "without padding", "another issuer allows it, this one does not"
            case _:
                text = parse_base64url(parts[1], True)
                asked = "the payload is base64url of one JSON object that can be read in one way"
                return asked, "not base64url" if text is None else f"{len(text)} bytes"

    def _of_issuer(self, index: int) -> Words | None:
        instances = self._scene.instances
        found = f"iss is {shown(self._claims.get('iss'))}"
        if index >= 0:
            self._index = index
            self.seen["issuer"] = instances[index].name
        self.seen["why"] = found if len(instances) > 1 else "the only issuer there is"
        known = ", ".join(dict.fromkeys(one.label for one in instances))
        return (f"one of the issuers: {known}", found) if len(instances) > 1 else None

    def _of_keys(self) -> Words:
        keys, ring = self._scene.keys.get(self._index), self._scene.verifier.keys_of(self._index)
        self.seen["keys_from"] = keys and keys.source
        found = (
            "not looked for" if keys is None else keys.problem if ring is None else f"{len(ring)} from {keys.source}"
        )
        return f"keys of {self._scene.instances[self._index].name}", found

    def _of_header(self, name: str, value: Any) -> Words:
        header, policy = self._header, self._scene.verifier.policy_of(self._index)
        match name:
            case "json":
                return "base64url of one JSON object that can be read in one way", ""
            case "extensions":
                there = ", ".join(sorted(REFUSED & header.keys()))
                return f"without {', '.join(sorted(REFUSED))}", there and f"{there} is there"
            case "texts":
                said = [
                    f"{one} is {shown(header[one])}" for one in ("typ", "cty", "kid") if header.get(one) is not None
                ]
                return "typ, cty, kid are text", ", ".join(said)
            case "content":
                return "no token inside the token", f"cty is {shown(header.get('cty'))}"
            case "type":
                wanted = PROFILE_TYPE if policy.access_token_profile else policy.typ and media_type(policy.typ)
                return f"type: {wanted or 'not that of a token for another use'}", f"typ is {shown(header.get('typ'))}"
            case "algorithm":
                allowed = f"one of {', '.join(sorted(policy.algorithms))}" if policy.algorithms else "what the key says"
                return f"algorithm: {allowed}", f"alg is {shown(header.get('alg'))}"
            case "key_id":
                return "a key id of 1 to 256 printable characters, or none", f"kid is {shown(header.get('kid'))}"
            case _:
                return "a key of the issuer for it", self._key_found(value)

    def _key_found(self, found: SignatureCheck | tuple[SignatureCheck, ...] | DenyReason) -> str:
        algorithm = self._header["alg"]
        if isinstance(found, SignatureCheck):
            return f"{key_shown(found.key)} with {algorithm}"
        if isinstance(found, tuple):
            return f"{len(found)} keys, tried in turn with {algorithm}: {_keys_shown(check.key for check in found)}"
        ring = self._scene.verifier.keys_of(self._index)
        assert ring is not None
        return _why_no_key(ring, self._header)

    def _of_signature(self, name: str, reason: int, value: Any) -> Words:
        if name == "text":
            return "base64url", ""
        checks: list[SignatureCheck] = list(value) if isinstance(value, tuple) else [value]
        if len(checks) == 1:
            key = checks[0].key
            self.seen["key"] = {
                "kid": key.kid or None,
                "type": key.kty,
                "curve": key.crv or None,
                "bits": key.bits,
                "algorithm": checks[0].algorithm,
            }
        if name == "key":
            self.seen["signature"] = "wrong" if reason else "good"
            return f"by {key_shown(checks[0].key) if len(checks) == 1 else f'one of {len(checks)} keys'}", ""
        wanted = " or ".join(map(str, sorted({(check.signature_size * 4 + 2) // 3 for check in checks})))
        size = len(self._token.split(b".")[2].rstrip(b"="))
        return f"as long as one with {checks[0].algorithm}", f"{size} characters of {wanted}"

    def _of_claims(self, name: str) -> Words | None:
        claims, policy = self._claims, self._scene.verifier.policy_of(self._index)
        skew = f", {policy.clock_skew:g} s of clock skew"
        match name:
            case "types":
                said = [f"{one} is {shown(claims[one])}" for one in _TYPED if one in claims]
                return "registered claims are of their types", ", ".join(said)
            case "issuer":
                issuer = policy.issuer
                text = _pattern_text(issuer) if isinstance(issuer, IssuerPattern) else issuer
                return (f"issuer: {text}", f"iss is {shown(claims.get('iss'))}") if text else None
            case "audience":
                asked = "any" if policy.audiences is None else f"one of {', '.join(sorted(policy.audiences))}"
                return f"audience: {asked}", f"aud is {shown(claims.get('aud'))}"
            case "expiry":
                return f"before exp{'' if policy.require_expiration else ', when there is one'}{skew}", self._time(
                    "exp"
                )
            case "start":
                return f"not before nbf{skew}", self._time("nbf")
            case "issue":
                return f"not issued in the future{skew}", self._time("iat")
            case "lifetime" if policy.max_lifetime is not None:
                both = claims.get("exp") is not None and claims.get("iat") is not None
                found = f"exp - iat is {claims['exp'] - claims['iat']:.15g} s" if both else "exp or iat is missing"
                return f"lives at most {policy.max_lifetime:g} s", found
            case "age" if policy.max_age is not None:
                since = "iat" if claims.get("auth_time") is None else "auth_time"
                return f"younger than {policy.max_age:g} s{skew}", self._time(since)
            case "required":
                profile = PROFILE_CLAIMS if policy.access_token_profile else ()
                names = dict.fromkeys((*policy.required_claims, *profile))
                missing = ", ".join(one for one in names if claims.get(one) is None)
                return (f"required: {', '.join(names)}", missing and f"without {missing}") if names else None
            case "subject" if policy.subjects is not None:
                return "one of the named subjects", f"sub is {shown(claims.get('sub'))}"
            case "client" if policy.clients is not None:
                found = f"azp is {shown(claims.get('azp'))}, client_id is {shown(claims.get('client_id'))}"
                return f"client: one of {', '.join(sorted(policy.clients))}", found
            case "binding" if policy.refuse_sender_constrained:
                return "not bound to a key", "cnf is there" if "cnf" in claims else ""
            case "scopes" if policy.required_scopes:
                return f"scopes: all of {' '.join(sorted(policy.required_scopes))}", self._scopes()
        return None

    def _time(self, name: str) -> str:
        at = self._claims.get(name)
        if isinstance(at, bool) or not isinstance(at, int | float):
            return f"{name} is {'missing' if at is None else 'no time'}"
        distance = at - self._scene.now
        return f"{name} is {at:.15g}, {abs(distance):.0f} s {'ahead' if distance > 0 else 'ago'}"

    def _scopes(self) -> str:
        claims = self._claims
        name = "scp" if claims.get("scope") is None and claims.get("scp") is not None else "scope"
        return f"{name} is {shown(claims.get(name))}"

    def _identity(self, reason: int, value: Any) -> str:
        if reason == DenyReason.NONE:
            return "; ".join(line.decode().strip() for line in value) or "none of them is in the token"
        name, path = value
        if not name:
            return f"together they have more than {self._scene.configuration.limits.max_identity_headers} bytes"
        return f"not {name.decode().removesuffix(': ')} from {path_text(path) if path else 'the whole payload'}"

    def _revocations(self) -> str:
        return f"{len(self._scene.reader or ())} revocations in force"

    def _revoked_by(self, kid: str) -> str:
        """Which entry it is: asked with one claim at a time, dated after every `issued_before`."""
        claims, now, reader = self._claims, self._scene.now, self._scene.reader
        assert reader is not None
        issuer = claims.get("iss", "")
        issued = {"iat": claims["iat"]} if "iat" in claims else {}
        jti, sub = claims.get("jti"), claims.get("sub")
        asked = [("", issued, "with all older tokens of its issuer")]
        asked += [("", {"jti": jti, "iat": inf}, f"by its jti {shown(jti)}")]
        asked += [(kid, {"iat": inf}, f"with all tokens of the key {shown(kid)}")] if kid else []
        asked += [("", {"sub": sub, **issued}, f"by its sub {shown(sub)}")]
        for key, part, words in asked:
            for entries, place in ((reader.made, "made at run time"), (reader.filed, "of the file")):
                if entries.revokes(issuer, key, part, now):
                    return f"{words}, by an entry {place}"
        return ""

    def _of_route(self, name: str, value: Any) -> Words | None:
        if name == "place":
            asked = f"tokens of {self._scene.instances[self._index].name} may stand there"
            return asked, f"it stands in {' and '.join(self.seen['places'])}"
        assert self._demand.rules is not None
        policy = self._demand.rules.policy
        match name:
            case "issuers" if policy.issuers is not None:
                return "one of the route's issuers", f"iss is {shown(self._claims.get('iss'))}"
            case "audience" if policy.audiences is not None:
                return f"audience: one of {', '.join(policy.audiences)}", f"aud is {shown(self._claims.get('aud'))}"
            case "scopes_all" if policy.scopes_all:
                return f"scopes: all of {' '.join(policy.scopes_all)}", self._scopes()
            case "scopes_any" if policy.scopes_any:
                return f"scopes: one of {' '.join(policy.scopes_any)}", self._scopes()
            case "claims":
                rule, _, tests = value
                found = [
                    f"{test}: {_TESTED[said]}, {path_text(test.path)} is {'in no object' if claim is ... else shown(claim)}"
                    for test, said, claim in tests
                ]
                return rule.name or str(rule.rule), "; ".join(found)
        return None


def _pattern_text(pattern: IssuerPattern) -> str:
    if pattern.tenants is None:
        return f"{pattern.template}, tenant_class {pattern.tenant_class}, max_tenants {pattern.max_tenants}"
    return (
        f"one of {len(pattern.tenants)} tenants" if len(pattern.tenants) > 1 else pattern.issuer_of(pattern.tenants[0])
    )


def _why_no_key(ring: KeyRing, header: Mapping[str, Any]) -> str:
    kid, thumbprints, algorithm = header.get("kid") or None, thumbprints_named(dict(header)), shown(header.get("alg"))
    meant = [
        key
        for key in ring.candidates(kid, thumbprints)
        if (key.kid == kid if kid is not None else not key.certificates.isdisjoint(thumbprints))
    ]
    if meant:
        served = ", ".join(sorted(frozenset[str]().union(*(key.algorithms for key in meant))))
        return f"{_keys_shown(meant)} {'is' if len(meant) == 1 else 'are'} for {served}, not for {algorithm}"
    if kid is None:
        return f"the token names no key, and no key is for {algorithm}; there are {_keys_shown(ring)}"
    return f"no key has the id {shown(kid)}; there are {_keys_shown(ring)}"


def _keys_shown(keys: Iterable[VerificationKey]) -> str:
    texts = [key_shown(key) for key in keys]
    return ", ".join(texts[:_MOST_KEYS]) + (", …" if len(texts) > _MOST_KEYS else "")
