"""``lbjwt serve``: run a balancer from a file or from flags."""

import sys
from pathlib import Path
from typing import Any

import click

from lbjwt.cli.report import EXIT_CONFIGURATION, print_problems
from lbjwt.config.dump import dump
from lbjwt.config.flags import Flags, configuration_from_flags
from lbjwt.config.problems import ConfigurationError
from lbjwt.process.early import Mask


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    help="Address to listen on for clients; :PORT means all addresses. Repeatable.",
)
@click.option("--backend", multiple=True, metavar="HOST:PORT", help="Address of a backend, or unix:PATH. Repeatable.")
@click.option(
    "--jwks",
    metavar="FILE-or-URL",
    help="The keys: a JWK Set in a file or at an https URL.  [default: discovered from --issuer]",
)
@click.option("--pem", metavar="FILE", help="The key: a public key or certificate in PEM, in place of --jwks.")
@click.option(
    "--secret-file", metavar="FILE", help="The key: a file whose bytes are the HMAC secret, in place of --jwks."
)
@click.option(
    "--issuer",
    metavar="TEXT",
    help="The exact iss claim of tokens. Without --jwks, --pem and --secret-file it must be an https URL: lbjwt discovers the keys from it.",
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
@click.option(
    "--workers", metavar="N|auto", help="Number of worker processes; auto means one per processor.  [default: 1]"
)
@click.option(
    "--admin",
    metavar="HOST:PORT",
    help="Open the admin API: /livez, /readyz, /metrics, /status, /reload, and /revocations if a configuration file has `revocation`.",
)
@click.option("--access-log", metavar="FILE|-", help="Write one JSON line for each request; - is standard output.")
@click.option(
    "--state-directory",
    metavar="DIR",
    help="Keep the last good keys and revocations in this directory, so that they survive a restart.",
)
@click.option("--print-config", is_flag=True, help="Print the configuration as YAML and exit.")
@click.pass_obj
def serve(mask: Mask | None, /, config: Path | None, print_config: bool, **said: Any) -> None:
    """Verify tokens and balance requests.

    Give a CONFIG file or flags. Both make the same configuration, and --print-config turns flags into a file:

    \b
        lbjwt serve --listen :8080 --backend 127.0.0.1:9001 \\
            --issuer https://issuer.example --audience api --print-config > lbjwt.yaml

    Exit codes: 0 stopped as requested; 1 could not start, or did not drain in time; 2 a problem of flags, configuration, keys or certificate.
    """
    flags = Flags(**said)
    given = flags.given()
    if config is not None and given:
        raise click.UsageError(f"{', '.join(given)} cannot be combined with a CONFIG file: write it into the file.")
    if config is None and not given:
        raise click.UsageError(
            "give a CONFIG file or flags; the flags need at least --listen, --backend, --issuer and --audience."
        )
    from lbjwt.checks.source import FileSource, FlagsSource

    try:
        source = FlagsSource(configuration_from_flags(flags, Path.cwd())) if config is None else FileSource(config)
    except ConfigurationError as error:
        print_problems(error.problems, error.source)
        sys.exit(EXIT_CONFIGURATION)
    reading = source.read_text() if print_config else source.read()
    print_problems(reading.problems, reading.source)
    if reading.configuration is None:
        sys.exit(EXIT_CONFIGURATION)
    if print_config:
        click.echo(dump(reading.configuration), nl=False)
        return
    from lbjwt.process.supervisor import run

    sys.exit(run(reading.configuration, source, mask=mask))
