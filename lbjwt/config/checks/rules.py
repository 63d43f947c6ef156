"""Rules on claims that cannot mean what they say: contradictions, claims with checks of their own, prefixes in the middle of a word."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from lbjwt.auth.rules import OPERATORS
from lbjwt.config.checks.possible import Possible
from lbjwt.config.checks.words import warning
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.rule import Rule

__all__ = ["check_rules"]

_TEXT_OPERATORS: Final = ("equals", "one_of", "prefix", "contains_word", "contains_any_word", "contains_all_words")
_LIST_OPERATORS: Final = ("contains", "contains_any", "contains_all")
_NUMBER_OPERATORS: Final = ("less_than", "at_most", "more_than", "at_least")


def check_rules(configuration: Configuration) -> Iterator[Problem]:
    """The rules of each route."""
    for at, route in enumerate(configuration.routes):
        path: KeyPath = ("routes", at, "rules")
        placed = [((*path, number), rule) for number, rule in enumerate(route.rules)]
        yield from _contradictions([(where, rule) for where, rule in placed if not rule.report_only])
        every = [found for where, rule in placed for found in _all_rules(where, rule)]
        for where, rule in every:
            yield from _shape(where, rule)
            yield from _claim(where, rule)
        yield from _unverified(every)


def _all_rules(path: KeyPath, rule: Rule) -> Iterator[tuple[KeyPath, Rule]]:
    yield path, rule
    for key, inner in (("all", rule.all), ("any", rule.any)):
        for at, one in enumerate(inner or ()):
            yield from _all_rules((*path, key, at), one)
    if rule.not_ is not None:
        yield from _all_rules((*path, "not"), rule.not_)


def _comparison(rule: Rule) -> tuple[str, Any]:
    """The one operator of a rule that compares a claim, with what it compares with."""
    return next((name, value) for name in OPERATORS if (value := getattr(rule, name)) is not None)


def _together(placed: Sequence[tuple[KeyPath, Rule]]) -> Iterator[tuple[KeyPath, Rule]]:
    """The comparisons that must all hold when these rules must."""
    for path, rule in placed:
        if rule.claim is not None:
            yield path, rule
        elif rule.all is not None:
            yield from _together([((*path, "all", at), inner) for at, inner in enumerate(rule.all)])


def _contradictions(placed: Sequence[tuple[KeyPath, Rule]]) -> Iterator[Problem]:
    """What can never hold together; below `any` each branch is a world of its own, and below `not` nothing has to hold."""
    claims: dict[tuple[str, ...], Possible] = {}
    for path, rule in _together(placed):
        assert rule.claim is not None
        name, operand = _comparison(rule)
        possible = claims.setdefault(rule.claim, Possible())
        if possible.is_empty():
            continue  # told already
        possible.narrow(name, operand)
        if possible.is_empty():
            yield warning(
                (*path, name),
                "rule-never-holds",
                "no claim can be this and what the other rules here ask: every token is refused",
            )
    for path, rule in placed:
        yield from _branches(path, rule)


def _branches(path: KeyPath, rule: Rule) -> Iterator[Problem]:
    for at, inner in enumerate(rule.any or ()):
        yield from _contradictions([((*path, "any", at), inner)])
    for at, inner in enumerate(rule.all or ()):
        yield from _branches((*path, "all", at), inner)


def _shape(path: KeyPath, rule: Rule) -> Iterator[Problem]:
    for key, inner in (("all", rule.all), ("any", rule.any)):
        if inner is not None and len(inner) == 1:
            yield warning(
                (*path, key), "rule-of-one", f"{key} of one rule is that rule; was another one meant?", at_key=True
            )
    if rule.not_ is not None and rule.not_.not_ is not None:
        yield warning((*path, "not"), "rule-twice-denied", "not of a not is the rule itself", at_key=True)
    asked = {(inner.claim, inner.exists) for inner in rule.any or () if inner.exists is not None}
    if any((claim, not there) in asked for claim, there in asked):
        yield warning(
            (*path, "any"), "rule-always-holds", "a claim is there or it is not: every token passes", at_key=True
        )


def _claim(path: KeyPath, rule: Rule) -> Iterator[Problem]:
    """Claims whose form or checking is not that of any claim."""
    if rule.claim is None:
        return
    name, operand = _comparison(rule)
    here = (*path, name)
    only = rule.claim[0] if len(rule.claim) == 1 else ""
    if only == "aud" and name in (*_TEXT_OPERATORS, *_LIST_OPERATORS):
        yield warning(
            here,
            "rule-on-audience",
            "aud is a text or a list as the issuer likes; audiences takes both (RFC 7519 §4.1.3)",
        )
    elif only in ("scope", "scp") and name in (*_TEXT_OPERATORS, *_LIST_OPERATORS):
        yield warning(
            here,
            "rule-on-scope",
            "scopes come as one text of words or as a list; the key scopes takes both (RFC 8693 §4.2)",
        )
    elif only == "iss" and name in _TEXT_OPERATORS:
        yield warning(here, "rule-on-issuer", "whose tokens open a route is said under require, by the issuer's label")
    elif only in ("exp", "nbf", "iat", "auth_time") and name in _NUMBER_OPERATORS:
        yield warning(
            here,
            "rule-on-time",
            "a moment written here passes; max_lifetime and max_age of the issuer move with the clock",
        )
    elif name == "prefix" and str(operand)[-1:].isalnum():
        yield warning(
            here,
            "rule-prefix-open",
            "it ends in the middle of a word: admin is also the beginning of administrator, and a host that of another",
        )


def _unverified(every: Sequence[tuple[KeyPath, Rule]]) -> Iterator[Problem]:
    verified = any(rule.claim == ("email_verified",) for _, rule in every)
    for path, rule in every:
        if rule.claim == ("email",) and not verified and rule.exists is None:
            yield warning(
                (*path, _comparison(rule)[0]),
                "email-unverified",
                "many issuers let people type any address; ask for email_verified, too, or for sub (OpenID Connect Core §5.7)",
            )
