"""Certificate files: their dates, and the order of a chain. Whether certificate and key fit is asked of the code that serves or fetches with them."""

import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.x509 import Certificate, Name, load_pem_x509_certificates

from lbjwt.checks.results import OnlineCheck, Result, blocking
from lbjwt.config.remote import KeyFetch

SOON: Final = datetime.timedelta(days=14)
"""Time to get a new certificate by hand, a holiday included."""
_MAX_BYTES: Final = 1 << 20


def certificate_results(subject: str, check: str, path: Path, now: datetime.datetime | None = None) -> Iterator[Result]:
    """
    The dates of the certificates of one file: the one that ends first counts. Of a listener's also their order.

    Args:
        now: With its time zone; None asks the clock.
    """
    try:
        with path.open("rb") as file:
            chain = load_pem_x509_certificates(file.read(_MAX_BYTES))
    except OSError as error:
        yield Result(subject, check, "problem", f"cannot read {path}: {error.strerror}; check its name and mode")
        return
    except ValueError:
        yield Result(subject, check, "problem", f"{path} contains no readable certificate in PEM format")
        return
    yield _dates(subject, check, path, chain, now or datetime.datetime.now(datetime.UTC))
    if check == "certificate":
        yield from _order(subject, path, chain)


def fetch_certificate_checks(subject: str, fetch: KeyFetch) -> Iterator[OnlineCheck]:
    """The dates of the certificates with which keys are fetched."""
    for check, path in (("authority", fetch.ca_file), ("client-certificate", fetch.client_certificate)):
        if path is not None:
            yield OnlineCheck(subject, check, blocking(certificate_results, subject, check, path))


def _dates(subject: str, check: str, path: Path, chain: list[Certificate], now: datetime.datetime) -> Result:
    soonest = min(chain, key=lambda one: one.not_valid_after_utc)
    latest = max(chain, key=lambda one: one.not_valid_before_utc)
    name, end, left = _name(soonest.subject), soonest.not_valid_after_utc, soonest.not_valid_after_utc - now
    if latest.not_valid_before_utc > now:
        start = f"{latest.not_valid_before_utc:%Y-%m-%d %H:%M}Z"
        sentence = f"{path}: {_name(latest.subject)} is not valid before {start}; check the clock of this machine"
        return Result(subject, check, "problem", sentence)
    if left <= datetime.timedelta():
        sentence = f"{path}: {name} expired on {end:%Y-%m-%d}; replace it and restart"
        return Result(subject, check, "problem", sentence)
    sentence = f"{path}: {name} expires on {end:%Y-%m-%d}, in {left.days} days"
    if left < SOON:
        return Result(subject, check, "warning", f"{sentence}; renew it now")
    return Result(subject, check, "ok", sentence)


def _order(subject: str, path: Path, chain: list[Certificate]) -> Iterator[Result]:
    """Each certificate is that of the signer of the one before it (RFC 8446 section 4.4.2); many clients take no other order."""
    for number, (lower, upper) in enumerate(itertools.pairwise(chain), 1):
        if lower.issuer != upper.subject:
            sentence = (
                f"{path}: the certificates are in the wrong order, or one is missing: number {number} is signed by {_name(lower.issuer)}, and "
                f"number {number + 1} is that of {_name(upper.subject)}. Put the server's own certificate first, then that of its signer, and so on"
            )
            yield Result(subject, "chain", "warning", sentence)
            return


def _name(name: Name) -> str:
    return name.rfc4514_string() or "a certificate without a name"
