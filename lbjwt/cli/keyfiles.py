"""
The keys of an issuer that are not fetched: in a file, in the environment, or in the configuration itself.

Reads them the way the balancer will and tells what is wrong with them, at the key of the configuration that named them, without showing any.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from lbjwt.assembly.rings import key_ring_of, secrets_of
from lbjwt.config.issuer import Issuer
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.errors import KeyFormatError
from lbjwt.jose.keyring import KeyRing

__all__ = ["MAX_BYTES", "key_problems", "ring_of_file", "secrecy", "unreadable"]

MAX_BYTES: Final = 1 << 20
"""Longest key file that is read."""

_FEW_BYTES: Final = 10
"""Different bytes below which a secret was typed, not drawn: 32 random ones have 30."""
_NUMBERED: Final = re.compile(r"key ([0-9]+)\b")


def ring_of_file(issuer: Issuer) -> KeyRing:
    """
    Return the keys of an issuer whose keys are not fetched.

    Raises:
        OSError: The file cannot be read.
        KeyFormatError: It holds no usable key.
        ValueError: The keys of the issuer are fetched.
    """
    if issuer.fetch is not None:
        raise ValueError("the keys of this issuer are fetched")
    return key_ring_of(issuer)(*_documents(issuer))


def key_problems(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    """Return what is wrong or unwise about keys that are not fetched; ``path`` is that of the issuer."""
    if issuer.fetch is not None:
        return
    key = issuer.key_source
    files = [((*path, key, *([at] if key == "secret_files" else [])), file) for at, file in enumerate(issuer.key_files)]
    place = files[0][0] if len(files) == 1 else (*path, key)
    documents: list[bytes] = []
    for at, file in files:
        try:
            documents.append(_read(file))
        except OSError as error:
            yield unreadable(at, file, error)
            return
    documents = documents or _documents(issuer)
    if issuer.secret_env is not None and not documents[0]:
        message = f"the environment variable {issuer.secret_env} is not set, or empty"
        yield Problem(place, message, code="secret-env")
        return
    names = [str(file) for _, file in files] or [
        f"the text of {issuer.secret_env}" if issuer.secret_env is not None else "it"
    ]
    try:
        ring = key_ring_of(issuer)(*documents)
    except KeyFormatError as error:
        code = "key-file" if files else "secret-env" if issuer.secret_env is not None else "key-inline"
        yield Problem(place, f"{', '.join(names)} cannot be used: {error}", code=code, at_key=not files)
        return
    yield from _left_out(place, issuer, ", ".join(names), ring)
    for number, secret in enumerate(secrets_of(issuer, documents)):
        of_a_set = key == "jwks_file"
        at = place if of_a_set or not files else files[number][0]
        yield from _strength(at, f"a key of {names[0]}" if of_a_set else names[number], secret)
    for at, file in files:
        if issuer.symmetric:
            yield from secrecy(at, file)
        elif file.stat().st_mode & stat.S_IWOTH:
            yield Problem(
                at, f"everybody may write {file}, and thereby choose the keys", "warning", "key-file-writable"
            )


def secrecy(path: KeyPath, file: Path) -> Iterator[Problem]:
    """What is unwise about the mode of a file that holds a secret."""
    if file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield Problem(
            path, f"everybody on this machine may read or write {file}; chmod 600 it", "warning", "secret-open"
        )


def unreadable(path: KeyPath, file: Path, error: OSError) -> Problem:
    """A file that cannot be read, in the words of the system."""
    return Problem(path, f"cannot read {file}: {error.strerror or 'unknown reason'}", code="unreadable")


def _documents(issuer: Issuer) -> list[bytes]:
    """What the keys are read from."""
    if issuer.key_files:
        return [_read(file) for file in issuer.key_files]
    if issuer.secret_env is not None:
        return [os.environb.get(os.fsencode(issuer.secret_env), b"")]
    return [orjson.dumps(issuer.jwks) if issuer.jwks is not None else (issuer.pem or "").encode()]


def _read(file: Path) -> bytes:
    """A file longer than any key file is refused for its length, by every command that reads keys."""
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)


def _left_out(place: KeyPath, issuer: Issuer, name: str, ring: KeyRing) -> Iterator[Problem]:
    """Keys of a set that are not used; those that stand in the configuration have a place of their own."""
    for note in ring.warnings:
        number = _NUMBERED.match(note)
        if issuer.jwks is not None and number is not None:
            yield Problem((*place, "keys", int(number[1])), note, "warning", "key-left-out")
        else:
            yield Problem(place, f"{name}: {note}", "warning", "key-left-out")


def _strength(place: KeyPath, name: str, secret: bytes) -> Iterator[Problem]:
    if len(set(secret)) < _FEW_BYTES:
        message = f"{name} has fewer than {_FEW_BYTES} different bytes: it can be guessed, and then signs any token"
        yield Problem(place, message, "warning", "secret-guessable")
    if secret.endswith(b"\n") and secret.isascii() and secret[:-1].decode("ascii").isprintable():  # typed, not drawn
        message = (
            f"{name} ends with a line break, which is a part of the secret as it stands; the issuer may have it without"
        )
        yield Problem(place, message, "warning", "secret-line-break")
