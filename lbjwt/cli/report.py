"""How problems are shown and what they mean for the exit code."""

import sys
from collections.abc import Sequence
from typing import Final

import click

from lbjwt.config.problems import Problem

__all__ = ["EXIT_CONFIGURATION", "print_problems", "stop_for"]

EXIT_CONFIGURATION: Final = 2


def print_problems(problems: Sequence[Problem], source: str) -> None:
    """Print one line for each problem on standard error."""
    for problem in problems:
        click.echo(problem.render(source), err=True)


def stop_for(problems: Sequence[Problem], *, strict: bool = False) -> None:
    """End the process with the exit code of a configuration problem when one of them is an error, or, if strict, when there is any."""
    if any(strict or problem.level == "error" for problem in problems):
        sys.exit(EXIT_CONFIGURATION)
