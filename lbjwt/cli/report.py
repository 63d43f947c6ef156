"""How problems are shown and what they mean for the exit code; lines in colour for a terminal."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from lbjwt.config.problems import Problem, printable

EXIT_CONFIGURATION: Final = 2

_GOOD: Final = {"fg": "green"}
_BAD: Final = {"fg": "red", "bold": True}
_DOUBTFUL: Final = {"fg": "yellow"}
_STYLES: Final[dict[str, dict[str, Any]]] = {
    **dict.fromkeys(("ok", "met", "good", "allowed"), _GOOD),
    **dict.fromkeys(("problem", "refused", "wrong"), _BAD),
    **dict.fromkeys(("warning", "reported", "unknown", "unchecked"), _DOUBTFUL),
    "note": {"dim": True},
    "title": {"bold": True},
    "plain": {},
}
"""By what a line tells: an outcome, a verdict, or its kind."""


def print_problems(problems: Sequence[Problem], source: str) -> None:
    for problem in problems:
        click.echo(problem.render(source), err=True)


def stop_for(problems: Sequence[Problem], *, strict: bool = False) -> None:
    """End the process with the exit code of a configuration problem when one of them is an error, or, if strict, when there is any."""
    if any(strict or problem.level == "error" for problem in problems):
        sys.exit(EXIT_CONFIGURATION)


def print_lines(lines: Iterable[tuple[str, str]]) -> None:
    """Print lines of (style, text): in colour on a terminal, plain anywhere else. No text drives the terminal."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    for style, text in lines:
        click.secho(printable(text), color=False if plain else None, **_STYLES[style])
