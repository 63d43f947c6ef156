"""
The files, directories and environment variables that a configuration names: do they exist, hold what they must, and keep others out?

Opens files and binds no address, fetches no URL. Returns problems without places; no problem shows a key.
"""

import stat
from collections.abc import Iterator

from lbjwt.assembly.directories import directory_fault
from lbjwt.checks.certificates import certificate_results
from lbjwt.checks.codes import warning
from lbjwt.checks.key_files import key_problems, secrecy, unreadable
from lbjwt.config.model import Configuration, Tls
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.remote import KeyFetch
from lbjwt.keys.egress import ClientTls, Egress
from lbjwt.keys.errors import KeySourceError
from lbjwt.net.tls import TLSError, server_context
from lbjwt.observe.log_file import log_fault


def file_problems(configuration: Configuration) -> Iterator[Problem]:
    """Return errors and warnings about files; also of a `partial` configuration, whose wrong values have problems already."""
    for index, listener in enumerate(configuration.listeners):
        if listener.tls is not None:
            yield from _tls(("listeners", index, "tls"), listener.tls)
    for label, issuer in configuration.issuers.items():
        path: KeyPath = ("issuers", label)
        if not issuer.key_source or (issuer.key_source.startswith("secret_") and not issuer.algorithms):
            continue  # of a partial configuration
        if issuer.fetch is None:
            yield from key_problems(path, issuer)
        else:
            yield from _fetch((*path, issuer.key_source), issuer.fetch)
    yield from _revocation(configuration)
    yield from _state(configuration)
    fault = log_fault(configuration.access_log.path) if configuration.access_log is not None else ""
    if fault:
        yield Problem(("access_log", "path"), fault, code="access-log")


def _tls(path: KeyPath, tls: Tls) -> Iterator[Problem]:
    try:
        server_context(tls.certificate, tls.private_key, key="tls")
    except TLSError as error:
        key, _, sentence = str(error).partition(": ")
        yield Problem((*path, *key.split(".")[1:]), sentence, code="tls-files")
        return
    yield from secrecy((*path, "private_key"), tls.private_key)
    for result in certificate_results("tls", "certificate", tls.certificate):
        if result.outcome == "problem" or result.check == "chain":
            yield warning((*path, "certificate"), "tls-certificate", what=result.sentence)


def _fetch(path: KeyPath, fetch: KeyFetch) -> Iterator[Problem]:
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
    for key, file in (("client_certificate", fetch.client_certificate), ("client_key", fetch.client_key)):
        try:
            file.open("rb").close()
        except OSError as error:
            yield unreadable((*path, key), file, error)
            return
    try:
        ClientTls(certificate=fetch.client_certificate, private_key=fetch.client_key).context()
    except KeySourceError as error:
        yield Problem((*path, "client_key"), str(error), code="tls-files")
        return
    yield from secrecy((*path, "client_key"), fetch.client_key)


def _revocation(configuration: Configuration) -> Iterator[Problem]:
    """That the file can be read; what is in its lines is not looked at."""
    file = configuration.revocation.file if configuration.revocation is not None else None
    if file is None:
        return
    place = ("revocation", "file")
    try:
        with file.open("rb"):
            mode = file.stat().st_mode
    except OSError as error:
        yield unreadable(place, file, error)
        return
    if not stat.S_ISREG(mode):
        yield Problem(place, f"{file} is not a regular file", code="unreadable")
    elif mode & stat.S_IWOTH:
        yield warning(place, "revocation-file-writable", file=file)


def _state(configuration: Configuration) -> Iterator[Problem]:
    directory = configuration.state_directory
    if directory is None:
        return
    place = ("state_directory",)
    try:
        fault = directory_fault(directory, None)
        mode = directory.stat().st_mode if directory.exists() else 0
    except OSError as error:
        yield unreadable(place, directory, error)
        return
    if fault:
        yield Problem(place, fault, code="state-directory")
    elif mode & (stat.S_IROTH | stat.S_IXOTH):
        yield warning(place, "state-directory-open", file=directory)
