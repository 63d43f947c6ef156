"""What must hold of a token, as the rules of HAProxy say it, as issuers and rules of lbjwt."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lbjwt.imports.common import any_audience, any_issuer, issuer_hint, missing_keys, optional_expiration
from lbjwt.imports.draft import Draft, Noted, shut
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.haproxy_token import Fact, Formula
from lbjwt.imports.matching import Decision

_DEFAULT: Final = "header:Authorization Bearer"
_VARIABLES: Final = ("txn.", "proc.", "req.", "sess.")
_IS_FILE: Final = re.compile(r"/|\.(?:pem|crt|cer|pub|key)$")


class _Unsayable(Exception):
    """A condition that lbjwt cannot check; the message says which."""


@dataclass(slots=True)
class _Asked:
    """What is asked of the tokens of one issuer, or of several with the same key."""

    signed: Fact
    algorithms: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    audiences: list[str] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    expiry_checked: bool = False
    expiry_required: bool = False


class Issuers:
    """The issuers of a file; those with the same keys, name and location of the token are one."""

    def __init__(self, directory: Path, draft: Draft, findings: Findings) -> None:
        self._directory = directory
        self._draft = draft
        self._findings = findings

    def apply(self, decision: Decision, needs: list[Formula], place: Place) -> Decision:
        """A decision with what must hold: facts, their opposites, and alternatives of both."""
        clauses = flat(needs)
        if not clauses:
            return {**decision, "public": True}
        optional = all(_excuses(clause) for clause in clauses)
        if optional:
            clauses = flat([_without_excuse(clause) for clause in clauses])
        try:
            asked = [self._asked(facts) for facts in _alternatives(clauses)]
            if any((one.rules, one.audiences) != (asked[0].rules, asked[0].audiences) for one in asked):
                raise _Unsayable("alternatives with different claims")
        except _Unsayable as unsayable:
            self._findings.left_out(place, f"{unsayable}; its routes are closed until you decide")
            return shut(decision, 401, f"{unsayable}: left out")
        labels = [label for one in asked for label in self._labels(one)]
        made = {**decision, "require": {"issuer": labels[0]} if len(labels) == 1 else {"any_of": labels}}
        if optional:
            made["allow_missing"] = True
        if asked[0].audiences and any(
            self._draft.issuers[label].get("audiences") != asked[0].audiences for label in labels
        ):
            made["audiences"] = asked[0].audiences
        if asked[0].rules:
            made["rules"] = asked[0].rules
        return made

    def _asked(self, facts: list[Formula]) -> _Asked:
        signatures = [one for one in facts if isinstance(one, Fact) and one.kind == "signed"]
        if not signatures:
            raise _Unsayable("a token whose signature nobody checks")
        signed = signatures[0]
        if any((one.token, one.value[1]) != (signed.token, signed.value[1]) for one in signatures):
            raise _Unsayable("two signatures at once")
        if any(isinstance(one, Fact) and one.token not in ("", signed.token) for one in facts):
            raise _Unsayable("claims of a token whose signature nobody checks")
        asked = _Asked(signed)
        lists = {"alg": asked.algorithms, "iss": asked.names, "aud": asked.audiences}
        for one in facts:
            if isinstance(one, Fact) and one.kind in lists:
                lists[one.kind] += [value for value in one.value if value not in lists[one.kind]]
            elif isinstance(one, Fact) and one.kind == "live":
                asked.expiry_checked = asked.expiry_required = True
            elif isinstance(one, tuple) and one[0] == "not" and one[1].kind == "dead":
                asked.expiry_checked = True
            elif not isinstance(one, Fact) or one.kind not in ("found", "signed"):
                asked.rules.append(self._rule(one))
        if not asked.algorithms and signed.value[0]:
            asked.algorithms.append(signed.value[0])
        return asked

    def _rule(self, one: Formula) -> dict[str, Any]:
        """A need as a rule of lbjwt."""
        if isinstance(one, Fact):
            if one.kind != "rule":
                raise _Unsayable("a condition on the token")
            rule = {key: list(value) if isinstance(value, tuple) else value for key, value in one.value}
            if any("word" in key for key in rule):
                self._findings.approximated(
                    one.place, "-m sub on a claim means a whole word between spaces here; for a list, write contains"
                )
            return rule
        kind, inner = one
        if kind != "not":
            return {"any" if kind == "or" else "all": [self._rule(part) for part in inner]}
        rule = self._rule(inner)
        if "exists" in rule:
            return {**rule, "exists": not rule["exists"]}
        return {"any": [{"claim": rule["claim"], "exists": False}, {"not": rule}]}

    def _labels(self, asked: _Asked) -> list[str]:
        place = asked.signed.place
        made: dict[str, Any] = {} if asked.names else any_issuer(self._findings, place)
        made |= {"audiences": asked.audiences} if asked.audiences else any_audience(self._findings, place)
        algorithms = [one for one in asked.algorithms if one.lower() != "none"]
        if not asked.algorithms:
            self._findings.unsafe(
                place,
                "the token chooses the algorithm, even none, as no rule compares it; lbjwt takes that of the key, so write algorithms",
            )
        elif algorithms != asked.algorithms:
            self._findings.unsafe(
                place, "the algorithm none is accepted there, so a token that nobody signed passes; lbjwt refuses it"
            )
        if algorithms:
            made["algorithms"] = algorithms
        made |= self._keys(asked.signed.value[1], algorithms, place)
        if asked.expiry_checked:
            made["clock_skew"] = "0s"
        else:
            self._findings.unsafe(place, "exp is not checked there, so expired tokens pass; lbjwt refuses them")
        if not asked.expiry_required:
            made |= optional_expiration(self._findings, place)
        made |= _location(asked.signed.token)
        if not asked.names:
            return [self._added("main", made, place)]
        return [self._added(issuer_hint(name), {"issuer": name, **made}, place) for name in asked.names]

    def _added(self, hint: str, made: dict[str, Any], place: Place) -> str:
        """Add an issuer; one that is there, but for its audiences, gets these too."""
        for label, other in self._draft.issuers.items():
            keys = {*made, *other} - {"audiences", "any_audience"}
            if all(made.get(key) == other.get(key) for key in keys):
                if "audiences" in made and "audiences" in other:
                    other["audiences"] = list(dict.fromkeys([*other["audiences"], *made["audiences"]]))
                elif "audiences" in other:
                    del other["audiences"]
                    other["any_audience"] = made["any_audience"]
                return label
        return self._draft.add_issuer(hint, made, place)

    def _keys(self, key: str, algorithms: list[str], place: Place) -> dict[str, Any]:
        if algorithms and all(one.startswith("HS") for one in algorithms):
            self._findings.left_out(
                place,
                "the HMAC secret: everybody who can read this file knows it; write it into a file of its own with mode 600",
            )
            return {"secret_file": Noted("hmac.secret", "write the secret into this file")}
        if key.startswith(_VARIABLES) or not key:
            self._findings.left_out(place, f"the key in the variable {key}; write pem_file")
            return missing_keys("issuer")
        if not algorithms and not _IS_FILE.search(key):
            self._findings.left_out(
                place, "the key of jwt_verify, which may be a secret; write secret_file, or pem_file"
            )
            return missing_keys("issuer")
        return {"pem_file": str(self._directory / key)}


def flat(needs: list[Formula]) -> list[Formula]:
    """All that must hold, without repetition."""
    found: list[Formula] = []
    for one in needs:
        parts = flat(one[1]) if isinstance(one, tuple) and one[0] == "and" else [one] if one is not True else []
        found += [part for part in parts if part not in found]
    return found


def _alternatives(clauses: list[Formula]) -> list[list[Formula]]:
    """For each issuer all that must hold: where a condition has several signatures as alternatives, each is that of an issuer."""
    several = [
        one
        for one in clauses
        if isinstance(one, tuple) and one[0] == "or" and all(_has_signature(part) for part in one[1])
    ]
    if len(several) != 1:
        return [clauses]
    common = [one for one in clauses if one is not several[0]]
    return [flat([part, *common]) for part in several[0][1]]


def _has_signature(part: Formula) -> bool:
    return any(isinstance(fact, Fact) and fact.kind == "signed" for fact in flat([part]))


def _excuses(clause: Formula) -> bool:
    """Whether it holds for a request without a token."""
    return isinstance(clause, tuple) and clause[0] == "or" and any(_no_token(part) for part in clause[1])


def _no_token(part: Formula) -> bool:
    return isinstance(part, tuple) and part[0] == "not" and part[1].kind == "found"


def _without_excuse(clause: Formula) -> Formula:
    rest = [part for part in clause[1] if not _no_token(part)]
    return rest[0] if len(rest) == 1 else ("or", rest)


def _location(token: str) -> dict[str, Any]:
    """The token location of an issuer; {} for the default."""
    kind, _, rest = token.partition(":")
    if not token or token == _DEFAULT:
        return {}
    if kind == "cookie":
        return {"from_cookies": [{"name": rest, "forward": True}]}
    if kind == "param":
        return {"from_params": [{"name": rest, "forward": True}]}
    name, _, scheme = rest.partition(" ")
    return {"from_headers": [{"name": name, **({} if scheme == "Bearer" else {"scheme": scheme})}]}
