"""
Certificates, keys and authorities on disk: the context that was made of them, and whether there are newer ones.

Files are replaced one after the other, and written in pieces. So a change counts when nothing was written between two looks, and files that cannot
be used change nothing: what is in use stays until the files change again. A process that takes the place of another one is told what the files held
then, and begins with that where they cannot be used.
"""

import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lbjwt.address import Address
from lbjwt.files import Kept, in_memory, nothing_kept, read_content, signature_of
from lbjwt.net.tls import MAX_PEM, TLSError, client_context, server_context

LOOK: Final = 0.5
"""Seconds between two looks. New files are in use after two of them, so well within two seconds of the last byte."""

_Signatures = tuple[tuple[int, ...], ...]

log = logging.getLogger("lbjwt.service")


class TlsFiles(ABC):
    """
    Files and the context that was made of them.

    Args:
        paths: PEM files.
        key: Configuration key of the TLS section, for messages; a reload may change it.
        kept: Used in place of files that cannot be used, until they are replaced.

    Raises:
        TLSError: The files cannot be used.
    """

    what: str
    """What is replaced, for the log."""

    def __init__(self, paths: tuple[Path, ...], *, key: str, kept: Kept = nothing_kept) -> None:
        self.key = key
        self.paths = paths
        self._used = self._seen = self._signatures()
        self.contents: tuple[bytes, ...] | None = self._read_all()
        """Of the files that the context was made of; None when one could not be read."""
        try:
            self.context = self._new_context(paths)
        except TLSError as error:
            contents = tuple(kept(paths))
            if not contents:
                raise
            self.context, self.contents = self._context_of(contents), contents
            log.error("%s; what was in force before stays in use until the files are replaced", error)

    @abstractmethod
    def _new_context(self, paths: Sequence[Path]) -> ssl.SSLContext:
        """Make a context of files with these paths, in the order of `paths`."""

    def _context_of(self, contents: Sequence[bytes]) -> ssl.SSLContext:
        try:
            with in_memory(contents) as paths:
                return self._new_context(paths)
        except OSError as error:
            raise TLSError(f"{self.key}: cannot be copied to memory: {error.strerror}") from None

    def has_new_files(self) -> bool:
        """Whether there are other files than at the last attempt, and the same as at the last look. Costs a stat(2) for each."""
        now = self._signatures()
        stable, self._seen = now == self._seen, now
        return bool(now) and stable and now != self._used

    def is_current(self) -> bool:
        """Whether the files hold what is in use. Reads them."""
        return self.contents is not None and self._read_all() == self.contents

    def renew(self) -> ssl.SSLContext | None:
        """
        Make a context of the files as they are now and return it; None: they hold what is in use, or were written to meanwhile. Reads files and
        makes keys, so it is not for an event loop.

        Raises:
            TLSError: As the constructor, once for one state of the files.
        """
        before = self._signatures()
        contents = self._read_all()
        if contents is not None and contents == self.contents:
            self._used = before
            return None
        try:
            context = self._new_context(self.paths)
        finally:
            if before == self._signatures():
                self._used = before
        if before != self._used:
            return None
        self.context, self.contents = context, contents
        return context

    def _signatures(self) -> _Signatures:
        """Of all files; empty while one is missing, as between the two steps of a replacement."""
        try:
            return tuple(signature_of(path.stat()) for path in self.paths)
        except OSError:
            return ()

    def _read_all(self) -> tuple[bytes, ...] | None:
        """The contents of the files; None when one cannot be read."""
        try:
            return tuple(read_content(path, MAX_PEM) for path in self.paths)
        except OSError:
            return None


class Certificate(TlsFiles):
    """
    The two files of one listener.

    Args:
        certificate: PEM file, the certificate first, then its chain.
        private_key: PEM file.
        key: As for `TlsFiles`.
        http2: As for `server_context`.
        kept: As for `TlsFiles`.

    Raises:
        TLSError: As `server_context`.
    """

    what = "certificate"

    def __init__(
        self, certificate: Path, private_key: Path, *, key: str, http2: bool = False, kept: Kept = nothing_kept
    ) -> None:
        self.http2 = http2
        super().__init__((certificate, private_key), key=key, kept=kept)

    def __eq__(self, other: object) -> bool:
        """The same files with the same contents, for the same protocols."""
        return isinstance(other, Certificate) and (self.paths, self.contents, self.http2) == (
            other.paths,
            other.contents,
            other.http2,
        )

    __hash__ = None  # type: ignore[assignment]  # files change

    def _new_context(self, paths: Sequence[Path]) -> ssl.SSLContext:
        certificate, private_key = paths
        return server_context(certificate, private_key, key=self.key, http2=self.http2)


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
        kept: As for `TlsFiles`.

    Raises:
        TLSError: As `client_context`, unless not required.
    """

    what = "certificate or authorities"

    def __init__(
        self, settings: BackendTlsSettings, *, key: str, required: bool = True, kept: Kept = nothing_kept
    ) -> None:
        self.settings = settings
        self.fault = ""
        """Why there is no context yet; "" when there is one."""
        paths = (settings.ca, settings.certificate, settings.private_key)
        try:
            super().__init__(tuple(path for path in paths if path is not None), key=key, kept=kept)
        except TLSError as error:
            if required:
                raise
            self.fault, self.contents = str(error), None

    def renew(self) -> ssl.SSLContext | None:
        context = super().renew()
        if context is not None:
            self.fault = ""
        return context

    def _new_context(self, paths: Sequence[Path]) -> ssl.SSLContext:
        settings = self.settings
        given = iter(paths)
        ca, certificate, private_key = (
            None if path is None else next(given) for path in (settings.ca, settings.certificate, settings.private_key)
        )
        return client_context(
            ca=ca,
            certificate=certificate,
            private_key=private_key,
            verify=settings.verify,
            key=self.key,
            alpn=settings.alpn,
        )

    def adopt(self, newer: "BackendTls") -> None:
        """Use from now on what another one read from the same files; connections that are open stay."""
        self.context, self.contents = newer.context, newer.contents
        self._used = self._seen = newer._used

    def name_of(self, address: Address) -> str:
        """Whom the certificate of an endpoint must name: the host as it was configured, whatever it was resolved to."""
        return self.settings.server_name or address.certified_name.partition("%")[0].rstrip(".")
