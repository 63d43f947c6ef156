"""
Certificates, keys and authorities on disk: the context that was made of them, and whether there are newer ones.

Files are replaced one after the other, and written in pieces. So a change counts when nothing was written between two looks, and files that cannot
be used change nothing: what is in use stays until the files change again.
"""

import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from lbjwt.address import Address
from lbjwt.files import read_regular, signature_of
from lbjwt.net.tls import MAX_PEM, TLSError, client_context, server_context

LOOK: Final = 0.5
"""Seconds between two looks. New files are in use after two of them, so well within two seconds of the last byte."""

_Signatures = tuple[tuple[int, ...], ...]


class TlsFiles(ABC):
    """
    Files and the context that was made of them.

    Args:
        paths: PEM files.
        key: Configuration key of the TLS section, for messages; a reload may change it.

    Raises:
        TLSError: The files cannot be used.
    """

    what: str
    """What is replaced, for the log."""

    def __init__(self, paths: tuple[Path, ...], *, key: str) -> None:
        self.key = key
        self.paths = paths
        self._used = self._seen = self._signatures()
        self._digest = self._digest_of_all()
        self.context = self._new_context()

    @abstractmethod
    def _new_context(self) -> ssl.SSLContext: ...

    def has_new_files(self) -> bool:
        """Whether there are other files than at the last attempt, and the same as at the last look. Costs a stat(2) for each."""
        now = self._signatures()
        stable, self._seen = now == self._seen, now
        return bool(now) and stable and now != self._used

    def is_current(self) -> bool:
        """Whether the files hold what is in use. Reads them."""
        return bool(self._digest) and self._digest_of_all() == self._digest

    def renew(self) -> ssl.SSLContext | None:
        """
        Make a context of the files as they are now and return it; None: they hold what is in use, or were written to meanwhile. Reads files and
        makes keys, so it is not for an event loop.

        Raises:
            TLSError: As the constructor, once for one state of the files.
        """
        before = self._signatures()
        digest = self._digest_of_all()
        if digest and digest == self._digest:
            self._used = before
            return None
        try:
            context = self._new_context()
        finally:
            if before == self._signatures():
                self._used = before
        if before != self._used:
            return None
        self.context, self._digest = context, digest
        return context

    def _signatures(self) -> _Signatures:
        """Of all files; empty while one is missing, as between the two steps of a replacement."""
        try:
            return tuple(signature_of(path.stat()) for path in self.paths)
        except OSError:
            return ()

    def _digest_of_all(self) -> bytes:
        """Empty when one cannot be read."""
        digest = sha256()
        try:
            for path in self.paths:
                content, _ = read_regular(path, MAX_PEM)
                digest.update(sha256(content).digest())
        except OSError:
            return b""
        return digest.digest()


class Certificate(TlsFiles):
    """
    The two files of one listener.

    Args:
        certificate: PEM file, the certificate first, then its chain.
        private_key: PEM file.
        key: As for `TlsFiles`.
        http2: As for `server_context`.

    Raises:
        TLSError: As `server_context`.
    """

    what = "certificate"

    def __init__(self, certificate: Path, private_key: Path, *, key: str, http2: bool = False) -> None:
        self.http2 = http2
        super().__init__((certificate, private_key), key=key)

    def __eq__(self, other: object) -> bool:
        """The same files with the same contents, for the same protocols."""
        return isinstance(other, Certificate) and (self.paths, self._digest, self.http2) == (
            other.paths,
            other._digest,
            other.http2,
        )

    __hash__ = None  # type: ignore[assignment]  # files change

    def _new_context(self) -> ssl.SSLContext:
        return server_context(*self.paths, key=self.key, http2=self.http2)


@dataclass(frozen=True, slots=True)
class BackendTlsSettings:
    """What a cluster asks of its https endpoints; see `client_context`. server_name: None for the host of each endpoint."""

    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    server_name: str | None = None
    verify: bool = True
    alpn: tuple[str, ...] = ("http/1.1",)


class BackendTls(TlsFiles):
    """
    TLS to the endpoints of one cluster.

    Args:
        key: As for `TlsFiles`.
        required: False: files that cannot be used are no error. Then `fault` says why, and there is no context until `renew` has made one.

    Raises:
        TLSError: As `client_context`, unless not required.
    """

    what = "certificate or authorities"

    def __init__(self, settings: BackendTlsSettings, *, key: str, required: bool = True) -> None:
        self.settings = settings
        self.fault = ""
        """Why there is no context yet; "" when there is one."""
        paths = (settings.ca, settings.certificate, settings.private_key)
        try:
            super().__init__(tuple(path for path in paths if path is not None), key=key)
        except TLSError as error:
            if required:
                raise
            self.fault, self._digest = str(error), b""

    def renew(self) -> ssl.SSLContext | None:
        context = super().renew()
        if context is not None:
            self.fault = ""
        return context

    def _new_context(self) -> ssl.SSLContext:
        settings = self.settings
        return client_context(
            ca=settings.ca,
            certificate=settings.certificate,
            private_key=settings.private_key,
            verify=settings.verify,
            key=self.key,
            alpn=settings.alpn,
        )

    def adopt(self, newer: "BackendTls") -> None:
        """Use from now on what another one read from the same files; connections that are open stay."""
        self.context, self._digest = newer.context, newer._digest
        self._used = self._seen = newer._used

    def name_of(self, address: Address) -> str:
        """Whom the certificate of an endpoint must name: the host as it was configured, whatever it was resolved to."""
        return self.settings.server_name or address.certified_name.partition("%")[0].rstrip(".")
