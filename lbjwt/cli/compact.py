"""Tokens and times from the command line, and the text of a compact JWS. Verifies nothing."""

import base64
import binascii
import datetime
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from lbjwt.auth.revocation import LATEST
from lbjwt.auth.revocation_format import parse_time
from lbjwt.errors import LbjwtError

Command = TypeVar("Command", bound=Callable[..., Any])

_TIMES: Final = ("iat", "nbf", "exp", "auth_time")
_LONGEST: Final = 1 << 20  # bytes read from standard input: no token is longer


def given(text: str) -> str:
    """Return the token of an argument (- for standard input), without surrounding white space and a leading "Bearer"."""
    if text != "-":
        note = "note: every user of this machine can read a command line; prefer standard input for tokens"
        click.echo(note, err=True)
    else:
        if sys.stdin.isatty():
            click.echo("paste the token, then Ctrl-D:", err=True)
        text = sys.stdin.buffer.read(_LONGEST).decode("utf-8", "replace")
    text = text.strip()
    return text[7:].strip() if text[:7].lower() == "bearer " else text


def moment(text: str, name: str) -> float:
    """Read seconds since the epoch, or a time of RFC 3339, as seconds; RevocationError for anything else."""
    plain = text.replace(".", "", 1)
    return parse_time(float(text) if plain.isascii() and plain.isdecimal() else text, name)


def decode(token: str, *, encrypted: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Return header and claims of a compact JWS (RFC 7515 section 7.1). No error quotes the token.

    Args:
        encrypted: What to say about an encrypted token.
    """
    parts = token.split(".", 5)
    if len(parts) == 5:
        raise click.ClickException(f"this is an encrypted token (JWE, five parts){encrypted}")
    if len(parts) != 3:
        raise click.ClickException("a token must have three parts with dots between them")
    return _object(parts[0], "header"), _object(parts[1], "payload")


def decrypt_option(command: Command) -> Command:
    """The option `--decrypt` of commands that read a token: the argument `key_files`, which is for `decrypted`."""
    option = click.option(
        "--decrypt",
        "key_files",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="A file with a private key (JWK, JWK Set or PEM) that decrypts an encrypted token (JWE). Repeatable.",
    )
    return option(command)


def decrypted(token: str, key_files: Sequence[Path]) -> str:
    """Return the signed token inside a JWE; a token that is not encrypted, or for which there are no files, as it is."""
    if not key_files or token.count(".") != 4:
        return token
    from lbjwt._fastverify import DenyReason
    from lbjwt.assembly.decryption import decryption_keys
    from lbjwt.auth.encrypted import Decryption, EncryptedTokens

    try:
        keys = tuple(key for file in key_files for key in decryption_keys(file))
    except LbjwtError as error:
        raise click.ClickException(str(error)) from None
    opened = EncryptedTokens({0: Decryption(keys)}, max_header=_LONGEST)(token.encode("utf-8", "replace"))
    if isinstance(opened, DenyReason):
        raise click.ClickException(f"the token cannot be decrypted: {opened.name.lower().replace('_', ' ')}")
    return opened[0].decode()


def _object(part: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise click.ClickException(f"the {what} is not base64url of JSON") from None
    if not isinstance(value, dict):
        raise click.ClickException(f"the {what} is not a JSON object")
    return value


def describe_times(claims: dict[str, Any], now: float) -> Iterator[str]:
    """Yield one line for each time claim: the date in UTC and the distance from ``now`` (seconds since the epoch)."""
    for name in _TIMES:
        value = claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
            continue
        date = datetime.datetime.fromtimestamp(value, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        distance = datetime.timedelta(seconds=abs(int(value - now)))
        yield f"{name}: {date} ({f'in {distance}' if value > now else f'{distance} ago'})"
