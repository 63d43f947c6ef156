"""
How a key fetch leaves this machine: proxy, bearer token, trusted authorities and client certificate.

A proxy is used only if the configuration says so, because others may control the environment of a service. The connection to the proxy is plain
HTTP; for https it carries a tunnel (CONNECT), and the server's certificate is checked as without a proxy. The proxy can read a fetch over plain http
(`allow_http`), bearer token included. Loopback addresses never use a proxy. A bearer token, such as that of a Kubernetes service account, is read
for each fetch, because its file is replaced; no message contains it.

A private authority replaces those of the system, so that no public authority can vouch for a private issuer. Names and dates of certificates are
always checked (THREATS B21).
"""

import os
import re
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import SplitResult, urlsplit

from lbjwt.address import is_loopback
from lbjwt.files import open_regular, read_regular, signature_of
from lbjwt.keys.errors import JWKSFetchError, KeySourceError

MAX_TOKEN: Final = 64 * 1024
"""Most bytes of a file with a bearer token; those of Kubernetes have about 1 KiB."""

_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1


class ClientTls:
    """
    Trust anchors and client certificate of one key source. Files are read again when they change.

    Args:
        ca_file: PEM file of the only trusted authorities; None for those of the system.
        certificate: PEM file with the client certificate and its chain; None for no certificate.
        private_key: PEM file, not encrypted; None if the key is in the file of the certificate.
    """

    def __init__(
        self, *, ca_file: Path | None = None, certificate: Path | None = None, private_key: Path | None = None
    ) -> None:
        self._ca_file = ca_file
        self._certificate = certificate
        self._private_key = private_key
        self._context: ssl.SSLContext | None = None
        self._signature: list[tuple[int, ...]] = []

    def context(self) -> ssl.SSLContext:
        """
        Return the context for the next fetch; the same one until a file changes.

        Raises:
            KeySourceError: A file is missing, not PEM or encrypted, or certificate and key do not match.
        """
        signature = []
        for path in (self._ca_file, self._certificate, self._private_key):
            if path is not None:
                try:
                    signature.append(signature_of(path.stat()))
                except OSError as error:
                    raise KeySourceError(f"cannot read {path}: {error.strerror}") from None
        if self._context is None or signature != self._signature:
            self._context = self._new_context()
            self._signature = signature
        return self._context

    def _new_context(self) -> ssl.SSLContext:
        for path in (self._ca_file, self._certificate, self._private_key):
            if path is not None:
                try:
                    os.close(open_regular(path)[0])  # OpenSSL would wait for a FIFO
                except OSError as error:
                    raise KeySourceError(f"cannot read {path}: {error.strerror}") from None
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
        except ssl.SSLError:
            raise KeySourceError(f"{self._ca_file} contains no readable certificate authority") from None
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
            f"the key {self._private_key or self._certificate} is encrypted, and nobody can enter a password; write it unencrypted, mode 0600"
        )


SYSTEM_TLS: Final = ClientTls()  # one context for all sources without authorities of their own


@dataclass(frozen=True, slots=True)
class Egress:
    """
    How the documents of one key source are fetched.

    Args:
        timeout: Seconds for one document, from name resolution through redirects to the last byte.
        max_bytes: Longest document. A JWK Set of 100 RSA keys has about 64 KiB, with certificates more.
        allow_http: Allow plain ``http`` to addresses other than loopback.
        proxy: ``http://HOST:PORT``.
        proxy_from_environment: Without `proxy`, use the one in ``HTTPS_PROXY``, ``http_proxy``, ``ALL_PROXY``, unless ``NO_PROXY`` excludes it.
        bearer_token_file: A file with a token for ``Authorization: Bearer``.
    """

    timeout: float = 5.0
    max_bytes: int = 256 * 1024
    allow_http: bool = False
    tls: ClientTls = SYSTEM_TLS
    proxy: str | None = None
    proxy_from_environment: bool = False
    bearer_token_file: Path | None = None

    def without_token(self) -> "Egress":
        return replace(self, bearer_token_file=None)

    def proxy_for(self, uri: str) -> SplitResult | None:
        """Return the URL of the proxy for a URL, or None; JWKSFetchError if the environment names an unusable one."""
        parts = urlsplit(uri)
        if is_loopback(parts.hostname or ""):
            return None
        if self.proxy is not None:
            return urlsplit(self.proxy)
        return _from_environment(parts) if self.proxy_from_environment else None

    def authorization(self) -> str | None:
        """Return the value of ``Authorization`` for the next fetch, if any; KeySourceError if the file has no readable token."""
        path = self.bearer_token_file
        if path is None:
            return None
        try:
            token = read_regular(path, MAX_TOKEN)[0].strip()
        except OSError as error:
            raise KeySourceError(f"cannot read the bearer token {path}: {error.strerror}") from None
        if len(token) > MAX_TOKEN or _TOKEN.fullmatch(token) is None:
            raise KeySourceError(f"{path} contains no bearer token; write a single word of letters, digits and -._~+/")
        return f"Bearer {token.decode()}"


def _from_environment(target: SplitResult) -> SplitResult | None:
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

    found = getproxies_environment()
    text = found.get(target.scheme) or found.get("all")
    if not text or proxy_bypass_environment(target.netloc, found):
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme == "http" and parts.hostname and parts.port != 0 and parts.path in ("", "/"):
            return parts
    except ValueError:
        pass
    raise JWKSFetchError("the proxy in the environment variable must have the form http://HOST:PORT")


def _reason(error: ssl.SSLError) -> str:
    match getattr(error, "reason", None):
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH":
            return "the private key does not belong to the certificate"
        case str(reason):
            return reason.replace("_", " ").lower()
    return "the file is not a certificate with a private key in PEM"
