"""Text that is compared as it stands and looks as if more was expected of it: a variable, a star in a path, a claim inside a claim."""

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from lbjwt.checks.codes import warning
from lbjwt.checks.routes import comparisons
from lbjwt.config.fields import is_variable
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.section import leaves

_PATTERN: Final = re.compile(r"\*|/:[A-Za-z_]")
_DOTTED: Final = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)+", re.ASCII)
# A name that is a host, forwards (kubernetes.io) or backwards (com.example.roles), is the name of one claim: RFC 7519 §2, Collision-Resistant Name.
_DOMAINS: Final = frozenset([
    "app", "cloud", "com", "dev", "edu", "example", "gov", "info", "int", "io", "local", "me", "mil", "net", "org", "test",
])  # fmt: skip


def literal_warnings(configuration: Configuration) -> Iterator[Problem]:
    """Text that matches nothing, or not what was meant."""
    for path, value in leaves(configuration):
        text = value.name if isinstance(value, PurePath) else value
        if isinstance(text, str) and is_variable(text):
            yield warning(path, "variable-as-text")
    claims: list[tuple[KeyPath, tuple[str, ...] | None]] = [
        (("claim_to_headers", at, "claim"), pair.claim) for at, pair in enumerate(configuration.claim_to_headers)
    ]
    for label, issuer in configuration.issuers.items():
        claims += [
            (("issuers", label, "required_claims", at), (name,)) for at, name in enumerate(issuer.required_claims)
        ]
    for at, route in enumerate(configuration.routes):
        claims += [((*path, "claim"), rule.claim) for path, rule in comparisons(at, route.rules)]
        for key in ("path", "prefix"):
            if _PATTERN.search(getattr(route, key) or ""):
                yield warning(("routes", at, key), "path-with-star")
    for path, claim in claims:
        if claim is not None and len(claim) == 1 and _DOTTED.fullmatch(claim[0]):
            steps = claim[0].split(".")
            if not _DOMAINS & {steps[0].lower(), steps[-1].lower()}:
                yield warning(path, "claim-with-dots", steps=", ".join(steps))
