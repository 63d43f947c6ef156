"""
How a key fetch leaves this machine: through which proxy, with which bearer token, whose certificates are believed and which one is shown.

A proxy is used only when the configuration says so, for the environment of a service may be anybody's. It is spoken to in plain HTTP and carries a
tunnel (CONNECT) for https: the certificate of the server is checked as without it. A fetch over plain http (`allow_http`) it reads, bearer token
included. Loopback is never behind one. A bearer token, such as that of a service account of Kubernetes, is read anew for each fetch, because others
replace the file; it is part of no message.

A private authority replaces the system's: keys that a private issuer signs with are not vouched for by every public one. Names and dates of
certificates are always checked (THREATS B21); there is no switch for it.
"""

import base64
import re
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from lbjwt.address import is_loopback
from lbjwt.keys.errors import JWKSFetchError, KeySourceError
from lbjwt.net.files import signature_of

MAX_TOKEN: Final = 64 * 1024
"""Bytes of a file with a bearer token; those of Kubernetes have about 1 KiB."""

_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1


@dataclass(frozen=True, slots=True)
class Proxy:
    """One HTTP proxy, ``http://HOST:PORT``. Its password is in `authorization`, the value of ``Proxy-Authorization``, alone."""

    url: str
    authorization: str | None


class ClientTls:
    """
    Trust anchors and client certificate of one key source. Files are read again when they change: a short-lived certificate needs no restart.

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
        self._signature: list[tuple[int, ...]] = []

    def context(self) -> ssl.SSLContext:
        """
        The context for the next fetch; the same one until a file changes.

        Raises:
            KeySourceError: A file is missing, not PEM, encrypted, or the two do not belong together.
        """
        signature = []
        for path in (self._ca_file, self._certificate, self._private_key):
            if path is not None:
                try:
                    signature.append(signature_of(path))
                except OSError as error:
                    raise KeySourceError(f"cannot read {path}: {error.strerror}") from None
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
            f"the key {self._private_key or self._certificate} is encrypted, and nobody can enter a password; write it unencrypted, mode 0600"
        )


SYSTEM_TLS: Final = ClientTls()  # one context for all sources without authorities of their own


@dataclass(frozen=True, slots=True)
class Egress:
    """
    How the documents of one key source are fetched.

    Args:
        timeout: Seconds for one document: name resolution, redirects and last byte included.
        max_bytes: Longest document accepted, enforced while it is read. A JWK Set of 100 RSA keys has about 64 KiB, with certificates more.
        allow_http: Allow plain ``http`` to other than loopback addresses.
        tls: Whose certificates are believed, and the one that is shown.
        proxy: ``http://HOST:PORT``; None for none, or
        proxy_from_environment: the one that ``HTTPS_PROXY``, ``http_proxy``, ``ALL_PROXY`` and ``NO_PROXY`` name.
        bearer_token_file: A file with a token for ``Authorization: Bearer``; None sends none.
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

    def proxy_for(self, uri: str) -> Proxy | None:
        """
        Return the proxy that a URL is fetched through; None: none.

        Raises:
            JWKSFetchError: The environment names one that cannot be used.
        """
        parts = urlsplit(uri)
        if is_loopback(parts.hostname or ""):
            return None
        if self.proxy is not None:
            return _proxy(urlsplit(self.proxy))
        return _from_environment(parts) if self.proxy_from_environment else None

    def authorization(self) -> str | None:
        """
        Return the value of ``Authorization`` for the next fetch; None without a token.

        Raises:
            KeySourceError: The file cannot be read, or holds no token.
        """
        path = self.bearer_token_file
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                token = file.read(MAX_TOKEN + 1).strip()
        except OSError as error:
            raise KeySourceError(f"cannot read the bearer token {path}: {error.strerror}") from None
        if len(token) > MAX_TOKEN or _TOKEN.fullmatch(token) is None:
            raise KeySourceError(f"{path} holds no bearer token: one word of letters, digits and -._~+/ is expected")
        return f"Bearer {token.decode()}"


def _from_environment(target: SplitResult) -> Proxy | None:
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

    found = getproxies_environment()
    text = found.get(target.scheme) or found.get("all")
    if not text or proxy_bypass_environment(target.netloc, found):
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme == "http" and parts.hostname and parts.path in ("", "/"):
            return _proxy(parts)
    except ValueError:
        pass
    raise JWKSFetchError("the proxy that the environment names does not have the form http://HOST:PORT")


def _proxy(parts: SplitResult) -> Proxy:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(f"http://{host}:{parts.port or 80}", authorization)


def _reason(error: ssl.SSLError) -> str:
    match getattr(error, "reason", None):
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH":
            return "the private key does not belong to it"
        case str(reason):
            return reason.replace("_", " ").lower()
    return "it is not a certificate with a private key in PEM"
