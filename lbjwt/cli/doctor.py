"""``lbjwt doctor``: is everything there that a configuration needs, on this machine, now?"""

import asyncio
import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from lbjwt.cli.report import EXIT_CONFIGURATION, print_lines
from lbjwt.config.load import Examination, examine_file
from lbjwt.config.problems import Problem, key_path_text
from lbjwt.doctor.model import Finding, Report

__all__ = ["doctor"]

_OWN: Final = frozenset({"key-file", "unreadable", "key-left-out"})
"""Codes of file problems under issuers that the doctor looks at itself."""


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs, with stable names.")
def doctor(config: Path, as_json: bool) -> None:
    """Test whether everything that a configuration needs is there and works.

    Checks the configuration and its files, the issuers with their metadata, keys and clocks, certificates and their dates, free ports, connections
    to endpoints, the state directory, the revocations and the limit of open files. Each problem comes with what to do. Run it on the machine
    and as the user that lbjwt runs as, also beside a running lbjwt. Nothing is changed. Each check ends after its configured timeout or 5 s.

    Exit code 0: no problem, perhaps warnings; 1: problems; 2: the configuration cannot be used.
    """
    logging.getLogger("lbjwt").addHandler(logging.NullHandler())  # what goes wrong is in the report
    examination = examine_file(config)
    known = list(_findings(examination.problems, examination))
    if examination.configuration is None or examination.errors:
        _show(Report(tuple(known)), as_json)
        sys.exit(EXIT_CONFIGURATION)
    from lbjwt.cli.files import file_problems
    from lbjwt.doctor.examine import examine

    files = [
        problem
        for problem in file_problems(examination.configuration)
        if not (problem.path[0] == "issuers" and problem.code in _OWN) and problem.code != "tls-certificate"
    ]
    known += _findings(examination.placed(files), examination)
    if not known:
        known.append(Finding("configuration", "configuration", "ok", f"{config} is good, and so are its files"))
    report = asyncio.run(examine(examination.configuration, known))
    _show(report, as_json)
    sys.exit(1 if report.worst == "problem" else 0)


def _findings(problems: Iterable[Problem], examination: Examination) -> Iterable[Finding]:
    for problem in problems:
        place = f"line {problem.line}: " if problem.line is not None else ""
        path = f"{key_path_text(problem.path)}: " if problem.path else ""
        outcome = "problem" if problem.level == "error" else "warning"
        hint = f'; did you mean "{problem.suggestion}"?' if problem.suggestion is not None else ""
        yield Finding(
            "configuration",
            "configuration",
            outcome,  # type: ignore[arg-type]
            f"{place}{path}{problem.message}{hint}",
        )


def _show(report: Report, as_json: bool) -> None:
    from lbjwt.doctor import render

    if as_json:
        click.echo(json.dumps(render.as_json(report), indent=2))
    else:
        print_lines(render.as_lines(report))
