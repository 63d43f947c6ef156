"""A report for programs (stable names) and for people (lines, each with a style that a terminal may colour). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lbjwt.doctor.model import Report

__all__ = ["as_json", "as_lines"]

_STYLES: Final = {"ok": "good", "note": "quiet", "warning": "doubtful", "problem": "bad"}


def as_json(report: Report) -> dict[str, Any]:
    """For programs. Names are never taken away or given another meaning."""
    return {
        "outcome": report.worst,
        "problems": report.count("problem"),
        "warnings": report.count("warning"),
        "findings": [
            {
                "subject": finding.subject,
                "check": finding.check,
                "outcome": finding.outcome,
                "sentence": finding.sentence,
            }
            for finding in report.findings
        ],
    }


def as_lines(report: Report) -> Iterator[tuple[str, str]]:
    """For people: (style, text), by subject."""
    width = max((len(finding.check) for finding in report.findings), default=0)
    subject = ""
    for finding in report.findings:
        if finding.subject != subject:
            subject = finding.subject
            yield "strong", _printable(subject)
        yield (
            _STYLES[finding.outcome],
            _printable(f"  {finding.outcome:<8} {finding.check:<{width}}  {finding.sentence}"),
        )
    yield "plain", ""
    problems, warnings = report.count("problem"), report.count("warning")
    style = "bad" if problems else "doubtful" if warnings else "good"
    yield style, f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}"


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"


def _printable(text: str) -> str:
    """Nothing that came from a server or a file drives the terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "replace").decode("ascii")
        for character in text
    )
