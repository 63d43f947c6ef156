"""
The steps of a trace in words: what each step requires, and what the token has. Verifier and route decide; nothing is decided here.

The words quote headers and claims, and never a token, a signature or a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

from lbjwt._compact import parse_base64url, parse_object
from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.auth.header import key_shown, shown
from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.policy import PROFILE_CLAIMS, PROFILE_TYPE, REFUSED, media_type
from lbjwt.auth.rules import path_text
from lbjwt.config.cluster_choice import ClusterChoice
from lbjwt.jose.certificates import thumbprints_named
from lbjwt.jose.encryption import ENCRYPTIONS, KEY_ALGORITHMS

if TYPE_CHECKING:
    from lbjwt.explain.scene import Scene
    from lbjwt.jose.keyring import KeyRing
    from lbjwt.jose.keys import VerificationKey
    from lbjwt.proxy._route import Demand

Words = tuple[str, str]
"""What is required, and what was found; "" for nothing to add."""

_SHOWN: Final = ("alg", "enc", "kid", "x5t", "x5t#S256", "typ", "cty")  # of a header; of everything else the name
_MOST_KEYS: Final = 10  # in one list
_TYPED: Final = ("exp", "nbf", "iat", "iss", "sub", "jti", "azp", "client_id")
_TESTED: Final = {1: "met", 0: "refused", -1: "unknown"}


class TokenReading:
    """One token of the request; `seen` is the token as the document shows it, header and claims unverified."""

    def __init__(self, scene: Scene, demand: Demand, token: bytes, places: list[str]) -> None:
        self._scene = scene
        self._demand = demand
        self._token = token
        self._index = -1
        self._header: dict[str, Any] = {}
        self._claims: dict[str, Any] = {}
        self.seen: dict[str, Any] = {
            "places": places,
            "issuer": None,
            "why": "the token was refused before lbjwt looked for its issuer",
            "keys_from": None,
            "encryption": None,
            "header": None,
            "claims": None,
            "key": None,
            "signature": "unchecked",
        }
        if token.count(b".") != 4:
            self._read(token)

    def _read(self, token: bytes) -> None:
        """Take header and claims of a signed token, unverified."""
        self._token = token
        header, claims = _object_in(token, 0), _object_in(token, 1)
        self._header, self._claims = header or {}, claims or {}
        self.seen["header"] = header and _shown_of(header)
        self.seen["claims"] = claims

    @property
    def claims(self) -> Mapping[str, Any]:
        """Those of the token; {} when it cannot be read."""
        return self._claims

    def words(self, step: str, reason: int, value: Any) -> Words | None:
        """A step of the trace in words; None when it requires nothing here."""
        stage, _, name = step.partition(".")
        match stage:
            case "token":
                return self._of_token(name)
            case "encryption":
                return self._of_encryption(name, reason, value)
            case "issuer":
                return self._of_keys() if name == "keys" else self._of_issuer(value)
            case "header":
                return self._of_header(name, value)
            case "signature":
                return self._of_signature(name, reason, value)
            case "claims":
                return self._of_claims(name)
            case "revocation":
                found = self._revoked_by(value) if reason else f"{len(self._scene.reader or ())} revocations in force"
                return "no revocation applies", found
            case "identity":
                return "the claims can be written as headers", self._identity(reason, value)
            case _:
                return self._of_route(name, value)

    def _of_token(self, name: str) -> Words:
        gate, parts = self._scene.verifier.gate, self._token.split(b".")
        match name:
            case "size":
                return f"the token has at most {gate.max_token} bytes", f"{len(self._token)} bytes"
            case "alphabet":
                return "the token has only characters that a token can have", ""
            case "parts":
                asked = f"three parts with dots between them; the first has at most {gate.max_header} characters"
                if len(parts) != 3:
                    return asked, f"{len(parts) - 1} dots"
                return asked, f"{len(parts[0])} and {len(parts[1])} characters before the signature"
            case "padding":
                return "no padding", "another issuer allows padding, this one does not"
            case _:
                text = parse_base64url(parts[1], True)
                asked = "the payload is base64url of a JSON object with a single possible reading"
                return asked, "it is not base64url" if text is None else f"{len(text)} bytes"

    def _of_encryption(self, name: str, reason: int, value: Any) -> Words:
        match name:
            case "parts":
                return "an encrypted token has five parts of base64url, the first of them a JSON object", ""
            case "header":
                self.seen["encryption"] = _shown_of(value)
                asked = f"alg: {_one_of(KEY_ALGORITHMS)}; enc: {_one_of(ENCRYPTIONS)}; no crit, b64 and zip; cty JWT, if any"
                return asked, _said(value, "alg", "enc", "kid", "cty")
            case "key":
                keys = ", ".join(f"{shown(key.kid) if key.kid else 'a key without id'} ({key.kty})" for key in value)
                return "lbjwt has a key that the token may mean", keys or "no key fits its kid, alg, enc and curve"
            case "tag":
                return "one of the keys decrypts the token", "none does, or the token was changed" if reason else ""
            case "content":
                if value is not None:
                    self._read(value)
                return "the content is a signed token", "it is something else" if reason else ""
            case _:
                wanted = "the issuer of the token is one that has the key"
                found = "the key is one of another issuer"
                if reason == DenyReason.NOT_ENCRYPTED:
                    wanted, found = "tokens of this issuer are encrypted", "this one is not"
                return wanted, found

    def _of_issuer(self, index: int) -> Words | None:
        instances = self._scene.instances
        found = _said(self._claims, "iss")
        if index >= 0:
            self._index = index
            self.seen["issuer"] = instances[index].name
        self.seen["why"] = found if len(instances) > 1 else "the only issuer configured"
        known = ", ".join(dict.fromkeys(one.label for one in instances))
        return (f"one of the issuers: {known}", found) if len(instances) > 1 else None

    def _of_keys(self) -> Words:
        keys, ring = self._scene.keys.get(self._index), self._scene.verifier.keys_of(self._index)
        self.seen["keys_from"] = keys and keys.source
        asked = f"keys of {self._scene.instances[self._index].name}"
        if keys is None:
            return asked, "lbjwt did not look for keys"
        return asked, keys.problem if ring is None else f"{len(ring)} from {keys.source}"

    def _of_header(self, name: str, value: Any) -> Words | None:
        header, policy = self._header, self._scene.verifier.policy_of(self._index)
        wanted = PROFILE_TYPE if policy.access_token_profile else policy.typ and media_type(policy.typ)
        there = ", ".join(sorted(REFUSED & header.keys()))
        algorithms = _one_of(policy.algorithms) if policy.algorithms else "as given by the key"
        texts = [one for one in ("typ", "cty", "kid") if header.get(one) is not None]
        words: dict[str, Words] = {
            "json": ("the header is base64url of a JSON object with a single possible reading", ""),
            "extensions": (f"the header has no {', '.join(sorted(REFUSED))}", there and f"it has {there}"),
            "texts": ("typ, cty, kid are text", _said(header, *texts)),
            "content": ("the token contains no other token", _said(header, "cty")),
            "type": (f"type: {wanted or 'not that of another kind of token'}", _said(header, "typ")),
            "required": (_members_asked(policy.required_headers), _said(header, *policy.required_headers)),
            "algorithm": (f"algorithm: {algorithms}", _said(header, "alg")),
            "key_id": ("the key id, if any, has 1 to 256 printable characters", _said(header, "kid")),
        }
        if name == "required" and not policy.required_headers:
            return None
        return ("the issuer has a key for the token", self._key_found(value)) if name == "key" else words[name]

    def _key_found(self, found: SignatureCheck | tuple[SignatureCheck, ...] | DenyReason) -> str:
        algorithm = self._header["alg"]
        if isinstance(found, SignatureCheck):
            return f"{key_shown(found.key)} with {algorithm}"
        if isinstance(found, tuple):
            return f"{len(found)} keys, tried one after the other with {algorithm}: {_keys_shown(check.key for check in found)}"
        ring = self._scene.verifier.keys_of(self._index)
        assert ring is not None
        return _why_no_key(ring, self._header)

    def _of_signature(self, name: str, reason: int, value: Any) -> Words:
        if name == "text":
            return "the signature is base64url", ""
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
        return f"the signature has the length of {checks[0].algorithm}", f"{size} characters, expected {wanted}"

    def _of_claims(self, name: str) -> Words | None:
        claims, policy = self._claims, self._scene.verifier.policy_of(self._index)
        issuer = _pattern_text(policy.issuer) if isinstance(policy.issuer, IssuerPattern) else policy.issuer
        required = dict.fromkeys((*policy.required_claims, *(PROFILE_CLAIMS if policy.access_token_profile else ())))
        missing = ", ".join(one for one in required if claims.get(one) is None)
        skew = f", {policy.clock_skew:g} s of clock skew"
        typed = [one for one in _TYPED if one in claims]
        dated = "iat" if claims.get("auth_time") is None else "auth_time"
        match name:
            case "types":
                return "registered claims have the right types", _said(claims, *typed)
            case "issuer" if issuer:
                return f"issuer: {issuer}", _said(claims, "iss")
            case "audience":
                return f"audience: {_one_of(policy.audiences) if policy.audiences else 'any'}", _said(claims, "aud")
            case "expiry":
                return f"before exp{'' if policy.require_expiration else ', if the token has it'}{skew}", self._time(
                    "exp"
                )
            case "start":
                return f"not before nbf{skew}", self._time("nbf")
            case "issue":
                return f"not issued in the future{skew}", self._time("iat")
            case "lifetime" if policy.max_lifetime:
                return f"valid for at most {policy.max_lifetime:g} s", self._lifetime()
            case "remaining" if policy.max_remaining:
                return f"at most {policy.max_remaining:g} s left{skew}", self._time("exp")
            case "age" if policy.max_age:
                return f"younger than {policy.max_age:g} s{skew}", self._time(dated)
            case "required" if required:
                return f"required: {', '.join(required)}", missing and f"without {missing}"
            case "subject" if not policy.any_subject:
                affixes = [f"with {shown(text)} in front" for text in policy.subject_prefixes]
                affixes += [f"with {shown(text)} at its end" for text in policy.subject_suffixes]
                return ", or ".join(["one of the configured subjects", *affixes[:_MOST_KEYS]]), _said(claims, "sub")
            case "client" if policy.clients:
                return f"client: {_one_of(policy.clients)}", _said(claims, "azp", "client_id")
            case "binding" if policy.refuse_sender_constrained:
                return "not bound to a key", "the token has cnf" if "cnf" in claims else ""
            case "scopes" if policy.required_scopes:
                return f"scopes: all of {' '.join(sorted(policy.required_scopes))}", self._scopes()
        return None

    def _lifetime(self) -> str:
        exp, iat = self._claims.get("exp"), self._claims.get("iat")
        if isinstance(exp, int | float) and isinstance(iat, int | float):
            return f"exp - iat is {exp - iat:.15g} s"
        return "exp or iat is missing"

    def _time(self, name: str) -> str:
        at = self._claims.get(name)
        if isinstance(at, bool) or not isinstance(at, int | float):
            return f"{name} is {'missing' if at is None else 'not a time'}"
        distance = at - self._scene.now
        return f"{name} is {at:.15g}, {abs(distance):.0f} s {'ahead' if distance > 0 else 'ago'}"

    def _scopes(self) -> str:
        claims = self._claims
        return _said(claims, "scp" if claims.get("scope") is None and claims.get("scp") is not None else "scope")

    def _identity(self, reason: int, value: Any) -> str:
        if reason == DenyReason.NONE:
            return "; ".join(line.decode().strip() for line in value) or "the token has none of the claims"
        name, path = value
        if not name:
            return f"all claims together have more than {self._scene.configuration.limits.max_identity_headers} bytes"
        return f"{name.decode().removesuffix(': ')} cannot be written from {path_text(path) if path else 'the whole payload'}"

    def _revoked_by(self, kid: str) -> str:
        """Find the revocation that applies by asking with one claim at a time, dated after every `issued_before`."""
        claims, now, reader = self._claims, self._scene.now, self._scene.reader
        assert reader is not None
        issuer = claims.get("iss", "")
        issued = {"iat": claims["iat"]} if "iat" in claims else {}
        jti, sub = claims.get("jti"), claims.get("sub")
        asked = [("", issued, "all older tokens of its issuer are revoked")]
        asked += [("", {"jti": jti, "iat": inf}, f"its jti {shown(jti)} is revoked")]
        asked += [(kid, {"iat": inf}, f"all tokens of the key {shown(kid)} are revoked")] if kid else []
        asked += [("", {"sub": sub, **issued}, f"its sub {shown(sub)} is revoked")]
        for key, part, words in asked:
            if reader.made.revokes(issuer, key, part, now):
                return f"{words}, by an entry made at run time"
            if reader.filed.revokes(issuer, key, part, now):
                return f"{words}, by an entry in the file"
        return ""

    def _of_route(self, name: str, value: Any) -> Words | None:
        if name == "place":
            asked = f"{self._scene.instances[self._index].name} allows a token in this location"
            return asked, f"the token is in {' and '.join(self.seen['places'])}"
        if name == "claims":
            rule, _, tests = value
            asked = rule.name or str(rule.rule)
            found = []
            for test, said, claim in tests:
                holds = f"{path_text(test.path)} is {'not inside an object' if claim is ... else shown(claim)}"
                # of a rule that is one test, the line has its words and its outcome already
                found.append(holds if str(test) == asked else f"{test}: {_TESTED[said]}, {holds}")
            return asked, "; ".join(found)
        assert self._demand.rules is not None
        policy, claims = self._demand.rules.policy, self._claims
        match name:
            case "issuers" if policy.issuers:
                return "one of the route's issuers", _said(claims, "iss")
            case "audience" if policy.audiences:
                return f"audience: {_one_of(policy.audiences)}", _said(claims, "aud")
            case "scopes_all" if policy.scopes_all:
                return f"scopes: all of {' '.join(policy.scopes_all)}", self._scopes()
            case "scopes_any" if policy.scopes_any:
                return f"scopes: one of {' '.join(policy.scopes_any)}", self._scopes()
        return None


def cluster_words(scene: Scene, route: str, chosen: str | None, reading: TokenReading | None) -> Words:
    """How the route chooses among clusters, and what it chose; None: no cluster, or one by weight that only serving tells."""
    choice = next(one.cluster for one in scene.configuration.routes if one.name == route)
    assert isinstance(choice, ClusterChoice)
    claims = reading.claims if reading is not None else {}
    if choice.claim is not None:
        found = f"{path_text(choice.claim)} is {shown(claim_in(claims, choice.claim))}"
        return (
            f"the claim {path_text(choice.claim)} chooses the cluster",
            found if chosen is None else f"{chosen}: {found}",
        )
    weights = choice.split or {}
    shares = ", ".join(f"{name} {100 * weight / sum(weights.values()):.4g} %" for name, weight in weights.items())
    if choice.by_claim is not None:
        found = f"{path_text(choice.by_claim)} is {shown(claim_in(claims, choice.by_claim))}"
        return (
            f"the value of {path_text(choice.by_claim)} chooses the cluster: {shares}",
            f"{chosen or 'by weight'}: {found}",
        )
    by = (
        "the client's address chooses the cluster, by weight"
        if choice.by_address
        else "the cluster is chosen by weight"
    )
    return by, shares


def path_words(scene: Scene, route: str, beginning: bytes | None, reading: TokenReading | None) -> Words:
    """What the route makes of the path, and the claims in it; None: one of them is missing or cannot be a segment."""
    configured = next(one for one in scene.configuration.routes if one.name == route)
    rewrite, whole = configured.rewrite, configured.place[1]
    assert rewrite is not None
    claims = reading.claims if reading is not None else {}
    found = ", ".join(f"{path_text(path)} is {shown(claim_in(claims, path))}" for path in rewrite.template.claims)
    asked = f"the backend gets {rewrite.path} in place of the {'path' if whole else 'prefix'}"
    return asked, found if beginning is None else ": ".join(filter(None, [beginning.decode("ascii") or "/", found]))


def claim_in(claims: Mapping[str, Any], path: Iterable[str]) -> Any:
    """The value of a claim; None when it is missing."""
    value: Any = claims
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _shown_of(header: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if name in _SHOWN else None for name, value in header.items()}


def _object_in(token: bytes, part: int) -> dict[str, Any] | None:
    text = parse_base64url(token.split(b".")[part], True) if token.count(b".") >= part else None
    return None if text is None else parse_object(text)


def _said(members: Mapping[str, Any], *names: str) -> str:
    return ", ".join(f"{name} is {shown(members.get(name))}" for name in names)


def _members_asked(required: Mapping[str, Iterable[Any]]) -> str:
    asked = (f"{name}: {' or '.join(map(shown, values))}" for name, values in required.items())
    return f"members of the header: {', '.join(asked)}"


def _one_of(names: Iterable[str]) -> str:
    return f"one of {', '.join(sorted(names))}"


def _pattern_text(pattern: IssuerPattern) -> str:
    if pattern.tenants is None:
        return f"{pattern.template}, tenant_class {pattern.tenant_class}, max_tenants {pattern.max_tenants}"
    return f"one of {len(pattern.tenants)} tenants"


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
        return f"the token names no key, and no key is for {algorithm}; the keys are {_keys_shown(ring)}"
    return f"no key has the id {shown(kid)}; the keys are {_keys_shown(ring)}"


def _keys_shown(keys: Iterable[VerificationKey]) -> str:
    texts = [key_shown(key) for key in keys]
    return ", ".join(texts[:_MOST_KEYS]) + (", …" if len(texts) > _MOST_KEYS else "")
