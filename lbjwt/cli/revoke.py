"""
``lbjwt revoke``: add or remove one revocation, in a running balancer or in the file that it watches.

A token is read from standard input only: it is valid until it is revoked, and every user of the machine can read a command line.
"""

import json
import time
from pathlib import Path
from typing import Any, Final

import click

from lbjwt.auth.revocation import LATEST, Change, Revocation, RevocationError, Undo
from lbjwt.auth.revocation_format import DEFAULT_LIFETIME, line_of, read_entry, read_undo, text_of_time
from lbjwt.cli.admin import ask
from lbjwt.cli.compact import decode, decrypt_option, decrypted, given, moment
from lbjwt.units import UnitError, parse_duration

SKEW: Final = 300.0
"""Seconds after its exp that a token may still be accepted: the most that a clock_skew can be."""


@click.command()
@click.option("--jti", metavar="TEXT", help="Revoke the one token with this id (jti).")
@click.option("--sub", metavar="TEXT", help="Revoke all tokens of this subject (sub).")
@click.option("--kid", metavar="TEXT", help="Revoke all tokens signed by the key with this id (kid).")
@click.option(
    "--issuer", metavar="TEXT", help="Revoke only tokens of this issuer; without another name, give --issued-before."
)
@click.option(
    "--issued-before",
    metavar="TIME",
    help="Revoke only tokens issued before this time: now, 2026-12-01T00:00:00Z, or seconds since 1970.",
)
@click.option("--for", "lifetime", metavar="DURATION", help="How long the entry stays in force.  [default: 30d]")
@click.option("--until", metavar="TIME", help="When the entry ends; use it instead of --for.")
@click.option(
    "--token", "source", metavar="-", help="Read a token from standard input and revoke its jti until it ends."
)
@decrypt_option
@click.option("--undo", is_flag=True, help="Remove the entries that match these options exactly.")
@click.option("--admin", metavar="URL", help="Admin API of a running balancer, such as http://127.0.0.1:9900.")
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE", help="Write to the file that balancers watch.")
def revoke(
    source: str | None,
    key_files: tuple[Path, ...],
    lifetime: str | None,
    until: str | None,
    undo: bool,
    admin: str | None,
    file: Path | None,
    **named: str | None,
) -> None:
    """Refuse tokens before they expire, in all workers, within a second.

    Select the tokens with one of --jti, --sub, --kid, --token, or --issuer with --issued-before. Send the entry to --admin or --file.
    The entry must last longer than the tokens; when it ends, lbjwt removes it. If the clock of the issuer is ahead, a token issued a moment ago
    has a later date than now, and lbjwt does not refuse it.

    \b
        lbjwt revoke --sub user-7 --issued-before now --admin http://127.0.0.1:9900
        lbjwt revoke --token - --file revocations.jsonl < token.txt
        lbjwt revoke --undo --sub user-7 --admin http://127.0.0.1:9900

    With --undo, name what the entry names, --issuer included, without times. Every entry that names exactly this is removed. Undo an entry where it
    was made: in the file, or at the admin API.

    Exit code 0: done, or accepted; 1: failed, or no entry matches --undo; 2: a problem of usage.
    """
    members = {name: value for name, value in named.items() if value is not None}
    if (admin is None) == (file is None):
        raise click.UsageError("give --admin URL or --file FILE.")
    if lifetime is not None and until is not None:
        raise click.UsageError("give --for or --until, not both.")
    if source is not None and (members or lifetime is not None or until is not None):
        raise click.UsageError("--token takes everything from the token; leave out the other options.")
    if key_files and source is None:
        raise click.UsageError("--decrypt belongs to --token -")
    if source is not None and source != "-":
        raise click.UsageError("lbjwt reads the token from standard input only; write --token -")
    if undo and (lifetime is not None or until is not None):
        raise click.UsageError("--undo removes all entries with that name; leave out --for and --until.")
    now = time.time()
    try:
        entry = _entry_of_token(now, key_files) if source is not None else None
        if undo:
            done = _undo(
                read_undo(members) if entry is None else Undo(entry.kind, entry.value, entry.issuer), admin, file
            )
            if done:
                click.echo("undone", err=True)
                return
            raise click.ClickException("nothing to undo: no entry in force matches these options exactly")
        entry = entry or _entry(members, lifetime, until, now)
    except RevocationError as error:
        raise click.UsageError(str(error)) from None
    if entry.expires <= now:
        click.echo(f"nothing to do: the entry would have ended at {text_of_time(entry.expires)}", err=True)
        return
    if file is not None:
        _write(file, entry)
        click.echo(f"written, in force until {text_of_time(entry.expires)}", err=True)
    elif admin is not None:
        answer = _ask(admin, "POST", line_of(entry))
        new = "in force" if answer.get("revoked") else "was in force already"
        click.echo(f"{new}, until {text_of_time(entry.expires)}; entries in force: {answer.get('in_force')}", err=True)


def _undo(undo: Undo, admin: str | None, file: Path | None) -> bool:
    """True when an entry was removed."""
    if file is not None:
        return _write(file, undo)
    assert admin is not None
    members = {undo.kind: undo.value} | ({"issuer": undo.issuer} if undo.issuer else {})
    return bool(_ask(admin, "DELETE", json.dumps(members)).get("undone"))


def _write(file: Path, change: Change) -> bool:
    from lbjwt.revocation.append import append_entries

    try:
        return append_entries(file, [change])
    except RevocationError as error:
        raise click.ClickException(str(error)) from None


def _entry(members: dict[str, Any], lifetime: str | None, until: str | None, now: float) -> Revocation:
    if "issued_before" in members:
        members["issued_before"] = _time(members["issued_before"], "--issued-before", now)
    expires = now + DEFAULT_LIFETIME
    if until is not None:
        expires = _time(until, "--until", now)
    elif lifetime is not None:
        try:
            expires = now + parse_duration(lifetime)
        except UnitError as error:
            raise click.BadParameter(str(error), param_hint="--for") from None
    return read_entry({**members, "expires": float(int(expires))})


def _time(text: str, name: str, now: float) -> float:
    if text == "now":
        return float(int(now) + 1)  # iat is often in whole seconds: a token of this very second is meant too
    return moment(text, name)


def _entry_of_token(now: float, key_files: tuple[Path, ...]) -> Revocation:
    """An entry for the jti and issuer of the token on standard input. The signature is not checked: there may be no key here."""
    _, claims = decode(
        decrypted(given("-"), key_files), encrypted="; to read its jti, give its private key with --decrypt FILE"
    )
    jti, issuer, exp = claims.get("jti"), claims.get("iss"), claims.get("exp")
    if not isinstance(jti, str) or not jti:
        raise click.ClickException(
            "the token has no jti, so lbjwt cannot revoke it alone; revoke the tokens of its subject: --sub TEXT --issued-before now"
        )
    if exp is not None and (isinstance(exp, bool) or not isinstance(exp, int | float) or not 0 <= exp < LATEST - SKEW):
        raise click.ClickException("the exp of the token is not a time, so no balancer accepts it")
    click.echo("NOT VERIFIED: lbjwt did not check the signature; anybody could have written this token.", err=True)
    expires = now + DEFAULT_LIFETIME if exp is None else exp + SKEW
    return Revocation("jti", jti, float(int(expires)), issuer if isinstance(issuer, str) and issuer else None)


def _ask(admin: str, method: str, body: bytes | str) -> dict[str, Any]:
    reply = ask(admin, method, "/revocations", body, doubt="it is unknown whether the change was made")
    if reply.status != 200:
        why = reply.error or (
            "the server accepts no revocations; check that this is the address of an admin API and that its configuration has `revocation`"
        )
        raise click.ClickException(f"the server refused the request with status {reply.status}: {why}")
    return reply.members
