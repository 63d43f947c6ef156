"""``lbjwt doctor``: is everything there that a configuration needs, on this machine, now?"""

import dataclasses
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from lbjwt.checks.results import OUTCOMES, Result
from lbjwt.cli.report import EXIT_CONFIGURATION, print_lines
from lbjwt.config.problems import Problem


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON with stable names, for programs.")
def doctor(config: Path, as_json: bool) -> None:
    """Test whether everything that a configuration needs is there and works.

    Checks the configuration and its files, the issuers with their metadata, keys and clocks, certificates and their dates, free ports, connections
    to endpoints, the state directory, the revocations and the limit of open files. Each problem comes with a remedy. Run it on the same
    machine and as the same user as lbjwt, also while lbjwt is running. It changes nothing. Each check ends after its configured timeout or 5 s.

    Exit code 0: no problem, perhaps warnings; 1: problems; 2: the configuration cannot be used.
    """
    from lbjwt.checks.registry import doctor_results, every_problem
    from lbjwt.config.load import examine_file

    logging.getLogger("lbjwt").addHandler(logging.NullHandler())  # what goes wrong is in the report
    examination = examine_file(config)
    if examination.configuration is None:
        _show([_result(problem) for problem in every_problem(examination)], as_json)
        sys.exit(EXIT_CONFIGURATION)
    problems, online = doctor_results(examination)
    known = [_result(problem) for problem in problems]
    if not known:
        known.append(Result("configuration", "configuration", "ok", f"{config} and the files it names are valid"))
    results = [*known, *online]
    _show(results, as_json)
    sys.exit(1 if any(result.outcome == "problem" for result in results) else 0)


def _result(problem: Problem) -> Result:
    place = f"line {problem.line}: " if problem.line is not None else ""
    sentence = place + dataclasses.replace(problem, level="error", line=None).render()
    return Result("configuration", "configuration", "problem" if problem.level == "error" else "warning", sentence)


def _show(results: Sequence[Result], as_json: bool) -> None:
    problems, warnings = (sum(one.outcome == outcome for one in results) for outcome in ("problem", "warning"))
    if not as_json:
        print_lines(_lines(results, problems, warnings))
        return
    report = {
        "outcome": max((result.outcome for result in results), key=OUTCOMES.index, default="ok"),
        "problems": problems,
        "warnings": warnings,
        "findings": [dataclasses.asdict(result) for result in results],
    }
    click.echo(json.dumps(report, indent=2))


def _lines(results: Sequence[Result], problems: int, warnings: int) -> Iterator[tuple[str, str]]:
    width = max((len(result.check) for result in results), default=0)
    subject = ""
    for result in results:
        if result.subject != subject:
            subject = result.subject
            yield "title", subject
        yield result.outcome, f"  {result.outcome:<8} {result.check:<{width}}  {result.sentence}"
    yield "plain", ""
    yield (
        "problem" if problems else "warning" if warnings else "ok",
        f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}",
    )


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
