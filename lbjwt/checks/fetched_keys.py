"""
The keys of each issuer as they can be had now: can they be fetched or read, are they good, and does the issuer's clock agree with ours?

Asked of the code that fetches for serving, with the same limits. Says what to do about each way to fail.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from lbjwt.assembly.fetched_keys import key_origin
from lbjwt.assembly.issuers import IssuerInstance
from lbjwt.assembly.present import present_keys
from lbjwt.assembly.rings import key_ring_of
from lbjwt.auth.header import key_shown
from lbjwt.checks.key_files import documents_of
from lbjwt.checks.results import LIMIT, OnlineCheck, Outcome, Result, blocking
from lbjwt.config.issuer import Issuer
from lbjwt.config.remote import KeyFetch
from lbjwt.errors import LbjwtError
from lbjwt.keys import discovery, fetcher  # noqa: F401 - here, or the first fetch would be timed with the import of aiohttp
from lbjwt.keys.errors import JWKSFetchError, sentence_of
from lbjwt.keys.uri import place_of

CLOCK_WARNING: Final = 5.0
"""Seconds: clocks that are kept by NTP are far closer."""

_REMEDIES: Final = (
    ("names no jwks_uri", "configure remote_jwks with the address of the keys"),
    ("names an issuer other than", "write the issuer exactly as its metadata does, the slash at the end included"),
    ("no valid certificate", "name the issuer's private authority in ca_file if it has one; else its certificate is wrong"),
    ("TLS handshake", "see whether a proxy on the way speaks TLS, and whether the issuer wants a client certificate"),
    ("the proxy", "see whether the proxy runs, lets lbjwt through and may reach the issuer (407: it wants a user and a password)"),
    ("cannot connect", "see whether this machine may reach it: name resolution, routes, firewall"),
    ("did not answer completely", "see what is slow between here and the issuer, or raise timeout"),
    ("redirect", "configure the address that it leads to"),
    ("status", "see whether the address is right, and whether it wants a token (bearer_token_file): curl it from this machine"),
    ("more than", "raise max_bytes, if the document is really this long"),
    ("", "curl it from this machine and look at what comes"),
)  # fmt: skip
"""Words of an error, and what to do about it; the first that fits counts."""


def issuer_checks(instance: IssuerInstance, directory: Path | None) -> Iterator[OnlineCheck]:
    """The checks of one issuer; `directory` is that of the state, if there is one."""
    subject = f"issuers.{instance.name}"
    remote = instance.issuer.fetch
    if remote is None:
        yield OnlineCheck(subject, "keys", blocking(_local, subject, instance.issuer))
        return
    yield OnlineCheck(subject, "keys", partial(_remote, subject, instance, remote), 2 * remote.timeout + LIMIT)
    if directory is not None:
        yield OnlineCheck(subject, "stored-keys", partial(_stored, subject, instance, directory))


def _local(subject: str, issuer: Issuer) -> Iterator[Result]:
    with contextlib.suppress(LbjwtError, OSError):  # a static check names the fault
        ring = key_ring_of(issuer)(*documents_of(issuer))
        source = ", ".join(map(str, issuer.key_files)) or issuer.secret_env or issuer.key_source
        yield Result(subject, "keys", "ok", f"{_keys(len(ring))} from {source}")


async def _remote(subject: str, instance: IssuerInstance, remote: KeyFetch) -> list[Result]:
    issuer = instance.issuer
    origin = key_origin(instance)
    results: list[Result] = []
    document, date, failure = None, None, "an answer without a body"
    asked = time.time()
    try:
        fetched = await origin.ask(doubtful=True)
        document, date = fetched.document, fetched.date
    except (LbjwtError, OSError) as error:
        failure = f"{sentence_of(error)}; {remedy(error, remote)}"
    answered = time.time()
    if issuer.discovery is not None:
        if origin.uri is None:
            return [Result(subject, "discovery", "problem", failure)]
        results.append(Result(subject, "discovery", "ok", f"its metadata names the keys at {place_of(origin.uri)}"))
    if document is None:
        return [*results, Result(subject, "reachable", "problem", failure)]
    took = f"{len(document)} bytes in {1000 * (answered - asked):.0f} ms"
    results.append(Result(subject, "reachable", "ok", f"{place_of(origin.uri or '')} gave {took}"))
    try:
        ring = key_ring_of(issuer)(document)
    except LbjwtError as error:
        results.append(Result(subject, "keys", "problem", f"{error}; no token of this issuer can be verified with it"))
    else:
        results.append(Result(subject, "keys", "ok", f"{_keys(len(ring))} that can be used"))
        for key in ring:
            sentence = f"{key_shown(key)} for {', '.join(sorted(key.algorithms))}"
            results.append(Result(subject, "key", "ok", sentence))
        for left_out in ring.warnings:
            sentence = f"{left_out}; ask the issuer to correct or remove it"
            results.append(Result(subject, "key", "warning", sentence))
    return [*results, clock_result(subject, date, asked, answered, issuer.clock_skew)]


def clock_result(subject: str, date: float | None, asked: float, answered: float, skew: float) -> Result:
    """
    What the issuer's clock says about ours.

    Args:
        date: Its Date field, seconds since the epoch and cut to whole ones; None without.
        asked: When it was asked, by our clock.
        answered: When the answer was there.
        skew: The difference that is forgiven.
    """
    if date is None:
        return Result(subject, "clock", "note", "the issuer sends no Date, so the clocks cannot be compared")
    # It wrote the date at some moment between the two, and that second lasts until date + 1.
    ahead, behind = date - answered, asked - (date + 1.0)
    difference = max(ahead, behind, 0.0)
    if difference <= min(CLOCK_WARNING, skew):
        return Result(subject, "clock", "ok", "the issuer's clock agrees with this machine's")
    sentence = f"this machine's clock is {difference:.0f} s {'behind' if ahead > 0 else 'ahead of'} the issuer's"
    if ahead <= 0:
        sentence += " (or a cache on the way gave an old answer)"
    outcome: Outcome = "warning"
    if difference > skew:
        outcome = "problem"
        effect = "new tokens are refused" if ahead > 0 else "tokens end early"
        sentence += f", more than clock_skew allows ({skew:g} s): {effect}"
    return Result(subject, "clock", outcome, f"{sentence}; let NTP keep it")


async def _stored(subject: str, instance: IssuerInstance, directory: Path) -> list[Result]:
    keys = await present_keys(instance, directory, offline=True, now=time.time())
    if keys.stored_at is None or keys.ring is None:
        sentence = keys.problem.partition("; ")[2]
        return [Result(subject, "stored-keys", "note", f"{sentence}: lbjwt needs the issuer to start")]
    age = max(0.0, time.time() - keys.stored_at)
    sentence = f"{_keys(len(keys.ring))} stored {age / 60:.0f} min ago: lbjwt can start with them while the issuer is unreachable"
    return [Result(subject, "stored-keys", "ok", sentence)]


def remedy(error: BaseException, remote: KeyFetch) -> str:
    """Return what to do about a failed fetch."""
    if not isinstance(error, JWKSFetchError):
        return "correct the file it names"
    sentence = next(remedy for words, remedy in _REMEDIES if words in str(error))
    names = [name for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy") if os.environ.get(name)]
    if not names or remote.proxy is not None or remote.proxy_from_environment:
        return sentence
    return f"{sentence}. {names[0]} is set here, and not used: say proxy_from_environment: true, or proxy, if it is the way to the issuer"


def _keys(count: int) -> str:
    return f"{count} key{'s' if count != 1 else ''}"
