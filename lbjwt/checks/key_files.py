"""
The keys of an issuer that are not fetched: read as for serving, and what is wrong or dangerous about them. No problem shows a key; of a secret
nothing but its length and kind is told.

Source of the strength of secrets: RFC 7518 section 3.2, RFC 8725 section 3.5, NIST SP 800-57 part 1 revision 5 table 4.
"""

import math
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lbjwt.assembly.decryption import decryption_keys
from lbjwt.assembly.sources import documents_of, key_ring_of, secrets_of
from lbjwt.checks.codes import warning
from lbjwt.checks.results import Result, keys_counted
from lbjwt.config.issuer import KEY_SOURCES, Issuer
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.errors import KeyFormatError
from lbjwt.keys.errors import KeySourceError

GOOD_SECRET_BITS: Final = 112.0
"""An attacker with one token can try secrets offline (RFC 8725 section 3.5). NIST accepts no less."""

_FEW: Final = 10  # different bytes, of which each tells less than its kind
_FRAME: Final = 8  # bytes that zlib adds to what cannot be compressed
_WORDS: Final = frozenset(b" _.,-'!?") | frozenset(range(ord("a"), ord("z") + 1))
_PRINTABLE: Final = frozenset(range(0x20, 0x7F)) | frozenset(b"\r\n")

_KNOWN: Final = re.compile(
    rb"your-(256|384|512)-bit-secret|a-string-secret-at-least-256-bits-long|a-valid-string-secret-that-is-at-least-(384|512)-bits-long"
    rb"(-which-is-very-long)?",
    re.IGNORECASE,
)
"""The secrets of jwt.io, which everybody tries first."""
_NUMBERED: Final = re.compile(r"key ([0-9]+)\b")


def key_findings(label: str, issuer: Issuer) -> Iterator[Problem | Result]:
    """Return what is wrong or dangerous about the keys of an issuer that are not fetched, and how many there are when they can be used."""
    path = ("issuers", label)
    key, files = issuer.key_source, issuer.key_files
    several = key == "secret_files"
    places: list[KeyPath] = [(*path, key, at) for at in range(len(files))] if several else [(*path, key)]
    whole = places[0] if len(places) == 1 else (*path, key)
    names = [*map(str, files)] or [f"the environment variable {issuer.secret_env}" if issuer.secret_env else "it"]
    code = "key-file" if files else "secret-env" if issuer.secret_env else "key-inline"
    try:
        documents = documents_of(issuer)
        if sum(getattr(issuer, source) is not None for source in KEY_SOURCES) > 1:
            return  # of a configuration with errors: which source is meant is asked there
        ring = key_ring_of(issuer)(*documents)
    except OSError as error:
        at = names.index(str(error.filename))
        yield unreadable(places[at] if at < len(places) else whole, files[at], error)
        return
    except KeySourceError as error:
        yield Problem(whole, str(error), code=code)
        return
    except KeyFormatError as error:
        yield Problem(whole, f"{', '.join(names)} cannot be used: {error}", code=code, at_key=not files)
        return
    source = ", ".join(map(str, files)) or issuer.secret_env or key
    yield Result(f"issuers.{label}", "keys", "ok", f"{keys_counted(len(ring))} from {source}")
    for note in ring.warnings:
        number = _NUMBERED.match(note)
        if issuer.jwks is not None and number is not None:
            yield warning((*whole, "keys", int(number[1])), "key-left-out", what=note)
        else:
            yield warning(whole, "key-left-out", what=f"{', '.join(names)}: {note}")
    for number_of, secret in enumerate(secrets_of(issuer, documents)):
        at = number_of if several else 0
        yield from _strength(places[at], f"a key of {names[0]}" if key == "jwks_file" else names[at], secret)
    for place, file in zip(places, files, strict=False):
        if issuer.symmetric:
            yield from secrecy(place, file)
        elif file.stat().st_mode & stat.S_IWOTH:
            yield warning(place, "key-file-writable", file=file)


def decryption_problems(label: str, issuer: Issuer) -> Iterator[Problem]:
    """Return what is wrong or dangerous about the files whose keys decrypt the tokens of an issuer."""
    for at, file in enumerate(issuer.jwe.key_files if issuer.jwe is not None else ()):
        path: KeyPath = ("issuers", label, "jwe", "key_files", at)
        try:
            decryption_keys(file)
        except KeySourceError as error:
            yield Problem(path, str(error), code="key-file")
        else:
            yield from secrecy(path, file)


def secrecy(path: KeyPath, file: Path) -> Iterator[Problem]:
    """Return a warning when everybody may read or write a file that holds a secret."""
    if file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield warning(path, "secret-open", file=file)


def unreadable(path: KeyPath, file: Path, error: OSError) -> Problem:
    """Return the problem of a file that cannot be read, in the words of the system."""
    return Problem(path, f"cannot read {file}: {error.strerror or 'unknown reason'}", code="unreadable")


def _strength(place: KeyPath, name: str, secret: bytes) -> Iterator[Problem]:
    fault = secret_fault(secret)
    if fault:
        yield warning(place, "secret-guessable", name=name, fault=fault)
    if secret.endswith(b"\n") and secret.isascii() and secret[:-1].decode("ascii").isprintable():  # typed, not random
        yield warning(place, "secret-line-break", name=name)


def secret_fault(secret: bytes) -> str:
    """Return why a secret can be guessed; "" when it looks random."""
    bits = _entropy(secret)
    if bits >= GOOD_SECRET_BITS:
        return ""
    return (
        f"has {len(secret)} bytes, but only about {bits:.0f} bits of randomness: anybody with one token can guess it. "
        "Generate a random one: lbjwt keys generate --algorithm HS256"
    )


def _entropy(secret: bytes) -> float:
    """
    A generous guess in bits, by the kind of characters and without repetition and known secrets.

    Random secrets pass; words, runs and short codes do not.
    """
    text = _KNOWN.sub(b"", secret.strip(b"\r\n"))
    kinds = frozenset(text)
    if kinds <= frozenset(b"0123456789"):
        each = 3.3
    elif kinds <= frozenset(b"0123456789abcdefABCDEF"):
        each = 4.0
    elif frozenset(text.lower()) <= _WORDS:
        each = 1.5  # of running text; a passphrase of random words has about 2 bits a letter
    elif kinds <= _PRINTABLE:
        each = 5.0
    else:
        each = 8.0
    if len(kinds) < _FEW:
        each = min(each, math.log2(max(1, len(kinds))))
    return each * min(len(text), len(zlib.compress(text, 9)) - _FRAME)
