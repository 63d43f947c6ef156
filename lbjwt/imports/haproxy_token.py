"""What HAProxy's rules ask of a token: conditions on ``jwt_verify``, ``jwt_header_query`` and ``jwt_payload_query``."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lbjwt.imports.findings import Place
from lbjwt.imports.haproxy_file import Test, split_sample

_COMPARISONS: Final = {"eq": "equals", "ge": "at_least", "gt": "more_than", "le": "at_most", "lt": "less_than"}


@dataclass(frozen=True, slots=True)
class Fact:
    """
    Something about the token of a request that may hold or not.

    Attributes:
        kind: ``found``, ``signed``, ``alg``, ``typ``, ``iss``, ``aud``, ``live`` (not expired), ``dead`` (expired), ``rule``, or ``unknown``.
        value: Of ``signed`` the algorithm ("" for that of the token) and the key; of ``rule`` a rule of lbjwt as a sorted tuple; else texts.
    """

    kind: str
    value: tuple[Any, ...] = ()
    token: str = ""
    place: Place = field(default=Place("", 0), compare=False)


Formula = Any
"""True, False, a Fact, ``("not", Fact)``, ``("and", [Formula])`` or ``("or", [Formula])``."""

Variables = dict[str, str]
"""What each variable was set to, as a sample."""


def expand(sample: str, variables: Variables) -> list[tuple[str, str]]:
    """Fetch and converters of a sample, with variables replaced by what they were set to."""
    steps = split_sample(sample)
    for _ in range(8):
        if not steps or steps[0][0] != "var" or steps[0][1] not in variables:
            break
        steps = [*split_sample(variables[steps[0][1]]), *steps[1:]]
    return steps


def token_place(steps: list[tuple[str, str]]) -> tuple[str, int] | None:
    """Where a sample takes the token from, as ``header:NAME SCHEME``, ``cookie:NAME`` or ``param:NAME``, and how many steps that takes."""
    if not steps:
        return None
    name, argument = steps[0]
    following = [step for step, _ in steps[1:3]]
    if name == "http_auth_bearer":
        return f"header:{argument or 'Authorization'} Bearer", 1
    if name in ("req.hdr", "hdr", "req.fhdr"):
        if argument.lower() == "authorization" or following[:1] in (["word"], ["regsub"], ["field"]):
            cut = 2 if following[:1] in (["word"], ["regsub"], ["field"]) else 1
            return f"header:{argument.split(',')[0].title()} Bearer", cut
        return f"header:{argument.split(',')[0].title()} ", 1
    if name in ("req.cook", "cook"):
        return f"cookie:{argument}", 1
    return (f"param:{argument}", 1) if name in ("url_param", "urlp") else None


def fact_of(test: Test, variables: Variables) -> Fact:
    """What a test asks of the token."""
    return replace(_fact(test, variables), place=test.place)


def _fact(test: Test, variables: Variables) -> Fact:
    steps = expand(test.sample, variables)
    if _is_expiry(steps):
        return _expiry(steps, test)
    place = token_place(steps)
    if place is None or test.from_file:
        return Fact("unknown")
    token, cut = place
    rest = steps[cut:]
    if not rest:
        return Fact("found", token=token) if test.how == "found" else Fact("unknown")
    converter, argument = rest[0]
    if converter in ("jwt_verify", "jwt_verify_cert"):
        algorithm, _, key = (part.strip().strip("\"'") for part in argument.partition(","))
        if test.patterns in (("1",), ("eq", "1")):
            return Fact(
                "signed", ("" if algorithm.startswith(("txn.", "req.", "sess.", "proc.")) else algorithm, key), token
            )
        return Fact("unknown")
    if len(rest) > 1 and rest[1][0] not in ("lower", "str"):
        return Fact("unknown")
    name = argument.split(",")[0].strip().strip("\"'")
    if converter == "jwt_header_query" and name in ("$.alg", "$.typ") and test.how in ("", "str"):
        return Fact(name[2:], test.patterns, token)
    if converter != "jwt_payload_query":
        return Fact("unknown")
    claim = _path(name)
    return Fact("unknown") if claim is None else _claim(claim, test, token)


def _claim(claim: list[str], test: Test, token: str) -> Fact:
    path: Any = claim[0] if len(claim) == 1 else tuple(claim)
    rule: dict[str, Any] | None = None
    if test.ignore_case:
        return Fact("unknown")
    if test.how == "found":
        rule = {"claim": path, "exists": True}
    elif (
        test.how in ("int", "")
        and len(test.patterns) == 2
        and test.patterns[0] in _COMPARISONS
        and test.patterns[1].lstrip("-").isdigit()
    ):
        rule = {"claim": path, _COMPARISONS[test.patterns[0]]: int(test.patterns[1])}
    elif test.how in ("", "str") and test.patterns:
        if claim in (["iss"], ["aud"]):
            return Fact(claim[0], test.patterns, token)
        rule = (
            {"claim": path, "equals": test.patterns[0]}
            if len(test.patterns) == 1
            else {"claim": path, "one_of": test.patterns}
        )
    elif test.how == "beg" and len(test.patterns) == 1:
        rule = {"claim": path, "prefix": test.patterns[0]}
    elif test.how == "sub" and test.patterns:
        if claim == ["aud"]:
            return Fact("aud", test.patterns, token)
        one = len(test.patterns) == 1
        rule = (
            {"claim": path, "contains_word": test.patterns[0]}
            if one
            else {"claim": path, "contains_any_word": test.patterns}
        )
    return Fact("rule", tuple(sorted(rule.items())), token) if rule is not None else Fact("unknown")


def _path(query: str) -> list[str] | None:
    """The claim that a JSON path such as ``$.realm_access.roles`` names."""
    if not query.startswith("$"):
        return None
    steps = re.findall(r"\.([A-Za-z0-9_-]+)|\[['\"]([^'\"]+)['\"]\]", query[1:])
    whole = "".join(f".{one}" if one else "" for one, _ in steps)
    if any(other for _, other in steps):
        return [one or other for one, other in steps]
    return [one for one, _ in steps] if whole == query[1:] and steps else None


def _is_expiry(steps: list[tuple[str, str]]) -> bool:
    return any(name == "sub" for name, _ in steps) and (
        "date" in (steps[0][0] if steps else "") or any("$.exp" in argument for _, argument in steps)
    )


def _expiry(steps: list[tuple[str, str]], test: Test) -> Fact:
    """``exp - now`` or ``now - exp``, compared with 0 or with a leeway."""
    if len(test.patterns) != 2 or test.patterns[0] not in ("lt", "le", "gt", "ge"):
        return Fact("unknown")
    below = test.patterns[0] in ("lt", "le")
    now_first = steps[0][0] == "date"
    place = token_place(steps)
    return Fact("live" if below == now_first else "dead", token=place[0] if place is not None else "")


def negation(formula: Formula) -> Formula:
    if isinstance(formula, bool):
        return not formula
    if isinstance(formula, Fact):
        return ("not", formula)
    kind, inner = formula
    if kind == "not":
        return inner
    return (disjunction if kind == "and" else conjunction)([negation(one) for one in inner])


def conjunction(formulas: list[Formula]) -> Formula:
    if any(one is False for one in formulas):
        return False
    rest = [one for one in formulas if one is not True]
    return True if not rest else rest[0] if len(rest) == 1 else ("and", rest)


def disjunction(formulas: list[Formula]) -> Formula:
    if any(one is True for one in formulas):
        return True
    rest = [one for one in formulas if one is not False]
    return False if not rest else rest[0] if len(rest) == 1 else ("or", rest)


def names_token(formula: Formula) -> bool:
    """Whether it depends on what is in a token; that a header or cookie is there may mean anything."""
    if isinstance(formula, Fact):
        return formula.kind not in ("unknown", "found")
    if isinstance(formula, bool):
        return False
    return any(names_token(one) for one in (formula[1] if isinstance(formula[1], list) else [formula[1]]))


def is_unknown(formula: Formula) -> bool:
    """Whether it depends on something that lbjwt cannot check."""
    if isinstance(formula, Fact):
        return formula.kind == "unknown"
    if isinstance(formula, bool):
        return False
    return any(is_unknown(one) for one in (formula[1] if isinstance(formula[1], list) else [formula[1]]))
