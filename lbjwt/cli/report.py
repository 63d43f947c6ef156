"""How problems are shown and what they mean for the exit code; lines in colour for a terminal."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from lbjwt.config.problems import Problem

EXIT_CONFIGURATION: Final = 2

_STYLES: Final[dict[str, dict[str, Any]]] = {
    "good": {"fg": "green"},
    "bad": {"fg": "red", "bold": True},
    "doubtful": {"fg": "yellow"},
    "quiet": {"dim": True},
    "strong": {"bold": True},
    "plain": {},
}


def print_problems(problems: Sequence[Problem], source: str) -> None:
    for problem in problems:
        click.echo(problem.render(source), err=True)


def stop_for(problems: Sequence[Problem], *, strict: bool = False) -> None:
    """End the process with the exit code of a configuration problem when one of them is an error, or, if strict, when there is any."""
    if any(strict or problem.level == "error" for problem in problems):
        sys.exit(EXIT_CONFIGURATION)


def print_lines(lines: Iterable[tuple[str, str]]) -> None:
    """Print lines of (style, text): in colour on a terminal, plain anywhere else."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    for style, text in lines:
        click.secho(text, color=False if plain else None, **_STYLES[style])
