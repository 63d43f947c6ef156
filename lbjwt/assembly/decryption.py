"""The keys that decrypt the tokens of an issuer, read from the files of its ``jwe`` section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbjwt.errors import KeyFormatError
from lbjwt.files import ReadFile, read_content
from lbjwt.keys.errors import KeySourceError, sentence_of

if TYPE_CHECKING:
    from pathlib import Path

    from lbjwt.auth.encrypted import Decryption
    from lbjwt.config.decryption import Jwe
    from lbjwt.jose.decryption import DecryptionKey


def decryption_of(jwe: Jwe | None, read: ReadFile = read_content) -> Decryption | None:
    """
    How the tokens of an issuer are decrypted; None when lbjwt accepts no encrypted ones.

    Args:
        read: Reads the files.

    Raises:
        KeySourceError: A file cannot be read or used; the message has its name and nothing of what is in it.
    """
    if jwe is None:
        return None
    from lbjwt.auth.encrypted import Decryption  # imports ciphers, which few processes need

    keys = [key for file in jwe.key_files for key in decryption_keys(file, read)]
    return Decryption(tuple(dict.fromkeys(keys)), jwe.algorithms, jwe.encryptions, jwe.required)


def decryption_keys(file: Path, read: ReadFile = read_content) -> tuple[DecryptionKey, ...]:
    """
    The keys of one file.

    Raises:
        KeySourceError: As for `decryption_of`.
    """
    from lbjwt.jose.decryption import MAX_BYTES, import_decryption_keys

    try:
        return import_decryption_keys(read(file, MAX_BYTES))
    except OSError as error:
        raise KeySourceError(f"cannot read {file}: {sentence_of(error)}") from None
    except KeyFormatError as problem:
        raise KeySourceError(f"{file} cannot be used to decrypt tokens: {problem}") from None
