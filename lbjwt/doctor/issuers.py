"""
Can an issuer's keys be had, are they any good, and does its clock agree with ours?

Asked by the same parts that fetch for serving, with the same limits. Knows how to say what to do about each way to fail.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lbjwt.assembly.keys import key_origin
from lbjwt.assembly.present import present_keys
from lbjwt.assembly.rings import key_ring_of, secrets_of
from lbjwt.doctor.keys import ring_findings, secret_finding
from lbjwt.doctor.model import Finding
from lbjwt.doctor.runner import LIMIT, Look, in_thread
from lbjwt.errors import LbjwtError
from lbjwt.keys import discovery, fetcher  # noqa: F401 - here, or the first fetch would be timed with the import of aiohttp
from lbjwt.keys.errors import JWKSFetchError, sentence_of
from lbjwt.keys.source import secret_from_environment
from lbjwt.keys.uri import place_of

if TYPE_CHECKING:
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.config.remote import KeyFetch
    from lbjwt.keys.fetcher import Fetched

__all__ = ["clock_finding", "issuer_looks"]

CLOCK_WARNING: Final = 5.0
"""Seconds: clocks that are kept by NTP are far closer."""

_MAX_SECRET: Final = 1 << 20

_REMEDIES: Final = (
    ("names no jwks_uri", "configure remote_jwks with the address of the keys"),
    ("speaks for another issuer", "write the issuer exactly as its metadata does, the slash at the end included"),
    (
        "no good certificate",
        "name the issuer's private authority in ca_file if it has one; else its certificate is wrong",
    ),
    ("TLS handshake", "see whether a proxy on the way speaks TLS, and whether the issuer wants a client certificate"),
    (
        "the proxy",
        "see whether the proxy runs, lets lbjwt through and may reach the issuer (407: it wants a user and a password)",
    ),
    ("cannot connect", "see whether this machine may reach it: name resolution, routes, firewall"),
    ("did not answer completely", "see what is slow between here and the issuer, or raise timeout"),
    ("redirect", "configure the address that it leads to"),
    ("status 401", "it may want a token: bearer_token_file"),
    ("status", "see whether the address is right: curl it from this machine"),
    ("more than", "raise max_bytes, if the document is really this long"),
)
_OTHERWISE: Final = "curl it from this machine and look at what comes"


def issuer_looks(instance: IssuerInstance, directory: Path | None) -> Iterator[Look]:
    """
    What is looked at for one issuer.

    Args:
        directory: The state directory, if there is one.
    """
    subject = f"issuers.{instance.name}"
    remote = instance.issuer.fetch
    if remote is None:

        async def read() -> list[Finding]:
            return await _local(subject, instance)

        yield Look(subject, "keys", read)
        return

    async def ask() -> list[Finding]:
        return await _remote(subject, instance)

    yield Look(subject, "keys", ask, 2 * remote.timeout + LIMIT)
    if directory is not None:

        async def stored() -> list[Finding]:
            return [await _stored(subject, instance, directory)]

        yield Look(subject, "stored-keys", stored)


async def _local(subject: str, instance: IssuerInstance) -> list[Finding]:
    issuer = instance.issuer
    keys = await present_keys(instance, None, now=time.time())
    if keys.ring is None:
        return [Finding(subject, "keys", "problem", f"{keys.problem}; lbjwt does not start without them")]
    found = [Finding(subject, "keys", "ok", f"{_keys(len(keys.ring))} from {keys.source}")]
    if issuer.secret_env is not None:
        return [*found, secret_finding(subject, secret_from_environment(issuer.secret_env))]
    if issuer.symmetric:
        documents = await in_thread(lambda: [_read(path) for path in issuer.key_files])
        return [*found, *(secret_finding(subject, secret) for secret in secrets_of(issuer, documents))]
    return [*found, *ring_findings(subject, keys.ring)]


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_SECRET)


async def _remote(subject: str, instance: IssuerInstance) -> list[Finding]:
    issuer = instance.issuer
    origin = key_origin(instance)
    found: list[Finding] = []
    asked = time.time()
    fetched: Fetched | None = None
    failure = ""
    try:
        fetched = await origin.ask(doubtful=True)
    except (LbjwtError, OSError) as error:
        failure = f"{sentence_of(error)}; {_remedy(error, issuer.fetch)}"
    answered = time.time()
    if issuer.discovery is not None:
        if origin.uri is None:
            return [Finding(subject, "discovery", "problem", failure)]
        found.append(Finding(subject, "discovery", "ok", f"its metadata names the keys at {place_of(origin.uri)}"))
    if fetched is None or fetched.document is None:
        return [*found, Finding(subject, "reachable", "problem", failure or "an answer without a body")]
    took = f"{len(fetched.document)} bytes in {1000 * (answered - asked):.0f} ms"
    found.append(Finding(subject, "reachable", "ok", f"{place_of(origin.uri or '')} gave {took}"))
    try:
        ring = key_ring_of(issuer)(fetched.document)
    except LbjwtError as error:
        sentence = f"{error}; no token of this issuer can be verified with it"
        found.append(Finding(subject, "keys", "problem", sentence))
    else:
        found.append(Finding(subject, "keys", "ok", f"{_keys(len(ring))} that can be used"))
        found += ring_findings(subject, ring)
    return [*found, clock_finding(subject, fetched.date, asked, answered, issuer.clock_skew)]


def clock_finding(subject: str, date: float | None, asked: float, answered: float, skew: float) -> Finding:
    """
    What the issuer's clock says about ours.

    Args:
        date: Its Date field, seconds since the epoch and cut to whole ones; None without.
        asked: When it was asked, by our clock.
        answered: When the answer was there.
        skew: The difference that is forgiven.
    """
    if date is None:
        return Finding(subject, "clock", "note", "the issuer sends no Date, so the clocks cannot be compared")
    # It wrote the date at some moment between the two, and that second lasts until date + 1.
    ahead, behind = date - answered, asked - (date + 1.0)
    difference = max(ahead, behind, 0.0)
    if difference <= min(CLOCK_WARNING, skew):
        return Finding(subject, "clock", "ok", "the issuer's clock agrees with this machine's")
    who = "behind" if ahead > 0 else "ahead of"
    sentence = f"this machine's clock is {difference:.0f} s {who} the issuer's"
    if ahead <= 0:
        sentence += " (or a cache on the way gave an old answer)"
    if difference > skew:
        which = "new tokens are refused" if ahead > 0 else "tokens end early"
        return Finding(
            subject,
            "clock",
            "problem",
            f"{sentence}, more than clock_skew forgives ({skew:g} s): {which}; let NTP keep it",
        )
    return Finding(subject, "clock", "warning", f"{sentence}; let NTP keep it")


async def _stored(subject: str, instance: IssuerInstance, directory: Path) -> Finding:
    keys = await present_keys(instance, directory, offline=True, now=time.time())
    if keys.stored_at is None or keys.ring is None:
        sentence = keys.problem.partition("; ")[2]
        return Finding(subject, "stored-keys", "note", f"{sentence}: a start needs the issuer")
    age = max(0.0, time.time() - keys.stored_at)
    sentence = f"{_keys(len(keys.ring))} stored {age / 60:.0f} min ago, for a start while the issuer is away"
    return Finding(subject, "stored-keys", "ok", sentence)


def _remedy(error: BaseException, remote: KeyFetch | None) -> str:
    if not isinstance(error, JWKSFetchError):
        return "mend the file it names"
    remedy = next((remedy for words, remedy in _REMEDIES if words in str(error)), _OTHERWISE)
    if remote is None or remote.proxy is not None or remote.proxy_from_environment:
        return remedy
    names = [name for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy") if os.environ.get(name)]
    if not names:
        return remedy
    return f"{remedy}. {names[0]} is set here, and not used: say proxy_from_environment: true, or proxy, if it is the way to the issuer"


def _keys(count: int) -> str:
    return f"{count} key{'s' if count != 1 else ''}"
