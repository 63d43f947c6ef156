"""
A listener's certificate and private key on disk: the context that was made of them, and whether there is a newer one.

Files are replaced one after the other, and written in pieces. So a change counts when nothing was written between two looks, and a pair that cannot
be used changes nothing: the one in use stays until the files change again.
"""

import ssl
from hashlib import sha256
from pathlib import Path
from typing import Final

from lbjwt.files import read_regular, signature_of
from lbjwt.net.tls import MAX_PEM, server_context

LOOK: Final = 0.5
"""Seconds between two looks. A new pair is in use after two of them, so well within two seconds of its last byte."""

_Signatures = tuple[tuple[int, ...], ...]


class Certificate:
    """
    The two files of one listener.

    Args:
        certificate: PEM file, the certificate first, then its chain.
        private_key: PEM file.
        key: Configuration key of the TLS section, for messages; a reload may change it.

    Raises:
        TLSError: As `server_context`.
    """

    def __init__(self, certificate: Path, private_key: Path, *, key: str) -> None:
        self.key = key
        self.paths = (certificate, private_key)
        self._used = self._seen = self._signatures()
        self._digest = self._digest_of_both()
        self.context = server_context(certificate, private_key, key=key)

    def __eq__(self, other: object) -> bool:
        """The same files with the same contents."""
        return isinstance(other, Certificate) and (self.paths, self._digest) == (other.paths, other._digest)

    __hash__ = None  # type: ignore[assignment]  # files change

    def has_new_files(self) -> bool:
        """Whether there are other files than at the last attempt, and the same as at the last look. Costs two stat(2)."""
        now = self._signatures()
        stable, self._seen = now == self._seen, now
        return bool(now) and stable and now != self._used

    def renew(self) -> ssl.SSLContext | None:
        """
        Make a context of the files as they are now and return it; None: they hold what is in use, or were written to meanwhile. Reads files and
        makes keys, so it is not for an event loop.

        Raises:
            TLSError: As `server_context`, once for one state of the files.
        """
        before = self._signatures()
        digest = self._digest_of_both()
        if digest and digest == self._digest:
            self._used = before
            return None
        try:
            context = server_context(*self.paths, key=self.key)
        finally:
            if before == self._signatures():
                self._used = before
        if before != self._used:
            return None
        self.context, self._digest = context, digest
        return context

    def _signatures(self) -> _Signatures:
        """Of both files; empty while one is missing, as between the two steps of a replacement."""
        try:
            return tuple(signature_of(path.stat()) for path in self.paths)
        except OSError:
            return ()

    def _digest_of_both(self) -> bytes:
        """Empty when one cannot be read."""
        digest = sha256()
        try:
            for path in self.paths:
                content, _ = read_regular(path, MAX_PEM)
                digest.update(sha256(content).digest())
        except OSError:
            return b""
        return digest.digest()
