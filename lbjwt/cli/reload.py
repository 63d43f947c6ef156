"""``lbjwt reload``: have a running balancer read its configuration again, and tell what changed, or every problem."""

import sys
from typing import Any, Final

import click

from lbjwt.cli.admin import ask
from lbjwt.cli.report import EXIT_CONFIGURATION
from lbjwt.config.problems import printable

TIMEOUT: Final = 40.0
"""Seconds for the answer: the balancer gives up after 30."""


@click.command()
@click.option(
    "--admin",
    metavar="URL",
    default="http://127.0.0.1:9900",
    show_default=True,
    help="Admin API of the running balancer.",
)
def reload(admin: str) -> None:
    """Have a running balancer read its configuration file again.

    Prints each change. A file with problems changes nothing: the old configuration stays in force, and every problem is printed as `lbjwt check`
    prints it. Settings that need a restart are named, and keep their old values until then. SIGHUP to the supervisor does the same.

    Exit code 0: applied; 1: no answer, or not applied everywhere; 2: the configuration has problems.
    """
    reply = ask(admin, "POST", "/reload", "{}", doubt="it is unknown whether it reloaded", timeout=TIMEOUT)
    if "changes" not in reply.members:
        why = reply.error or "it does not reload; is this the admin API of `lbjwt serve`?"
        raise click.ClickException(f"refused with status {reply.status}: {why}")
    _print(reply.members["warnings"], err=True)
    problems, failed = reply.members["problems"], reply.members["failed"]
    if problems:
        _print(problems, err=True)
        click.echo("not reloaded, the old configuration stays in force", err=True)
        sys.exit(EXIT_CONFIGURATION)
    _print(reply.members["changes"] or ([] if failed else ["no changes"]))
    if restart := reply.members["restart"]:
        names = ", ".join(map(str, restart))
        click.echo(printable(f"needs a restart: {names}; the old values stay in force until then"), err=True)
    if failed:
        _print(failed, err=True)
        sys.exit(1)


def _print(lines: list[Any], *, err: bool = False) -> None:
    for line in lines:
        click.echo(printable(str(line)), err=err)
