"""Envoy's RBAC filter, as far as it asks for claims: the principals of the policies that match a request as rules of its route."""

from collections.abc import Mapping
from typing import Any, Final

from lbjwt.imports.common import claim_path
from lbjwt.imports.draft import plain, shut
from lbjwt.imports.envoy_match import Match, add_header
from lbjwt.imports.findings import Findings
from lbjwt.imports.literals import beginning, paths_of
from lbjwt.imports.matching import Decision, Path, Request
from lbjwt.imports.reading import Value

_JWT: Final = "envoy.filters.http.jwt_authn"

Rule = dict[str, Any]


class _Unknown(Exception):
    """A condition that lbjwt cannot check; the message says which."""


class RbacRules:
    """The filter of one connection manager."""

    def __init__(self, config: Value, payloads: Mapping[str, list[str]], findings: Findings) -> None:
        """
        Args:
            payloads: Issuers whose claims stand under a name in the metadata of requests.
        """
        self._payloads = payloads
        self._findings = findings
        self.matches: list[Match] = []
        rules = config.get("rules")
        self._place = config.place
        self._deny = rules is not None and rules.text("action") in ("DENY", "1")
        self._policies: list[tuple[list[Match] | None, Rule | bool]] = []
        policies = rules.get("policies") if rules is not None else None
        self._on = rules is not None
        for name, policy in policies.items() if policies is not None else ():
            try:
                if policy.get("condition") is not None or policy.get("checked_condition") is not None:
                    raise _Unknown("a condition in CEL")
                permissions = [self._permission(one) for one in policy.members("permissions")]
                principals = [self._principal(one) for one in policy.members("principals")]
                if self._deny and any(isinstance(one, dict) and _has_word(one) for one in principals):
                    raise _Unknown("a part of a text")
            except _Unknown as unknown:
                self._findings.left_out(
                    policy.place,
                    f"the policy {name}, which asks for {unknown}; {'every request is refused' if self._deny else 'nobody gets access by it'}",
                )
                if self._deny:
                    self._policies.append((None, True))
                continue
            found = [match for match in permissions if match is not None]
            self._policies.append((None if len(found) < len(permissions) else found, _any(principals)))
            self.matches += found
        if (matcher := config.get("matcher")) is not None:
            findings.left_out(
                matcher.place, "the matcher of the RBAC filter; every request is refused until you decide"
            )
            matcher.skip()
            self._on = True
        if (shadow := config.get("shadow_rules")) is not None:
            findings.left_out(shadow.place, "shadow_rules; write rules with report_only: true")
            shadow.skip()

    def apply(self, request: Request, decision: Decision, settings: list[Value]) -> Decision:
        """A decision with the claims that the request needs."""
        if not self._on:
            return decision
        fitting = [
            who for matches, who in self._policies if matches is None or any(match.covers(request) for match in matches)
        ]
        if self._deny:
            return self._denied(decision, fitting)
        who = _any(fitting)
        if who is True:
            return decision
        if who is False or decision.get("public"):
            return shut(decision, 403, "no policy of the RBAC filter lets these requests pass")
        made = {key: value for key, value in decision.items() if key not in ("allow_missing", "report_only")}
        return {**made, "rules": [*plain(made.get("rules", [])), *(who["all"] if set(who) == {"all"} else [who])]}

    def _denied(self, decision: Decision, fitting: list[Rule | bool]) -> Decision:
        who = _any(fitting)
        if who is False:
            return decision
        if who is True:
            return shut(decision, 403, "a policy of the RBAC filter denies these requests")
        if decision.get("public"):
            return decision  # no claims, so the policy does not apply
        if "report_only" in decision:
            decision = {key: value for key, value in decision.items() if key != "report_only"} | {"allow_missing": True}
            self._findings.approximated(
                self._place, "a policy that denies by claims: where a bad token passes there, it is refused here"
            )
        return {**decision, "rules": [*plain(decision.get("rules", [])), _not(who)]}

    def _permission(self, value: Value) -> Match | None:
        """The requests that a permission means; None for every request."""
        if value.get("any") is not None:
            return None
        match = Match(value.place)
        parts = value.members("and_rules", "rules") or [value]
        for part in parts:
            path = part.get("url_path", "path")
            if path is not None:
                if match.meant:
                    raise _Unknown("two paths at once")
                if text := path.text("prefix"):
                    match.meant = beginning(text)
                elif text := path.text("exact"):
                    match.meant = [(Path(text, True), "exact")]
                else:
                    match.meant = paths_of(path.text("safe_regex", "regex"), whole=True) or []
                if not match.meant:
                    raise _Unknown("a path by a pattern")
            elif (header := part.get("header")) is not None:
                add_header(match, header)
            else:
                raise _Unknown("something else than path and method")
        if match.unknown:
            raise _Unknown(match.unknown)
        match.meant = match.meant or [(Path("/"), "tree")]
        return match

    def _principal(self, value: Value) -> Rule | bool:
        """A principal as a rule; True for everybody."""
        if value.get("any") is not None:
            return True
        for key, join in (("and_ids", "all"), ("or_ids", "any")):
            if (inner := value.get(key)) is not None:
                found = [self._principal(one) for one in inner.members("ids")]
                return _any(found) if join == "any" else _all(found)
        if (inner := value.get("not_id")) is not None:
            found_one = self._principal(inner)
            if isinstance(found_one, dict) and _has_word(found_one):
                raise _Unknown("a part of a text that must not be there")
            return not found_one if isinstance(found_one, bool) else _not(found_one)
        metadata = value.get("metadata")
        if metadata is None or metadata.text("filter") != _JWT:
            raise _Unknown("something else than a claim")
        payload, *path = [step.text("key") for step in metadata.members("path")] or [""]
        if not path:
            raise _Unknown("the whole payload")
        issuers = self._payloads.get(payload)
        if issuers is None:
            raise _Unknown(f"claims under {payload}, where no provider writes them")
        rule = self._comparison(claim_path(path), metadata.get("value"))
        inverted = metadata.text("invert") == "true"
        if inverted and _has_word(rule):
            raise _Unknown("a part of a text that must not be there")
        if any(other != payload for other in self._payloads):  # the token of another provider has no such claim
            names = [{"claim": "iss", "equals": issuer} for issuer in dict.fromkeys(issuers)]
            rule = {"all": [names[0] if len(names) == 1 else {"any": names}, rule]}
        return _not(rule) if inverted else rule

    def _comparison(self, claim: Any, value: Value | None) -> Rule:
        if value is None:
            raise _Unknown("no value")
        text = value.get("string_match")
        if text is not None:
            if (exact := text.text("exact")) and not text.get("ignore_case"):
                return {"claim": claim, "equals": exact}
            if (prefix := text.text("prefix")) and not text.get("ignore_case"):
                return {"claim": claim, "prefix": prefix}
            if word := text.text("contains"):
                self._findings.approximated(text.place, f"contains {word} means a whole word between spaces here")
                return {"claim": claim, "contains_word": word}
            raise _Unknown("a text by a pattern")
        if (present := value.get("present_match")) is not None:
            return {"claim": claim, "exists": bool(present.data)}
        if (flag := value.get("bool_match")) is not None:
            return {"claim": claim, "equals": bool(flag.data)}
        if (number := value.get("double_match", "exact")) is not None:
            return {"claim": claim, "equals": number.data}
        if (one := value.get("list_match", "one_of")) is not None:
            inner = self._comparison(claim, one)
            if "equals" in inner:
                return {"claim": claim, "contains": inner["equals"]}
        if (either := value.get("or_match")) is not None:
            return {"any": [self._comparison(claim, one) for one in either.members("value_matchers")]}
        raise _Unknown("a value by a pattern")


def _any(rules: list[Rule | bool]) -> Rule | bool:
    if any(rule is True for rule in rules):
        return True
    real = [rule for rule in rules if isinstance(rule, dict)]
    return False if not real else real[0] if len(real) == 1 else {"any": real}


def _all(rules: list[Rule | bool]) -> Rule | bool:
    if any(rule is False for rule in rules):
        return False
    real = [rule for rule in rules if isinstance(rule, dict)]
    return True if not real else real[0] if len(real) == 1 else {"all": real}


def _has_word(rule: Rule) -> bool:
    """Whether it stands for a part of a text: the opposite would let more pass than there."""
    return "contains_word" in rule or any(_has_word(one) for key in ("any", "all") for one in rule.get(key, ()))


def _not(rule: Rule) -> Rule:
    """The opposite. A claim that is missing makes `not` fail in lbjwt, but not in Envoy."""
    if "claim" in rule:
        if "exists" in rule:
            return {"claim": rule["claim"], "exists": not rule["exists"]}
        return {"any": [{"claim": rule["claim"], "exists": False}, {"not": rule}]}
    if "any" in rule:
        return {"all": [_not(one) for one in rule["any"]]}
    if "all" in rule:
        return {"any": [_not(one) for one in rule["all"]]}
    return dict(rule["not"])
