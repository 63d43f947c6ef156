"""
Do the files, directories and environment variables that a configuration names exist, and do they hold what they must?

Opens files and looks at nothing else: no address is bound, no URL is fetched. Returns problems without places; what is wrong with a key is told
in the words of the room that reads keys, and never shows a key.
"""

import stat
from collections.abc import Iterator

from lbjwt.assembly.directories import shared_directory
from lbjwt.cli.keyfiles import key_problems, ring_of_file, secrecy, unreadable
from lbjwt.config.load import Examination
from lbjwt.config.model import Configuration, Listener
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.remote import KeyFetch
from lbjwt.doctor.certificates import listener_findings
from lbjwt.keys.egress import ClientTls, Egress
from lbjwt.keys.errors import KeySourceError
from lbjwt.net.tls import TLSError, server_context
from lbjwt.observe.log_file import log_fault

__all__ = ["every_problem", "file_problems", "ring_of_file"]

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def every_problem(examination: Examination) -> list[Problem]:
    """The problems of a text and those of the files it names, in the order of the lines; what is wrong in the text does not hide the files."""
    problems = list(examination.problems)
    if examination.readable is not None:
        found = examination.placed(file_problems(examination.readable))
        wrong = [problem.path for problem in problems if problem.level == "error"]
        # a value that is wrong in itself is told once
        problems += [one for one in found if not any(path[: len(one.path)] == one.path for path in wrong)]
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))


def file_problems(configuration: Configuration) -> list[Problem]:
    """Return what is wrong with the files, as errors, and what is unwise about them, as warnings; also of a `partial` configuration."""
    problems: list[Problem] = []
    for index, listener in enumerate(configuration.listeners):
        problems += _tls(("listeners", index, "tls"), listener)
    for label, issuer in configuration.issuers.items():
        path: KeyPath = ("issuers", label)
        if not issuer.has_keys or (issuer.key_source.startswith("secret_") and not issuer.algorithms):
            continue  # of a partial configuration: told already
        problems += key_problems(path, issuer)
        if issuer.fetch is not None:
            problems += _fetch((*path, issuer.key_source), issuer.fetch)
    problems += _revocation(configuration)
    problems += _state(configuration)
    problems += _access_log(configuration)
    return problems


def _tls(path: KeyPath, listener: Listener) -> Iterator[Problem]:
    tls = listener.tls
    if tls is None:
        return
    try:
        server_context(tls.certificate, tls.private_key, key="tls")
    except TLSError as error:
        key, _, sentence = str(error).partition(": ")
        yield Problem((*path, *key.split(".")[1:]), sentence, code="tls-files")
        return
    yield from secrecy((*path, "private_key"), tls.private_key)
    place = (*path, "certificate")
    for finding in listener_findings("tls", tls.certificate):
        if finding.outcome == "problem" or finding.check == "chain":
            yield Problem(place, finding.sentence, "warning", "tls-certificate")


def _fetch(path: KeyPath, fetch: KeyFetch) -> Iterator[Problem]:
    """The files of a fetch: each file by itself, so that each has its own place."""
    if fetch.ca_file is not None:
        try:
            ClientTls(ca_file=fetch.ca_file).context()
        except KeySourceError as error:
            yield Problem((*path, "ca_file"), str(error), code="tls-files")
        else:
            if fetch.ca_file.stat().st_mode & stat.S_IWOTH:
                message = f"everybody may write {fetch.ca_file}, and thereby choose whose keys are believed"
                yield Problem((*path, "ca_file"), message, "warning", "key-file-writable")
    if fetch.bearer_token_file is not None:
        place = (*path, "bearer_token_file")
        try:
            Egress(bearer_token_file=fetch.bearer_token_file).authorization()
        except KeySourceError as error:
            yield Problem(place, str(error), code="bearer-token")
    if fetch.client_certificate is not None and fetch.client_key is not None:
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
    """That the file can be read; what its lines say is asked by whoever reads them."""
    file = configuration.revocation.file if configuration.revocation is not None else None
    if file is None:
        return
    place = ("revocation", "file")
    try:
        with file.open("rb"):
            status = file.stat()
    except OSError as error:
        yield unreadable(place, file, error)
        return
    if not stat.S_ISREG(status.st_mode):
        yield Problem(place, f"{file} is no file", code="unreadable")
    elif status.st_mode & stat.S_IWOTH:
        message = f"everybody may write {file}: to revoke the tokens of all, or to let a revoked one in again"
        yield Problem(place, message, "warning", "revocation-file-writable")


def _state(configuration: Configuration) -> Iterator[Problem]:
    """That the directory is ours alone, or can be made: what lies there is believed at the next start."""
    directory = configuration.state_directory
    if directory is None:
        return
    place = ("state_directory",)
    try:
        status = directory.stat()
    except FileNotFoundError:
        if not directory.parent.is_dir():
            yield Problem(place, f"there is no directory {directory.parent} to make it in", code="state-directory")
        return
    except OSError as error:
        yield unreadable(place, directory, error)
        return
    if not stat.S_ISDIR(status.st_mode):
        yield Problem(place, f"{directory} is no directory", code="state-directory")
    elif status.st_mode & _OTHERS_WRITE:
        yield Problem(place, shared_directory(directory, status), code="state-directory")
    elif status.st_mode & (stat.S_IROTH | stat.S_IXOTH):
        message = f"everybody on this machine may read in {directory} whose tokens were revoked; chmod 700 it"
        yield Problem(place, message, "warning", "state-directory-open")


def _access_log(configuration: Configuration) -> Iterator[Problem]:
    log = configuration.access_log
    if log is None:
        return
    fault = log_fault(log.path)
    if fault:
        yield Problem(("access_log", "path"), fault, code="access-log")
