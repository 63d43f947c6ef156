"""``lbjwt check``: every problem of a configuration file in one run."""

from pathlib import Path

import click

from lbjwt.cli.report import print_problems, stop_for


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
def check(config: Path, strict: bool) -> None:
    """Report every problem of a configuration file, with line, column and a suggestion.

    The same run reads the files it names: keys must load, and a certificate must match its private key. Warnings appear once no key or value is
    wrong.
    Exit code 0: no errors (with --strict: and no warnings); 2: problems.
    """
    from lbjwt.checks.registry import every_problem
    from lbjwt.config.load import examine_file

    examination = examine_file(config)
    problems = every_problem(examination)
    print_problems(problems, examination.source)
    stop_for(problems, strict=strict)
    warnings = f", {len(problems)} warning{'s' if len(problems) > 1 else ''}" if problems else ""
    click.echo(f"{config}: good{warnings}")
