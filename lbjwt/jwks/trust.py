"""
The TLS side of a fetch: whose certificates are believed, and the certificate we show when asked for one.

A private authority replaces the system's: keys that a private issuer signs with are not vouched for by every public one. Names and dates are
always checked (THREATS B21); there is no switch for it. Files are read again when they change, so a short-lived client certificate is renewed
without a restart.
"""

import ssl
from pathlib import Path
from typing import NoReturn

from lbjwt.jwks.errors import KeySourceError
from lbjwt.jwks.signature import signature_of

__all__ = ["ClientTls"]


class ClientTls:
    """
    Trust anchors and client certificate of one key source.

    Args:
        ca_file: PEM file of the only authorities believed; None for the system's.
        certificate: PEM file, our certificate first, then its chain; None to show none.
        private_key: PEM file, not encrypted; None when it stands in the file of the certificate.
    """

    def __init__(
        self, *, ca_file: Path | None = None, certificate: Path | None = None, private_key: Path | None = None
    ) -> None:
        self._ca_file = ca_file
        self._certificate = certificate
        self._private_key = private_key
        self._context: ssl.SSLContext | None = None
        self._signature: tuple[tuple[int, ...], ...] = ()

    def context(self) -> ssl.SSLContext:
        """
        The context for the next fetch; the same one until a file changes.

        Raises:
            KeySourceError: A file is missing, not PEM, encrypted, or the two do not belong together.
        """
        signature = tuple(
            _signature(path) for path in (self._ca_file, self._certificate, self._private_key) if path is not None
        )
        if self._context is None or signature != self._signature:
            self._context = self._new_context()
            self._signature = signature
        return self._context

    def _new_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
        except ssl.SSLError:
            raise KeySourceError(f"{self._ca_file} holds no certificate authority that can be read") from None
        except OSError as error:
            raise KeySourceError(f"cannot read {self._ca_file}: {error.strerror}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.hostname_checks_common_name = False  # RFC 9525 section 6.3: only the alternative names are names
        if self._certificate is not None:
            try:
                context.load_cert_chain(self._certificate, self._private_key, password=self._encrypted)
            except ssl.SSLError as error:
                raise KeySourceError(
                    f"the client certificate {self._certificate} cannot be used: {_reason(error)}"
                ) from None
            except OSError as error:
                raise KeySourceError(
                    f"cannot read the client certificate {self._certificate} or its key: {error.strerror}"
                ) from None
        return context

    def _encrypted(self) -> NoReturn:
        raise KeySourceError(
            f"the key {self._private_key or self._certificate} is encrypted, and there is no person to ask; write it unencrypted, mode 0600"
        )


def _signature(path: Path) -> tuple[int, ...]:
    try:
        return signature_of(path)
    except OSError as error:
        raise KeySourceError(f"cannot read {path}: {error.strerror}") from None


def _reason(error: ssl.SSLError) -> str:
    match getattr(error, "reason", None):
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH":
            return "the private key does not belong to it"
        case str(reason):
            return reason.replace("_", " ").lower()
    return "it is no certificate with a private key in PEM"
