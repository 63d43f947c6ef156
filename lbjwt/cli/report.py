"""How problems are shown and what they mean for the exit code; lines in colour for a terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import Final

import click

from lbjwt.config.problems import Problem

__all__ = ["EXIT_CONFIGURATION", "print_lines", "print_problems", "stop_for"]

EXIT_CONFIGURATION: Final = 2

_COLOURS: Final = {
    "good": "green",
    "bad": "bold red",
    "doubtful": "yellow",
    "quiet": "dim",
    "strong": "bold",
    "plain": "",
}


def print_problems(problems: Sequence[Problem], source: str) -> None:
    """Print one line for each problem on standard error."""
    for problem in problems:
        click.echo(problem.render(source), err=True)


def stop_for(problems: Sequence[Problem], *, strict: bool = False) -> None:
    """End the process with the exit code of a configuration problem when one of them is an error, or, if strict, when there is any."""
    if any(strict or problem.level == "error" for problem in problems):
        sys.exit(EXIT_CONFIGURATION)


def print_lines(lines: Iterable[tuple[str, str]]) -> None:
    """Print lines of (style, text): in colour on a terminal, plain anywhere else, and never folded."""
    if not sys.stdout.isatty():
        for _, text in lines:
            click.echo(text)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for style, text in lines:
        console.print(Text(text, style=_COLOURS[style]), soft_wrap=True)
