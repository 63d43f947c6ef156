"""Values that are compared as they stand and look as if somebody expected more of them: variables, stars in paths, claims inside claims."""

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, Final

from lbjwt.config.checks.words import warning
from lbjwt.config.fields import NOT_REPLACED, is_variable
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.route import Route
from lbjwt.config.rule import Rule
from lbjwt.config.section import Section

__all__ = ["check_literals"]

_DOTTED: Final = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)+", re.ASCII)
# A name that is a host, forwards (kubernetes.io) or backwards (com.example.roles), is the name of one claim: RFC 7519 §2, Collision-Resistant Name.
_DOMAINS: Final = frozenset(
    [
        "app",
        "cloud",
        "com",
        "dev",
        "edu",
        "example",
        "gov",
        "info",
        "int",
        "io",
        "local",
        "me",
        "mil",
        "net",
        "org",
        "test",
    ]
)
_PARAMETER: Final = re.compile(r"/:[A-Za-z_]")


def check_literals(configuration: Configuration) -> Iterator[Problem]:
    """Text that matches nothing, or not what was meant."""
    yield from _variables((), configuration)
    for at, route in enumerate(configuration.routes):
        yield from _path(("routes", at), route)
        for number, rule in enumerate(route.rules):
            yield from _rules(("routes", at, "rules", number), rule)
    for at, pair in enumerate(configuration.claim_to_headers):
        yield from _claim(("claim_to_headers", at, "claim"), pair.claim)
    for label, issuer in configuration.issuers.items():
        for at, name in enumerate(issuer.required_claims):
            yield from _claim(("issuers", label, "required_claims", at), (name,), listed=False)


def _variables(path: KeyPath, value: Any) -> Iterator[Problem]:
    if isinstance(value, Section):
        for name, field in type(value).model_fields.items():
            yield from _variables((*path, field.alias or name), getattr(value, name))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _variables((*path, key), inner)
    elif isinstance(value, list | tuple):
        for at, inner in enumerate(value):
            yield from _variables((*path, at), inner)
    elif isinstance(value, str | PurePath) and is_variable(str(value) if isinstance(value, str) else value.name):
        yield warning(path, "variable-as-text", NOT_REPLACED)


def _path(path: KeyPath, route: Route) -> Iterator[Problem]:
    for key in ("path", "prefix"):
        text = getattr(route, key) or ""
        whole = re.fullmatch(r"(/[^*]*?)/?\*{1,2}", text)
        if whole is not None:
            message = f"* is no wildcard: requests have no such path; for everything below, write prefix: {whole[1]}"
            yield warning((*path, key), "path-with-star", message)
        elif "*" in text or _PARAMETER.search(text):
            message = "paths are compared as they stand, there are no wildcards and parameters; a prefix is whole steps"
            yield warning((*path, key), "path-with-star", message)


def _rules(path: KeyPath, rule: Rule) -> Iterator[Problem]:
    yield from _claim((*path, "claim"), rule.claim)
    for key, inner in (("all", rule.all), ("any", rule.any)):
        for at, one in enumerate(inner or ()):
            yield from _rules((*path, key, at), one)
    if rule.not_ is not None:
        yield from _rules((*path, "not"), rule.not_)


def _claim(path: KeyPath, claim: tuple[str, ...] | None, *, listed: bool = True) -> Iterator[Problem]:
    if claim is None or len(claim) != 1 or not _DOTTED.fullmatch(claim[0]):
        return
    steps = claim[0].split(".")
    if steps[0].lower() in _DOMAINS or steps[-1].lower() in _DOMAINS:
        return
    way = (
        f"for a claim inside a claim, write [{', '.join(steps)}]"
        if listed
        else f"ask for {steps[0]}, or for the inner claim in a rule"
    )
    yield warning(path, "claim-with-dots", f"a dot is a part of the name, and this is the name of one claim; {way}")
