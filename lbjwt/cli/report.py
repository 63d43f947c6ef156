"""How commands show problems and exit for them; lines in colour for a terminal."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from lbjwt.config.problems import Problem, printable

EXIT_CONFIGURATION: Final = 2

_STYLES: Final[dict[str, dict[str, Any]]] = {
    **{key: {"fg": "green"} for key in ("ok", "met", "good", "allowed")},
    **{key: {"fg": "red", "bold": True} for key in ("problem", "refused", "wrong")},
    **{key: {"fg": "yellow"} for key in ("warning", "reported", "unknown", "unchecked")},
    "note": {"dim": True},
    "title": {"bold": True},
    "plain": {},
}


def print_problems(problems: Sequence[Problem], source: str) -> None:
    for problem in problems:
        click.echo(problem.render(source), err=True)


def stop_for(problems: Sequence[Problem], *, strict: bool = False) -> None:
    """Exit with code 2 if one of them is an error or, if strict, if there is any."""
    if any(strict or problem.level == "error" for problem in problems):
        sys.exit(EXIT_CONFIGURATION)


def print_lines(lines: Iterable[tuple[str, str]]) -> None:
    """Print lines of (style, text), in colour on a terminal; control characters of a text do not reach it."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    for style, text in lines:
        click.secho(printable(text), color=False if plain else None, **_STYLES[style])
