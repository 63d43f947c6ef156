"""What a look at a configuration and its surroundings found: frozen values, without a key, a secret or a token in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["OUTCOMES", "Finding", "Report"]

Outcome = Literal["ok", "note", "warning", "problem"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("ok", "note", "warning", "problem")
"""From the best to the worst. A note is worth knowing and asks for nothing; a warning asks for something soon; with a problem it does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was looked at.

    Attributes:
        subject: The part of the configuration, by its path: `issuers.main`.
        check: What was looked at: a stable word.
        sentence: What was found, and what to do about it.
    """

    subject: str
    check: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found, in the order of the configuration."""

    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Outcome:
        """The worst of the outcomes; `ok` without any."""
        return max((finding.outcome for finding in self.findings), key=OUTCOMES.index, default="ok")

    def count(self, outcome: Outcome) -> int:
        """Findings with this outcome."""
        return sum(finding.outcome == outcome for finding in self.findings)

    @classmethod
    def of(cls, groups: Iterable[Iterable[Finding]]) -> Report:
        """Of findings that were gathered in groups."""
        return cls(tuple(finding for group in groups for finding in group))
