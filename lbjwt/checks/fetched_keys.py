"""
The keys of an issuer as they can be fetched now: does it answer, are they good, and does the issuer's clock agree with ours?

Asked of the code that fetches for serving, with the same limits. Says what to do about each way to fail.
"""

import os
import time
from pathlib import Path
from typing import Final

from lbjwt.assembly.issuers import IssuerInstance
from lbjwt.assembly.sources import key_origin, key_ring_of, present_keys
from lbjwt.auth.header import key_shown
from lbjwt.checks.results import Outcome, Result, keys_counted
from lbjwt.config.remote import KeyFetch
from lbjwt.errors import LbjwtError
from lbjwt.keys import discovery, fetcher  # noqa: F401 - here, or the first fetch would be timed with the import of aiohttp
from lbjwt.keys.errors import JWKSFetchError, sentence_of
from lbjwt.keys.several import SeveralOrigins
from lbjwt.keys.uri import place_of

CLOCK_WARNING: Final = 5.0
"""Seconds: clocks that are kept by NTP are far closer."""

_REMEDIES: Final = (
    ("names no jwks_uri", "use remote_jwks with the URL of the keys"),
    ("names an issuer other than", "write the issuer exactly as in its metadata, including a slash at the end"),
    ("no valid certificate", "if the issuer uses a private certificate authority, set ca_file; otherwise the issuer must replace its certificate"),
    ("TLS handshake", "check whether a proxy on the way intercepts TLS, and whether the issuer requires a client certificate"),
    ("the proxy", "check whether the proxy is running, accepts lbjwt and can reach the issuer (407: it requires a user and a password)"),
    ("cannot connect", "check whether this machine can reach the issuer: name resolution, routes, firewall"),
    ("did not answer completely", "find out what is slow between this machine and the issuer, or raise timeout"),
    ("redirect", "configure the URL that the redirect leads to"),
    ("status", "fetch the URL with curl from this machine: check whether it is right, and whether it requires a token (bearer_token_file)"),
    ("more than", "raise max_bytes if the document is really this large"),
    ("", "fetch the URL with curl from this machine and look at the response"),
)  # fmt: skip
"""Words of an error, and what to do about it; the first that fits counts."""


async def fetched(subject: str, instance: IssuerInstance, remote: KeyFetch) -> list[Result]:
    """Whether the keys can be fetched, and what they are."""
    issuer = instance.issuer
    if issuer.remote_keys is not None:
        sentence = (
            "lbjwt fetches a key when a token names it; lbjwt explain with a token tells whether its key can be fetched"
        )
        return [Result(subject, "keys", "note", sentence)]
    origin = key_origin(instance)
    results: list[Result] = []
    document, date, failure = None, None, "a response without a body"
    asked = time.time()
    try:
        answer = await origin.ask(doubtful=True)
        document, date = answer.document, answer.date
    except (LbjwtError, OSError) as error:
        failure = f"{sentence_of(error)}; {remedy(error, remote)}"
    answered = time.time()
    if issuer.discovery is not None:
        if origin.uri is None:
            return [Result(subject, "discovery", "problem", failure)]
        results.append(
            Result(
                subject, "discovery", "ok", f"the issuer's metadata gives this URL for the keys: {place_of(origin.uri)}"
            )
        )
    if document is None:
        return [*results, Result(subject, "reachable", "problem", failure)]
    took = f"{len(document)} bytes in {1000 * (answered - asked):.0f} ms"
    results.append(
        Result(subject, "reachable", "ok", f"{place_of(origin.uri) if origin.uri else origin.place} gave {took}")
    )
    if isinstance(origin, SeveralOrigins):
        results += [
            Result(subject, "reachable", "warning", f"{failed}; the keys of the other URLs count")
            for failed in origin.failures
        ]
    try:
        ring = key_ring_of(issuer)(document)
    except LbjwtError as error:
        results.append(
            Result(
                subject, "keys", "problem", f"{error}; lbjwt cannot verify tokens of this issuer without usable keys"
            )
        )
    else:
        results.append(Result(subject, "keys", "ok", f"{keys_counted(len(ring))} that can be used"))
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
        return Result(subject, "clock", "note", "the issuer sends no Date header, so lbjwt cannot compare the clocks")
    # It wrote the date at some moment between the two, and that second lasts until date + 1.
    ahead, behind = date - answered, asked - (date + 1.0)
    difference = max(ahead, behind, 0.0)
    if difference <= min(CLOCK_WARNING, skew):
        return Result(subject, "clock", "ok", "the issuer's clock agrees with this machine's")
    sentence = f"this machine's clock is {difference:.0f} s {'behind' if ahead > 0 else 'ahead of'} the issuer's"
    if ahead <= 0:
        sentence += " (or a cache on the way returned an old response)"
    outcome: Outcome = "warning"
    if difference > skew:
        outcome = "problem"
        effect = "lbjwt refuses new tokens" if ahead > 0 else "tokens expire too early"
        sentence += f", more than clock_skew allows ({skew:g} s): {effect}"
    return Result(subject, "clock", outcome, f"{sentence}; synchronize it with NTP")


async def stored(subject: str, instance: IssuerInstance, directory: Path) -> list[Result]:
    """Whether lbjwt could start with the keys that the last run stored in the state directory."""
    keys = await present_keys(instance, directory, offline=True, now=time.time())
    if keys.stored_at is None or keys.ring is None:
        sentence = keys.problem.partition("; ")[2]
        return [
            Result(
                subject,
                "stored-keys",
                "note",
                f"{sentence}: after a restart, lbjwt has no keys until it reaches the issuer",
            )
        ]
    age = max(0.0, time.time() - keys.stored_at)
    sentence = f"{keys_counted(len(keys.ring))} stored {age / 60:.0f} min ago: lbjwt can start with them while the issuer is unreachable"
    return [Result(subject, "stored-keys", "ok", sentence)]


def remedy(error: BaseException, remote: KeyFetch) -> str:
    """Return what to do about a failed fetch."""
    if not isinstance(error, JWKSFetchError):
        return "correct the file it names"
    sentence = next(remedy for words, remedy in _REMEDIES if words in str(error))
    names = [name for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy") if os.environ.get(name)]
    if not names or remote.proxy is not None or remote.proxy_from_environment:
        return sentence
    return f"{sentence}. {names[0]} is set here, but lbjwt does not use it; to use it, set proxy_from_environment: true"
