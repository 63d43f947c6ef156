"""``lbjwt token``: mint, inspect and verify tokens by hand."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from lbjwt.cli.compact import decode, decrypt_option, decrypted, describe_times, given
from lbjwt.cli.keys import SIGNING_ALGORITHMS
from lbjwt.cli.report import EXIT_CONFIGURATION, print_problems
from lbjwt.cli.sign import sign
from lbjwt.config.flags import Flags, issuer_from_flags
from lbjwt.config.problems import ConfigurationError
from lbjwt.units import UnitError, parse_duration


@click.group()
def token() -> None:
    """Mint, inspect and verify tokens.

    Give tokens on standard input: every user of the machine can read a command line.
    """


@token.command()
@click.option(
    "--key",
    "key_file",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File with the private key (JWK or PEM) or a secret.",
)
@click.option(
    "--algorithm",
    type=click.Choice(SIGNING_ALGORITHMS),
    help="Algorithm to sign with; required for a secret.  [default: that of the key]",
)
@click.option("--kid", help="Key id for the header.  [default: that of the key]")
@click.option("--typ", default="JWT", show_default=True, help="The typ header, such as at+jwt.")
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="NAME=TEXT|NAME:=JSON",
    help="A claim: sub=alice, or admin:=true. Repeatable.",
)
@click.option(
    "--expires-in",
    default="5m",
    show_default=True,
    metavar="DURATION",
    help="Lifetime: exp is now plus this time, and iat is now.",
)
def mint(
    key_file: Path, algorithm: str | None, kid: str | None, typ: str, claims: tuple[str, ...], expires_in: str
) -> None:
    """Sign a token and print it. It lives 5 minutes, or as long as --expires-in says.

    --claim overrides the claims that this command sets itself:

    \b
        lbjwt token mint --key private.jwk --claim iss=https://issuer.example --claim aud=api --claim sub=alice
    """
    try:
        lifetime = parse_duration(expires_in)
    except UnitError as error:
        raise click.BadParameter(str(error), param_hint="--expires-in") from None
    now = int(time.time())
    content = {"iat": now, "exp": now + int(lifetime), **dict(map(_claim, claims))}
    click.echo(sign(key_file, content, algorithm=algorithm, kid=kid, typ=typ))


def _claim(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or name in ("", ":"):
        raise click.BadParameter("a claim must have the form NAME=TEXT or NAME:=JSON", param_hint="--claim")
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except ValueError:
        raise click.BadParameter(f"the text after {name}= is not JSON", param_hint="--claim") from None


@token.command()
@decrypt_option
@click.argument("text", metavar="[TOKEN]", default="-")
def inspect(text: str, key_files: tuple[Path, ...]) -> None:
    """Print the header and claims of a token, WITHOUT VERIFYING it.

    TOKEN is - (the default) for standard input. Anybody can write a token with any content: do not trust it.
    """
    header, claims = decode(
        decrypted(given(text), key_files), encrypted="; to read it, give its private key with --decrypt FILE"
    )
    click.echo("NOT VERIFIED: anybody could have written this token.", err=True)
    click.echo(json.dumps({"header": header, "claims": claims}, indent=2))
    for line in describe_times(claims, time.time()):
        click.echo(line, err=True)


@token.command()
@click.option("--jwks", metavar="FILE", help="A file with a JWK Set.")
@click.option("--pem", metavar="FILE", help="A file with a public key or certificate in PEM.")
@click.option("--secret-file", metavar="FILE", help="A file whose bytes are the HMAC secret.")
@click.option("--issuer", metavar="TEXT", help="The exact iss claim.")
@click.option("--any-issuer", is_flag=True, help="Accept any issuer.")
@click.option("--audience", multiple=True, metavar="TEXT", help="An accepted aud claim. Repeatable.")
@click.option("--any-audience", is_flag=True, help="Accept any audience.")
@click.option("--algorithm", multiple=True, metavar="NAME", help="An accepted signature algorithm. Repeatable.")
@decrypt_option
@click.argument("text", metavar="[TOKEN]", default="-")
def verify(text: str, key_files: tuple[Path, ...], **said: Any) -> None:
    """Verify a token as `lbjwt serve` does, and print the reason if it is refused.

    TOKEN is - (the default) for standard input. Exit code 0: accepted, the claims are printed; 1: refused; 2: a problem with the flags or the keys.
    """
    flags = Flags(**said)
    if flags.jwks is not None and "://" in flags.jwks:
        raise click.UsageError("this command reads keys from files only; download the JWK Set first.")
    try:
        issuer = issuer_from_flags(flags, Path.cwd())
    except ConfigurationError as error:
        print_problems(error.problems, "")
        sys.exit(EXIT_CONFIGURATION)
    from lbjwt.assembly.sources import documents_of, key_ring_of
    from lbjwt.auth.policy import IssuerPolicy
    from lbjwt.auth.verifier import Verifier
    from lbjwt.errors import KeyFormatError

    try:
        ring = key_ring_of(issuer)(*documents_of(issuer))
    except OSError as error:
        click.echo(f"Error: cannot read {error.filename}: {error.strerror}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    except KeyFormatError as error:
        click.echo(f"Error: the keys cannot be used: {error}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    policy = IssuerPolicy(issuer=issuer.issuer, audiences=issuer.audiences or None, algorithms=issuer.algorithms)
    verdict = Verifier(ring, policy).verify(decrypted(given(text), key_files))
    grant = verdict.grant
    if grant is None:
        click.echo(f"refused: {verdict.reason.name.lower().replace('_', ' ')}", err=True)
        sys.exit(1)
    click.echo(json.dumps(dict(grant.claims), indent=2))
    click.echo(f"accepted: {grant.algorithm}{f', key {grant.key_id}' if grant.key_id else ''}", err=True)
