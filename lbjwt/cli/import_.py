"""``lbjwt import``: the configuration of another product as one of lbjwt."""

import sys
from pathlib import Path

import click

from lbjwt.cli.report import EXIT_CONFIGURATION
from lbjwt.imports import KINDS


@click.command("import")
@click.argument("kind", metavar="KIND", type=click.Choice([*KINDS]))
@click.argument("file", type=click.Path(path_type=Path))
def import_(kind: str, file: Path) -> None:
    """Print the configuration of another product as one of lbjwt.

    KIND is nginx, envoy, haproxy or alb (AWS Application Load Balancer, JSON). Standard error has one line with its place for each thing that was
    left out, that lbjwt does differently, or that is unsafe there.

    \b
        lbjwt import nginx /etc/nginx/nginx.conf > lbjwt.yaml
        lbjwt check lbjwt.yaml

    Exit code 0: everything was taken over; 1: something was left out; 2: the file cannot be read.
    """
    from lbjwt.config.problems import printable
    from lbjwt.imports.errors import ImportFailure
    from lbjwt.imports.load import import_file

    try:
        imported = import_file(kind, file)
    except ImportFailure as failure:
        click.echo(printable(str(failure)), err=True)
        sys.exit(EXIT_CONFIGURATION)
    click.echo(imported.text, nl=False)
    for finding in imported.findings:
        click.echo(printable(str(finding)), err=True)
    sys.exit(0 if imported.complete else 1)
