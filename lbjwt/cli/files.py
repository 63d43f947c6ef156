"""
Do the files that a configuration names exist, and do they hold what they must?

Opens files and looks at nothing else: no address is bound, no URL is fetched. Returns problems without places; what is wrong with a key is told
in the words of the room that reads keys, and never shows a key.
"""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from lbjwt.config.issuer import Issuer
from lbjwt.config.model import Configuration, Listener
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.errors import KeyFormatError
from lbjwt.jose.keyring import KeyRing
from lbjwt.net.tls import TLSError, server_context

__all__ = ["file_problems", "ring_of_file"]

MAX_BYTES: Final = 1 << 20
"""Longest key file that is read."""


def file_problems(configuration: Configuration) -> list[Problem]:
    """Return what is wrong with the files, as errors, and what is unwise about them, as warnings."""
    problems: list[Problem] = []
    for index, listener in enumerate(configuration.listeners):
        problems += _tls(("listeners", index, "tls"), listener)
    for label, issuer in configuration.issuers.items():
        problems += _keys(("issuers", label), issuer)
    problems += _access_log(configuration)
    return problems


def ring_of_file(issuer: Issuer) -> KeyRing:
    """
    Return the keys of an issuer whose keys stand in a file.

    Raises:
        OSError: The file cannot be read.
        KeyFormatError: It holds no usable key.
        ValueError: The keys of the issuer are fetched.
    """
    for _, path, build in _sources(issuer):
        return build(_read(path))
    raise ValueError("the keys of this issuer are fetched")


def _sources(issuer: Issuer) -> Iterator[tuple[str, Path, Callable[[bytes], KeyRing]]]:
    """The key file of an issuer, none when its keys are fetched: the configuration key, the path and how its bytes are read."""
    algorithms = issuer.algorithms
    if issuer.jwks_file is not None:
        yield (
            "jwks_file",
            issuer.jwks_file,
            lambda text: KeyRing.from_jwks(text, algorithms=algorithms),
        )
    if issuer.pem_file is not None:
        yield "pem_file", issuer.pem_file, lambda text: KeyRing.from_pem(text, algorithms=algorithms)
    if issuer.secret_file is not None:
        yield "secret_file", issuer.secret_file, lambda secret: KeyRing.from_secret(secret, algorithms=algorithms or ())


def _keys(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    for key, file, build in _sources(issuer):
        place = (*path, key)
        try:
            ring = build(_read(file))
        except OSError as error:
            yield _unreadable(place, file, error)
            continue
        except KeyFormatError as error:
            yield Problem(place, f"{file} cannot be used: {error}", code="key-file")
            continue
        for note in ring.warnings:
            yield Problem(place, f"{file}: {note}", "warning", "key-left-out")
        if key == "secret_file":
            yield from _secrecy(place, file)
        elif file.stat().st_mode & stat.S_IWOTH:
            yield Problem(
                place, f"everybody may write {file}, and thereby choose the keys", "warning", "key-file-writable"
            )


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
    yield from _secrecy((*path, "private_key"), tls.private_key)


def _secrecy(path: KeyPath, file: Path) -> Iterator[Problem]:
    if file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield Problem(
            path, f"everybody on this machine may read or write {file}; chmod 600 it", "warning", "secret-open"
        )


def _access_log(configuration: Configuration) -> Iterator[Problem]:
    log = configuration.access_log
    if log is None or log.path == "-":
        return
    path = Path(log.path)
    if path.is_dir():
        yield Problem(("access_log", "path"), f"{path} is a directory", code="access-log")
    elif not path.parent.is_dir():
        yield Problem(("access_log", "path"), f"there is no directory {path.parent}", code="access-log")


def _read(path: Path) -> bytes:
    """Read a key file; one that is longer than any key file is refused by whoever reads its keys, for its length."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _unreadable(path: KeyPath, file: Path, error: OSError) -> Problem:
    return Problem(path, f"cannot read {file}: {error.strerror or 'unknown reason'}", code="unreadable")
