"""
What one check said of one token, in words: for `lbjwt explain`, whose reader holds the token and the configuration anyway.

The details quote claims, so an outcome is shown to the one who asked and never goes into a log, a counter or an answer to a client. Keys,
signatures and the token itself are in none.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Outcome", "scopes_shown", "shown"]

MAX_SHOWN = 80  # characters of one quoted claim: a line of a terminal


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One check.

    Attributes:
        rule: What was asked, in the words of the configuration.
        outcome: `met`; `refused`; `reported` when it would have refused but is report-only; `unknown` when a rule could not be judged,
            since the claim is not there or of another type. What is unknown is refused too.
        detail: What was found; "" when there is nothing to add.
    """

    rule: str
    outcome: Literal["met", "refused", "reported", "unknown"]
    detail: str = ""


def shown(value: Any) -> str:
    """A claim for the eye: JSON in visible ASCII, cut at 80 characters; `missing` for None."""
    if value is None:
        return "missing"
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def scopes_shown(claims: dict[str, Any]) -> str:
    """The claim that scopes are read from, for the eye."""
    name = "scp" if claims.get("scope") is None and claims.get("scp") is not None else "scope"
    return f"{name} is {shown(claims.get(name))}"
