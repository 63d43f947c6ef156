"""``lbjwt serve``: from a file or from flags to a running balancer."""

import sys
from pathlib import Path
from typing import Any

import click

from lbjwt.cli.report import print_problems, stop_for
from lbjwt.config.check import check
from lbjwt.config.dump import dump
from lbjwt.config.flags import Flags, configuration_from_flags, problems_under_flags
from lbjwt.config.load import Examination, examine_file
from lbjwt.config.model import Configuration
from lbjwt.config.problems import ConfigurationError, Problem

__all__ = ["serve"]


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--listen", multiple=True, metavar="HOST:PORT", help="Where clients connect; :PORT is all addresses. Repeatable.")
@click.option("--backend", multiple=True, metavar="HOST:PORT", help="Where requests go; also unix:PATH. Repeatable.")
@click.option("--jwks", metavar="FILE-or-URL", help="The keys: a JWK Set in a file or behind an https URL.")
@click.option("--pem", metavar="FILE", help="The key: a public key or certificate in PEM, in place of --jwks.")
@click.option("--secret-file", metavar="FILE", help="The key: a file whose bytes are the HMAC secret, in place of --jwks.")
@click.option("--issuer", metavar="TEXT", help="The exact iss claim of tokens.")
@click.option("--any-issuer", is_flag=True, help="Accept tokens of any issuer.")
@click.option("--audience", multiple=True, metavar="TEXT", help="An accepted aud claim. Repeatable.")
@click.option("--any-audience", is_flag=True, help="Accept tokens for any audience.")
@click.option("--algorithm", multiple=True, metavar="NAME", help="An accepted signature algorithm, such as RS256. Repeatable; default: what the keys say.")
@click.option("--claim-header", multiple=True, metavar="CLAIM=Header-Name", help="Pass a claim on to backends as a header. Repeatable.")
@click.option("--tls-cert", metavar="FILE", help="PEM certificate chain for the listeners.")
@click.option("--tls-key", metavar="FILE", help="PEM private key for the listeners.")
@click.option("--workers", metavar="N|auto", help="Worker processes; auto is one for each processor.  [default: 1]")
@click.option("--admin", metavar="HOST:PORT", help="Open the admin door: /livez, /readyz, /metrics, /status.")
@click.option("--access-log", metavar="FILE|-", help="Write one JSON line for each request; - is standard output.")
@click.option("--print-config", is_flag=True, help="Print the configuration as YAML and stop.")
def serve(config: Path | None, print_config: bool, **said: Any) -> None:
    """Verify tokens and balance requests.

    Give a CONFIG file, or flags and no file: both make the same configuration. With --print-config the flags become a file:

        lbjwt serve --listen :8080 --backend 127.0.0.1:9001 --jwks jwks.json \\
            --issuer https://issuer.example --audience api --print-config > lbjwt.yaml
    """
    flags = Flags(**said)
    given = flags.given()
    if config is not None and given:
        raise click.UsageError(f"with a CONFIG file, {', '.join(given)} cannot be given: write it into the file.")
    if config is None and not given:
        raise click.UsageError("give a CONFIG file, or flags: at least --listen, --backend, --jwks, --issuer and --audience.")
    configuration, source, problems = _from_file(config) if config is not None else _from_flags(flags)
    if print_config:
        click.echo(dump(configuration), nl=False)
        return
    print_problems(problems, source)
    stop_for(problems)
    from lbjwt.process.supervisor import run

    sys.exit(run(configuration))


def _from_file(config: Path) -> tuple[Configuration, str, list[Problem]]:
    from lbjwt.cli.files import file_problems

    examination: Examination = examine_file(config)
    if examination.configuration is None or examination.errors:
        print_problems(examination.problems, examination.source)
        stop_for(examination.problems)
    configuration = examination.configuration
    assert configuration is not None
    return configuration, examination.source, [*examination.problems, *examination.placed(file_problems(configuration))]


def _from_flags(flags: Flags) -> tuple[Configuration, str, list[Problem]]:
    from lbjwt.cli.files import file_problems

    try:
        configuration = configuration_from_flags(flags, Path.cwd())
    except ConfigurationError as error:
        print_problems(error.problems, "")
        stop_for(error.problems)
        raise AssertionError("an error stops") from error
    return configuration, "", problems_under_flags([*check(configuration), *file_problems(configuration)])
