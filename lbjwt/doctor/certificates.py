"""Certificates and their dates: of the listeners, of us as a client, and the authorities that are believed."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.x509 import Certificate, Name, load_pem_x509_certificates

from lbjwt.doctor.model import Finding
from lbjwt.doctor.runner import Look, in_thread
from lbjwt.errors import LbjwtError
from lbjwt.keys.egress import ClientTls

if TYPE_CHECKING:
    from lbjwt.config.model import Configuration
    from lbjwt.config.remote import KeyFetch

__all__ = ["certificate_looks", "date_finding", "listener_findings"]

SOON: Final = datetime.timedelta(days=14)
"""Time to get a new certificate by hand, a holiday included."""

_MAX_BYTES: Final = 1 << 20


def certificate_looks(configuration: Configuration) -> Iterator[Look]:
    """One for each file; whether certificate and key of a listener belong together is asked elsewhere."""
    for index, listener in enumerate(configuration.listeners):
        if listener.tls is not None:
            yield _listener_look(f"listeners[{index}]", listener.tls.certificate)
    for label, issuer in configuration.issuers.items():
        remote = issuer.fetch
        if remote is None:
            continue
        subject = f"issuers.{label}"
        if remote.ca_file is not None:
            yield _file_look(subject, "authority", remote.ca_file)
        if remote.client_certificate is not None:
            yield _file_look(subject, "client-certificate", remote.client_certificate)
        if remote.ca_file is not None or remote.client_certificate is not None:
            yield _pair_look(subject, remote)


def date_finding(
    subject: str, check: str, path: Path, certificates: list[Certificate], now: datetime.datetime
) -> Finding:
    """
    The dates of the certificates of one file: the one that ends first counts.

    Args:
        now: With its time zone.
    """
    soonest = min(certificates, key=lambda one: one.not_valid_after_utc)
    latest = max(certificates, key=lambda one: one.not_valid_before_utc)
    left = soonest.not_valid_after_utc - now
    name = _name(soonest)
    if latest.not_valid_before_utc > now:
        sentence = f"{path}: {_name(latest)} is not valid before {latest.not_valid_before_utc:%Y-%m-%d %H:%M}Z; is this machine's clock right?"
        return Finding(subject, check, "problem", sentence)
    if left <= datetime.timedelta():
        return Finding(
            subject,
            check,
            "problem",
            f"{path}: {name} expired on {soonest.not_valid_after_utc:%Y-%m-%d}; put a new one there and restart",
        )
    until = f"{name} expires on {soonest.not_valid_after_utc:%Y-%m-%d}, in {left.days} days"
    if left < SOON:
        return Finding(subject, check, "warning", f"{path}: {until}; renew it now")
    return Finding(subject, check, "ok", f"{path}: {until}")


def listener_findings(subject: str, path: Path) -> list[Finding]:
    """The dates of a listener's certificates, and whether they stand in the order that clients expect."""
    return _file_findings(subject, "certificate", path, ordered=True)


def _order_findings(subject: str, path: Path, chain: list[Certificate]) -> Iterator[Finding]:
    """Each certificate is that of the signer of the one before it (RFC 8446 section 4.4.2); many clients take no other order."""
    for number, (lower, upper) in enumerate(itertools.pairwise(chain), 1):
        if lower.issuer != upper.subject:
            sentence = (
                f"{path}: the certificates are in the wrong order, or one is missing: number {number} is signed by {_printable(lower.issuer)}, and "
                f"number {number + 1} is that of {_name(upper)}. The server's own comes first, then that of its signer, and so on"
            )
            yield Finding(subject, "chain", "warning", sentence)
            return


def _file_findings(subject: str, check: str, path: Path, *, ordered: bool = False) -> list[Finding]:
    try:
        with path.open("rb") as file:
            found = load_pem_x509_certificates(file.read(_MAX_BYTES))
    except OSError as error:
        return [Finding(subject, check, "problem", f"cannot read {path}: {error.strerror}; see its name and its mode")]
    except ValueError:
        return [Finding(subject, check, "problem", f"{path} holds no certificate in PEM that can be read")]
    dates = date_finding(subject, check, path, found, datetime.datetime.now(datetime.UTC))
    return [dates, *(_order_findings(subject, path, found) if ordered else ())]


def _listener_look(subject: str, path: Path) -> Look:
    async def look() -> list[Finding]:
        return await in_thread(lambda: listener_findings(subject, path))

    return Look(subject, "certificate", look)


def _file_look(subject: str, check: str, path: Path) -> Look:
    async def look() -> list[Finding]:
        return await in_thread(lambda: _file_findings(subject, check, path))

    return Look(subject, check, look)


def _pair_look(subject: str, remote: KeyFetch) -> Look:
    """Whether a TLS connection can be begun with these files."""

    def load() -> list[Finding]:
        tls = ClientTls(ca_file=remote.ca_file, certificate=remote.client_certificate, private_key=remote.client_key)
        try:
            tls.context()
        except LbjwtError as error:
            return [Finding(subject, "tls-files", "problem", f"{error}; no key can be fetched with it")]
        return [Finding(subject, "tls-files", "ok", "authority and client certificate can be used")]

    async def look() -> list[Finding]:
        return await in_thread(load)

    return Look(subject, "tls-files", look)


def _name(certificate: Certificate) -> str:
    return _printable(certificate.subject)


def _printable(name: Name) -> str:
    text = name.rfc4514_string() or "a certificate without a name"
    return "".join(character if character.isprintable() else "?" for character in text)
