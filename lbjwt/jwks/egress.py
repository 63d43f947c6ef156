"""
How a key fetch leaves this machine: through which proxy, and with which bearer token.

A proxy is used only when the configuration says so, for the environment of a service may be anybody's. It is spoken to in plain HTTP and carries a
tunnel (CONNECT) for https: the certificate of the server is checked as without it. A fetch over plain http (`allow_http`) it reads, bearer token
included. Loopback is never behind one. A bearer token, such as that of a service account of Kubernetes, is read anew for each fetch, because others
replace the file; it is part of no message.
"""

import base64
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from lbjwt.jwks.errors import JWKSFetchError, KeySourceError

__all__ = ["Egress", "Proxy"]

MAX_TOKEN: Final = 64 * 1024
"""Bytes of a file with a bearer token; those of Kubernetes have about 1 KiB."""

_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1


@dataclass(frozen=True, slots=True)
class Proxy:
    """One HTTP proxy. Its password is in `authorization` alone."""

    url: str
    """``http://HOST:PORT``."""
    authorization: str | None
    """Value of ``Proxy-Authorization`` (RFC 9110 section 11.7.1), when the environment names a user."""


@dataclass(frozen=True, slots=True)
class Egress:
    """
    The way out of the fetches of one key source.

    Args:
        proxy: ``http://HOST:PORT``; None for none, or
        from_environment: the one that ``HTTPS_PROXY``, ``http_proxy``, ``ALL_PROXY`` and ``NO_PROXY`` name.
        bearer_token_file: A file with a token for ``Authorization: Bearer``; None sends none.
    """

    proxy: str | None = None
    from_environment: bool = False
    bearer_token_file: Path | None = None

    def without_token(self) -> "Egress":
        """Return the same way out for a server that the token is not for."""
        return Egress(self.proxy, self.from_environment)

    def proxy_for(self, uri: str) -> Proxy | None:
        """
        Return the proxy that a URL is fetched through; None: none.

        Raises:
            JWKSFetchError: The environment names one that cannot be used.
        """
        parts = urlsplit(uri)
        host = parts.hostname or ""
        if _is_loopback(host):
            return None
        if self.proxy is not None:
            return _proxy(urlsplit(self.proxy))
        return _from_environment(parts) if self.from_environment else None

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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
    raise JWKSFetchError("the proxy that the environment names is none of the form http://HOST:PORT")


def _proxy(parts: SplitResult) -> Proxy:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(f"http://{host}:{parts.port or 80}", authorization)
