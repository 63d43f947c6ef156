"""
The files, directories and environment variables that a configuration names: do they exist, hold what they must, and keep others out?

Opens files and binds no address, fetches no URL. Returns problems without places; no problem shows a key.
"""

import contextlib
import datetime
import fcntl
import itertools
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from cryptography.x509 import Certificate, Name, load_pem_x509_certificates

from lbjwt.address import Address, loop_fault
from lbjwt.assembly.authorizers import read_secrets
from lbjwt.assembly.discovered import read_file
from lbjwt.assembly.sources import KEYS
from lbjwt.assembly.state import state_needed
from lbjwt.auth.revocation import RevocationError
from lbjwt.checks.codes import warning
from lbjwt.checks.key_files import secrecy, unreadable
from lbjwt.checks.results import Outcome, Result
from lbjwt.config.backend_tls import BackendTls
from lbjwt.config.endpoint_list import EndpointsError
from lbjwt.config.model import Configuration, Tls
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.remote import KeyFetch
from lbjwt.errors import ConfigurationError
from lbjwt.files import directory_fault, open_regular, read_regular
from lbjwt.keys.egress import ClientTls, Egress
from lbjwt.keys.errors import KeySourceError
from lbjwt.net.tls import TLSError, client_context, server_context
from lbjwt.observe.log_file import log_fault
from lbjwt.revocation.store import LOG_NAME, open_log
from lbjwt.revocation.tail import LogTail
from lbjwt.revocation.watched import WatchedFile

SOON: Final = datetime.timedelta(days=14)
"""Time to get a new certificate by hand, a holiday included."""
REPLACED: Final = {"certificate": "; a running lbjwt uses the new one within two seconds"}
"""By the check: what follows when the file is replaced."""
_MAX_BYTES: Final = 1 << 20


def tls_problems(path: KeyPath, tls: Tls, *, dates: bool) -> Iterator[Problem]:
    """
    Whether certificate and key can be served, and the key is a secret.

    Args:
        dates: Also warn of certificates that clients refuse, as `certificate_results` tells them.
    """
    if missing := list(_unread(path, {"certificate": tls.certificate, "private_key": tls.private_key})):
        yield from missing
        return
    try:
        server_context(tls.certificate, tls.private_key, key="tls")
    except TLSError as error:
        key, _, sentence = str(error).partition(": ")
        yield Problem((*path, *key.split(".")[1:]), sentence, code="tls-files")
        return
    yield from secrecy((*path, "private_key"), tls.private_key)
    for result in certificate_results("tls", "certificate", tls.certificate) if dates else ():
        if result.outcome == "problem" or result.check == "chain":
            yield warning((*path, "certificate"), "tls-certificate", what=result.sentence)


def _unread(path: KeyPath, named: Mapping[str, Path | None]) -> Iterator[Problem]:
    """Each file that cannot be read, by its key. OpenSSL and `net.tls` stop at the first one."""
    for key, file in named.items():
        if file is not None:
            try:
                os.close(open_regular(file)[0])
            except OSError as error:
                yield Problem((*path, key), f"cannot read {file}: {error.strerror}", code="tls-files")


def peer_secret_problems(path: KeyPath, file: Path) -> Iterator[Problem]:
    """Return the problems of a file with the secret between a proxy that asks and lbjwt."""
    try:
        read_secrets(file)
        yield from secrecy(path, file)
    except ConfigurationError as error:
        yield Problem(path, str(error), code="peer-secret")
    except OSError as error:
        yield unreadable(path, file, error)


def socket_problems(path: KeyPath, directory: Path) -> Iterator[Problem]:
    """Return the problems of the directory of a Unix socket. One that is missing is told when lbjwt binds."""
    with contextlib.suppress(OSError):
        if directory.stat().st_mode & stat.S_IWOTH:
            yield warning(path, "socket-directory-open", directory=directory)


def backend_tls_problems(path: KeyPath, tls: BackendTls, *, dates: bool) -> Iterator[Problem]:
    """
    Whether authorities and client certificate can be used, and the key is a secret.

    Args:
        dates: Also warn of a client certificate that endpoints refuse, as `certificate_results` tells it.
    """
    named = {"ca": tls.ca, "certificate": tls.certificate, "private_key": tls.private_key}
    if missing := list(_unread(path, named)):
        yield from missing
        return
    try:
        client_context(
            ca=tls.ca, certificate=tls.certificate, private_key=tls.private_key, verify=tls.verify, key="tls"
        )
    except TLSError as error:
        key, _, sentence = str(error).partition(": ")
        yield Problem((*path, *key.split(".")[1:]), sentence, code="tls-files")
        return
    if tls.ca is not None and tls.ca.stat().st_mode & stat.S_IWOTH:
        yield warning((*path, "ca"), "authority-file-writable", file=tls.ca)
    if tls.private_key is not None:
        yield from secrecy((*path, "private_key"), tls.private_key)
    for result in certificate_results("tls", "certificate", tls.certificate) if dates and tls.certificate else ():
        if result.outcome == "problem" or result.check == "chain":
            yield warning((*path, "certificate"), "tls-certificate", what=result.sentence)


def endpoints_file_problems(path: KeyPath, file: Path, listening: Sequence[Address]) -> Iterator[Problem]:
    """
    Whether an endpoints file can be used. It may be written later, so one that is missing or wrong does not stop a start.

    Args:
        listening: Addresses of lbjwt's own listeners, which are left out as endpoints.
    """
    try:
        endpoints = read_file(file)
    except EndpointsError as error:
        yield warning(path, "endpoints-file", what=str(error))
        return
    for at, endpoint in enumerate(endpoints):
        if loop := loop_fault(endpoint.address, listening):
            yield warning(path, "endpoints-file", what=f"endpoints[{at}].address: {loop}")


def fetch_problems(path: KeyPath, fetch: KeyFetch) -> Iterator[Problem]:
    """The files of a fetch: each by itself, so that each has its own place."""
    if fetch.ca_file is not None:
        try:
            ClientTls(ca_file=fetch.ca_file).context()
        except KeySourceError as error:
            yield Problem((*path, "ca_file"), str(error), code="tls-files")
        else:
            if fetch.ca_file.stat().st_mode & stat.S_IWOTH:
                yield warning((*path, "ca_file"), "key-file-writable", file=fetch.ca_file)
    if fetch.bearer_token_file is not None:
        try:
            Egress(bearer_token_file=fetch.bearer_token_file).authorization()
        except KeySourceError as error:
            yield Problem((*path, "bearer_token_file"), str(error), code="bearer-token")
    if fetch.client_certificate is None or fetch.client_key is None:
        return
    unread = False
    for key, file in (("client_certificate", fetch.client_certificate), ("client_key", fetch.client_key)):
        try:
            os.close(open_regular(file)[0])
        except OSError as error:
            yield unreadable((*path, key), file, error)
            unread = True
    if unread:
        return
    try:
        ClientTls(certificate=fetch.client_certificate, private_key=fetch.client_key).context()
    except KeySourceError as error:
        yield Problem((*path, "client_key"), str(error), code="tls-files")
        return
    yield from secrecy((*path, "client_key"), fetch.client_key)


def revocation_problems(configuration: Configuration, *, lines: bool) -> Iterator[Problem]:
    """
    That the file can be read.

    Args:
        lines: Look at each of its lines too, which takes seconds for a million of them.
    """
    revocation = configuration.revocation
    if revocation is None or (file := revocation.file) is None:
        return
    place = ("revocation", "file")
    try:
        descriptor, status = open_regular(file)
        os.close(descriptor)
    except OSError as error:
        yield unreadable(place, file, error)
        return
    if status.st_mode & stat.S_IWOTH:
        yield warning(place, "revocation-file-writable", file=file)
    if lines:
        try:
            WatchedFile(file, max_entries=revocation.max_entries).load(time.time())
        except RevocationError as error:
            yield Problem(place, str(error), code="revocations")


def state_findings(configuration: Configuration, *, here: bool, lines: bool = True) -> Iterator[Problem | Result]:
    """
    Whether lbjwt may use the state directory and what is in it.

    Args:
        here: On this machine, as this user, and beside the lbjwt that may have it: a result. Else its owner is not looked at: a problem, or nothing.
        lines: As for `revocation_problems`, of the log of revocations.
    """
    path, revocation = configuration.state_directory, configuration.revocation
    if path is None:
        if here and (revocation is not None or any(one.fetch is not None for one in configuration.issuers.values())):
            lost = ("" if revocation is None else "revocations made at run time and ") + "the last good keys"
            sentence = f"no state_directory is configured, so {lost} are lost when lbjwt stops; set it to keep them"
            yield Result("state_directory", "state-directory", "note", sentence)
        return
    outcome: Outcome = "problem"
    try:
        fault = directory_fault(path, os.geteuid() if here else None)
        mode = path.stat().st_mode if path.exists() else 0
        if fault and here:
            fault += "; or run this command as the user that runs lbjwt"
        if mode and not fault:
            fault = _content_fault(configuration, path, here=here, lines=lines)
        if not fault and mode & (stat.S_IROTH | stat.S_IXOTH):
            yield warning(("state_directory",), "state-directory-open", file=path)
        if not here:
            if fault:
                yield Problem(("state_directory",), fault, code="state-directory")
            return
        if fault:
            sentence = fault
        elif not state_needed(configuration):
            outcome, sentence = "note", f"lbjwt would store nothing in {path}: it fetches no keys and has no revocation"
        elif not mode:
            outcome, sentence = "ok", f"lbjwt creates {path} when it starts"
        elif _is_locked(path):
            outcome, sentence = "note", f"a running lbjwt uses {path}; two cannot share one directory"
        else:
            outcome, sentence = "ok", f"{path} can be used by lbjwt"
    except OSError as error:
        if not here:
            yield unreadable(("state_directory",), path, error)
            return
        sentence = f"cannot read {path}: {error.strerror}; run this command as the user that runs lbjwt"
    yield Result("state_directory", "state-directory", outcome, sentence)


def _content_fault(configuration: Configuration, path: Path, *, here: bool, lines: bool) -> str:
    """Return why lbjwt cannot start with what is in a state directory; "" when it can, or when only the user that runs lbjwt can tell."""
    try:
        if fault := directory_fault(path / KEYS, os.geteuid() if here else None):
            return fault
        if configuration.revocation is None:
            return ""
        log = path / LOG_NAME
        if not lines:
            with contextlib.suppress(FileNotFoundError):
                os.close(open_log(log, os.O_RDONLY, ours=here))
            return ""
        tail = LogTail(log, max_entries=configuration.revocation.max_entries, ours=here)
        tail.look(time.time())
    except RevocationError as error:
        return str(error)
    except PermissionError:
        if here:
            raise
        return ""
    return tail.complaint


def _is_locked(path: Path) -> bool:
    """Whether a process holds the lock that lbjwt takes. Ours is shared and gone at once, so it stops no start for longer than an instant."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def access_log_problems(configuration: Configuration) -> Iterator[Problem]:
    """Why the access log cannot be opened."""
    fault = log_fault(configuration.access_log.path) if configuration.access_log is not None else ""
    if fault:
        yield Problem(("access_log", "path"), fault, code="access-log")


def certificate_results(subject: str, check: str, path: Path, now: datetime.datetime | None = None) -> Iterator[Result]:
    """
    The dates of the certificates of one file: the one that ends first counts. Of a listener's also their order.

    Args:
        now: With its time zone; None asks the clock.
    """
    try:
        chain = load_pem_x509_certificates(read_regular(path, _MAX_BYTES)[0])
    except OSError as error:
        yield Result(subject, check, "problem", f"cannot read {path}: {error.strerror}; check its name and mode")
        return
    except ValueError:
        yield Result(subject, check, "problem", f"{path} contains no readable certificate in PEM format")
        return
    yield _dates(subject, check, path, chain, now or datetime.datetime.now(datetime.UTC))
    if check == "certificate":
        yield from _order(subject, path, chain)


def _dates(subject: str, check: str, path: Path, chain: list[Certificate], now: datetime.datetime) -> Result:
    soonest = min(chain, key=lambda one: one.not_valid_after_utc)
    latest = max(chain, key=lambda one: one.not_valid_before_utc)
    name, end, left = _name(soonest.subject), soonest.not_valid_after_utc, soonest.not_valid_after_utc - now
    if latest.not_valid_before_utc > now:
        start = f"{latest.not_valid_before_utc:%Y-%m-%d %H:%M}Z"
        sentence = f"{path}: {_name(latest.subject)} is not valid before {start}; check the clock of this machine"
        return Result(subject, check, "problem", sentence)
    if left <= datetime.timedelta():
        sentence = f"{path}: {name} expired on {end:%Y-%m-%d}; replace it{REPLACED.get(check, '')}"
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
