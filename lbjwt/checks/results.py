"""What a check of `doctor` found."""

from dataclasses import dataclass
from typing import Final, Literal

Outcome = Literal["ok", "note", "warning", "problem"]

OUTCOMES: Final[tuple[Outcome, ...]] = ("ok", "note", "warning", "problem")
"""From the best to the worst. A note is worth knowing and asks for nothing; a warning asks for something soon; with a problem it does not work."""


@dataclass(frozen=True, slots=True)
class Result:
    """
    What a check found, without a key, a secret or a token.

    Attributes:
        subject: The part of the configuration, by its path: `issuers.main`.
        check: What was checked: a stable word.
        sentence: What was found, and what to do about it.
    """

    subject: str
    check: str
    outcome: Outcome
    sentence: str


def keys_counted(count: int) -> str:
    """Return "1 key", "2 keys"."""
    return f"{count} key{'s' if count != 1 else ''}"
