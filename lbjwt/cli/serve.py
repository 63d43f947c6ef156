"""``lbjwt serve``: from a file or from flags to a running balancer."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lbjwt.cli.report import EXIT_CONFIGURATION, print_problems, stop_for
from lbjwt.config.check import check
from lbjwt.config.dump import dump
from lbjwt.config.flags import Flags, configuration_from_flags, problems_under_flags
from lbjwt.config.load import examine_file
from lbjwt.config.model import Configuration
from lbjwt.config.problems import ConfigurationError, Problem

__all__ = ["serve"]


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option(
    "--listen", multiple=True, metavar="HOST:PORT", help="Address for clients; :PORT is all addresses. Repeatable."
)
@click.option("--backend", multiple=True, metavar="HOST:PORT", help="A backend; also unix:PATH. Repeatable.")
@click.option(
    "--jwks",
    metavar="FILE-or-URL",
    help="The keys: a JWK Set in a file or behind an https URL.  [default: found by --issuer]",
)
@click.option("--pem", metavar="FILE", help="The key: a public key or certificate in PEM, in place of --jwks.")
@click.option(
    "--secret-file", metavar="FILE", help="The key: a file whose bytes are the HMAC secret, in place of --jwks."
)
@click.option(
    "--issuer",
    metavar="TEXT",
    help="The exact iss claim of tokens. An https URL without --jwks, --pem and --secret-file: its keys are found by discovery.",
)
@click.option("--any-issuer", is_flag=True, help="Accept tokens of any issuer.")
@click.option("--audience", multiple=True, metavar="TEXT", help="An accepted aud claim. Repeatable.")
@click.option("--any-audience", is_flag=True, help="Accept tokens for any audience.")
@click.option(
    "--algorithm",
    multiple=True,
    metavar="NAME",
    help="An accepted signature algorithm, such as RS256. Repeatable; default: the algorithms of the keys.",
)
@click.option(
    "--claim-header",
    multiple=True,
    metavar="CLAIM=Header-Name",
    help="Pass a claim on to backends as a header. Repeatable.",
)
@click.option("--tls-cert", metavar="FILE", help="PEM certificate chain for the listeners.")
@click.option("--tls-key", metavar="FILE", help="PEM private key for the listeners.")
@click.option("--workers", metavar="N|auto", help="Worker processes; auto is one for each processor.  [default: 1]")
@click.option(
    "--admin",
    metavar="HOST:PORT",
    help="Open the admin API: /livez, /readyz, /metrics, /status, and /revocations in a file with `revocation`.",
)
@click.option("--access-log", metavar="FILE|-", help="Write one JSON line for each request; - is standard output.")
@click.option(
    "--state-directory",
    metavar="DIR",
    help="Keep the last good keys and revocations in this directory, so that they survive a restart.",
)
@click.option("--print-config", is_flag=True, help="Print the configuration as YAML and exit.")
def serve(config: Path | None, print_config: bool, **said: Any) -> None:
    """Verify tokens and balance requests.

    Give a CONFIG file or flags. Both make the same configuration, and --print-config turns flags into a file:

    \b
        lbjwt serve --listen :8080 --backend 127.0.0.1:9001 \\
            --issuer https://issuer.example --audience api --print-config > lbjwt.yaml

    Exit codes: 0 stopped as requested; 1 could not start, or a drain was cut; 2 a problem of flags, configuration, keys or certificate.
    """
    flags = Flags(**said)
    given = flags.given()
    if config is not None and given:
        raise click.UsageError(f"with a CONFIG file, {', '.join(given)} cannot be given: write it into the file.")
    if config is None and not given:
        raise click.UsageError("give a CONFIG file, or flags: at least --listen, --backend, --issuer and --audience.")
    try:
        made = _from_file(config) if config is not None else _from_flags(flags)
    except ConfigurationError as error:
        print_problems(error.problems, error.source)
        sys.exit(EXIT_CONFIGURATION)
    if print_config:
        click.echo(dump(made.configuration), nl=False)
        return
    problems = made.problems()
    print_problems(problems, made.source)
    stop_for(problems)
    from lbjwt.process.supervisor import run

    sys.exit(run(made.configuration))


@dataclass(frozen=True, slots=True)
class _Made:
    """A configuration without errors of its own, and how problems with its files are told to the person who made it."""

    configuration: Configuration
    source: str
    told: Callable[[list[Problem]], list[Problem]]

    def problems(self) -> list[Problem]:
        """Return what is unwise in it, and what is wrong with the files it names."""
        from lbjwt.cli.files import file_problems

        files = [
            one for one in file_problems(self.configuration) if one.code != "access-log"
        ]  # told by whoever opens it
        return self.told([*check(self.configuration), *files])


def _from_file(config: Path) -> _Made:
    examination = examine_file(config)
    if examination.configuration is None or examination.errors:
        from lbjwt.cli.files import every_problem

        raise ConfigurationError(every_problem(examination), examination.source)
    return _Made(examination.configuration, examination.source, examination.placed)


def _from_flags(flags: Flags) -> _Made:
    return _Made(configuration_from_flags(flags, Path.cwd()), "", problems_under_flags)
