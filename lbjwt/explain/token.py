"""
One token, step by step, in the order in which a worker judges it: form, issuer, keys, header, signature, claims, revocation, headers for the
backend, and what the route asks beyond that.

Each step asks the part that serves; what is told here and nowhere else is the order (`Gate.judge`, `Verification.run`, `Admission`), and a test holds
it against them. What comes after a refusal is told as far as it can be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any, Final

from lbjwt._compact import parse_object
from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.auth._route_rules import RouteRules
from lbjwt.auth.header import key_shown
from lbjwt.auth.identity import IdentityHeader, compile_identity_headers
from lbjwt.auth.outcome import Outcome, shown
from lbjwt.explain import _inside
from lbjwt.explain.model import KeySeen, Stage, Step, TokenSeen

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.auth.route_policy import RoutePolicy
    from lbjwt.explain.model import Judge
    from lbjwt.explain.scene import Scene
    from lbjwt.proxy._route import Demand

__all__ = ["TokenReading"]

_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]*=*")  # RFC 6750 section 2.1, b64token; never empty here
_PADDED: Final = re.compile(rb"[A-Za-z0-9_~+/-]*=*(?:\.[A-Za-z0-9_~+/-]*=*)*")  # allow_padding: each part may end in =
_SHOWN: Final = ("alg", "kid", "x5t", "x5t#S256", "typ", "cty")
_WORDS: Final = {reason.name.lower().replace("_", " "): reason for reason in DenyReason}


class TokenReading:
    """
    What there is to say of one token of the request.

    Args:
        places: Where it stands, for the eye.
        found: As `find_token` answered.
    """

    def __init__(
        self, scene: Scene, demand: Demand, token: bytes, found: int, places: tuple[str, ...], now: float
    ) -> None:
        self.steps: list[Step] = []
        self._scene = scene
        self._demand = demand
        self._token = token
        self._found = found
        self._now = now
        self._claims: dict[str, Any] | None = None
        self._seen = TokenSeen(places)
        self._read()

    @property
    def seen(self) -> TokenSeen:
        """The token itself."""
        return self._seen

    def _read(self) -> None:
        gate = self._scene.verifier.gate
        token, padding = self._token, _inside.allows_padding(gate)
        self._step(
            "token",
            f"at most {gate.max_token} bytes",
            len(token) <= gate.max_token,
            f"{len(token)} bytes",
            DenyReason.MALFORMED,
        )
        good = (_PADDED if padding else _TOKEN).fullmatch(token) is not None
        self._step("token", "nothing but the characters of a token", good, "", DenyReason.MALFORMED_CREDENTIALS)
        self._look_inside(padding)
        if _inside.selection_of(gate) is None:
            index, why = 0, "the only issuer there is"
        else:
            self._form(token, padding)
            index, why = self._selected()
        if index < 0:
            self._see(why=why)
            return
        instance = self._scene.instances[index]
        self._see(issuer=instance.name, why=why)
        judge = _inside.judge_of(gate, index)
        if token.endswith(b"=") and judge.allow_padding:
            token = token[: len(token) - min(2, len(token) - len(token.rstrip(b"=")))]
        self._keys(instance, judge)
        check = self._signature(token, judge, self._header(token, judge))
        claims = self._claims
        if claims is None:
            return
        self._judge_claims(instance, judge, check, claims)
        self._route_rules(index, claims)

    # --- the token as text ----------------------------------------------------------------------------------------------

    def _look_inside(self, padding: bool) -> None:
        """Header and claims for the eye, before anything vouches for them."""
        segments = _inside.segments_of(self._token)
        if segments is None:
            return
        header, payload = (_object(_inside.decode(segment, padding)) for segment in segments[:2])
        if header is not None:
            self._see(header={name: value if name in _SHOWN else None for name, value in header.items()})
        if payload is not None:
            self._see(claims=payload)
            self._claims = payload

    def _form(self, token: bytes, padding: bool) -> None:
        """With several issuers, form and payload come first: the payload says which issuer it is."""
        segments = _inside.segments_of(token)
        self._compact(segments)
        if segments is not None:
            self._payload(_inside.decode(segments[1], padding))

    def _compact(self, segments: tuple[bytes, bytes, bytes] | None) -> None:
        limit = self._scene.verifier.gate.max_header
        asked = f"three parts with dots between them, the first of at most {limit} characters"
        if segments is None:
            self._step("token", asked, False, f"{self._token.count(b'.')} dots", DenyReason.MALFORMED)
            return
        sizes = " and ".join(str(len(segment)) for segment in segments[:2])
        self._step(
            "token",
            asked,
            len(segments[0]) <= limit,
            f"{sizes} characters before the signature",
            DenyReason.MALFORMED,
        )

    def _payload(self, text: bytes | None) -> None:
        asked = "the payload is base64url of one JSON object that can be read in one way"
        if text is None:
            self._step("token", asked, False, "not base64url", DenyReason.MALFORMED)
        else:
            self._step("token", asked, parse_object(text) is not None, f"{len(text)} bytes", DenyReason.MALFORMED)

    # --- issuer and key -------------------------------------------------------------------------------------------------

    def _selected(self) -> tuple[int, str]:
        claims = self._claims
        if claims is None:
            return -1, "the payload cannot be read"
        issuer = claims.get("iss")
        select = _inside.selection_of(self._scene.verifier.gate)
        index = select(issuer) if select is not None and isinstance(issuer, str) else -1
        reason = (
            DenyReason.WRONG_ISSUER
            if isinstance(issuer, str)
            else DenyReason.INVALID_CLAIM
            if "iss" in claims
            else DenyReason.MISSING_CLAIM
        )
        found = f"iss is {shown(issuer)}"
        known = ", ".join(dict.fromkeys(one.label for one in self._scene.instances))
        self._step("issuer", f"one of the issuers: {known}", index >= 0, found, reason)
        return index, found

    def _keys(self, instance: IssuerInstance, judge: Judge) -> None:
        keys = self._scene.keys.get(instance.index)
        ring = self._scene.verifier.keys_of(instance.index)
        if keys is not None:
            self._see(keys_from=keys.source)
        detail = (
            "not looked for" if keys is None else keys.problem if ring is None else f"{len(ring)} from {keys.source}"
        )
        self._step("issuer", f"keys of {instance.name}", judge.resolve is not None, detail, DenyReason.KEYS_UNAVAILABLE)

    def _header(self, token: bytes, judge: Judge) -> tuple[SignatureCheck, ...]:
        """The checks that the header may mean; none when it is refused."""
        segments = _inside.segments_of(token)
        if not any(step.rule.startswith("three parts") for step in self.steps):
            self._compact(segments)
        if segments is None:
            return ()
        header = _object(_inside.decode(segments[0], judge.allow_padding))
        asked = "base64url of one JSON object that can be read in one way"
        self._step("header", asked, header is not None, "", DenyReason.MALFORMED)
        if header is None or judge.resolve is None:
            return ()
        for outcome in judge.resolve.explain(header):
            self._outcome("header", outcome)
        found = judge.resolve(header)
        return found if isinstance(found, tuple) else (found,) if isinstance(found, SignatureCheck) else ()

    def _signature(self, token: bytes, judge: Judge, checks: tuple[SignatureCheck, ...]) -> SignatureCheck | None:
        """The check of the key that signed; when none of them did, the only one there is."""
        segments = _inside.segments_of(token)
        if segments is None:
            return None
        header, payload, encoded = segments
        signature = None
        check = checks[0] if len(checks) == 1 else None
        if checks:
            size, wanted = len(encoded), sorted({(one.signature_size * 4 + 2) // 3 for one in checks})
            asked = f"as long as one with {checks[0].algorithm}"
            found = f"{size} characters of {' or '.join(map(str, wanted))}"
            self._step("signature", asked, size in wanted, found, DenyReason.BAD_SIGNATURE)
            signature = _inside.decode(encoded, False)
            self._step("signature", "base64url", signature is not None, "", DenyReason.MALFORMED)
        text = _inside.decode(payload, judge.allow_padding)
        if text is None:
            self._payload(None)
        if signature is not None:
            signed = header + b"." + payload
            passed = next((one for one in checks if one.verify(signature, signed)), None)
            check = passed or check
            by = key_shown(check.key) if check is not None else f"one of {len(checks)} keys"
            self._see(signature="good" if passed is not None else "wrong")
            self._step("signature", f"by {by}", passed is not None, "", DenyReason.BAD_SIGNATURE)
        elif not checks:
            self.steps.append(Step("signature", "by the key", "unknown", "not checked, since there is no key"))
        if text is not None and not any(step.rule.startswith("the payload") for step in self.steps):
            self._payload(text)
        if check is not None:
            key = check.key
            self._see(key=KeySeen(key.kid, key.kty, key.crv, key.bits, check.algorithm))
        return check

    # --- what it says ---------------------------------------------------------------------------------------------------

    def _judge_claims(
        self, instance: IssuerInstance, judge: Judge, check: SignatureCheck | None, claims: dict[str, Any]
    ) -> None:
        for outcome in judge.rules.explain(claims, self._now):
            self._outcome("claims", outcome)
        typed = not any(step.stage == "claims" and step.outcome == "unknown" for step in self.steps)
        if judge.revoked is not None and typed:
            kid = check.key_id if check is not None else ""
            revoked = judge.revoked(instance.index, kid, claims, self._now)
            detail = self._revoked_by(kid, claims) if revoked else self._revocations()
            self._step("revocation", "not revoked", not revoked, detail, DenyReason.REVOKED)
        if judge.identity is not None:
            lines = judge.identity(claims)
            detail = self._unrepresentable(instance, claims) if lines is None else _lines_shown(lines)
            self._step(
                "identity", "its claims can be headers", lines is not None, detail, DenyReason.UNREPRESENTABLE_CLAIM
            )

    def _revocations(self) -> str:
        reader = self._scene.reader
        return "" if reader is None else f"{len(reader)} revocations in force"

    def _revoked_by(self, kid: str, claims: Mapping[str, Any]) -> str:
        """Which of the entries it is: asked with one claim at a time, and dated after every `issued_before`."""
        reader = self._scene.reader
        assert reader is not None
        issuer, now = claims.get("iss", ""), self._now
        issued = {name: claims[name] for name in ("iat",) if name in claims}
        for entries, place in ((reader.made, "made at run time"), (reader.filed, "of the file")):
            if entries.revokes(issuer, "", issued, now):
                return f"with all older tokens of its issuer, by an entry {place}"
            if "jti" in claims and entries.revokes(issuer, "", {"jti": claims["jti"], "iat": inf}, now):
                return f"by its jti {shown(claims['jti'])}, by an entry {place}"
            if kid and entries.revokes(issuer, kid, {"iat": inf}, now):
                return f"with all tokens of the key {shown(kid)}, by an entry {place}"
            if entries.revokes(issuer, "", {"sub": claims.get("sub"), **issued}, now):
                return f"by its sub {shown(claims.get('sub'))}, by an entry {place}"
        return ""

    def _unrepresentable(self, instance: IssuerInstance, claims: Mapping[str, Any]) -> str:
        configuration = self._scene.configuration
        limits = configuration.limits
        for entry in configuration.claim_to_headers:
            if entry.issuer not in (None, instance.label):
                continue
            one = IdentityHeader(
                header=entry.header,
                path=entry.claim or (),
                style="payload" if entry.payload else entry.style,
                unrepresentable=entry.unrepresentable,
            )
            write = compile_identity_headers(
                [one], max_value=limits.max_identity_header, max_total=limits.max_identity_headers
            )
            if write is not None and write(claims) is None:
                return f"not {one}"
        return f"together they have more than {limits.max_identity_headers} bytes"

    def _route_rules(self, index: int, claims: dict[str, Any]) -> None:
        demand = self._demand
        if len(demand.places) > 1:
            good = _inside.may_stand(demand, index, self._found)
            where = " and ".join(self._seen.places)
            asked = f"tokens of {self._scene.instances[index].name} may stand there"
            self._step("rules", asked, good, f"it stands in {where}", DenyReason.WRONG_ISSUER)
        rules = _inside.rules_of(demand)
        if rules is None:
            return
        alone = [RouteRules(part) for part in _parts_of(rules.policy)]
        for outcome, part in zip(rules.explain(claims, index), alone, strict=True):
            reasons = part.decide(claims, index)
            reason = reasons[0] or reasons[1]
            self.steps.append(Step("rules", outcome.rule, outcome.outcome, outcome.detail, reason))

    # --- notes ----------------------------------------------------------------------------------------------------------

    def _see(self, **changes: Any) -> None:
        self._seen = replace(self._seen, **changes)

    def _step(self, stage: Stage, asked: str, good: bool, found: str, reason: DenyReason) -> None:
        if good:
            self.steps.append(Step(stage, asked, "met", found))
        else:
            self.steps.append(Step(stage, asked, "refused", found, reason))

    def _outcome(self, stage: Stage, outcome: Outcome) -> None:
        """An outcome whose detail, when it refuses, begins with the name of the reason."""
        name, _, found = outcome.detail.partition(": ")
        if outcome.outcome == "refused" and (reason := _WORDS.get(name)) is not None:
            self.steps.append(Step(stage, outcome.rule, "refused", found, reason))
        else:
            self.steps.append(Step(stage, outcome.rule, outcome.outcome, outcome.detail))


def _parts_of(policy: RoutePolicy) -> Iterable[RoutePolicy]:
    """The policy taken apart: one for each thing it asks, in the order of `RouteRules.explain`."""
    bare = replace(policy, issuers=None, audiences=None, scopes_all=(), scopes_any=(), rules=())
    if policy.issuers is not None:
        yield replace(bare, issuers=policy.issuers)
    if policy.audiences is not None:
        yield replace(bare, audiences=policy.audiences)
    if policy.scopes_all:
        yield replace(bare, scopes_all=policy.scopes_all)
    if policy.scopes_any:
        yield replace(bare, scopes_any=policy.scopes_any)
    for rule in policy.rules:
        yield replace(bare, rules=(rule,))


def _object(text: bytes | None) -> dict[str, Any] | None:
    return None if text is None else parse_object(text)


def _lines_shown(lines: bytes) -> str:
    return "; ".join(lines.decode("ascii").splitlines()) or "none of them is in the token"
