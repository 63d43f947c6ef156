"""
Fetch one JWK Set document over HTTPS.

Bytes come out, or `JWKSFetchError`; what the bytes mean is asked elsewhere. The URL comes from the configuration, never from a token
(no ``jku``, no ``x5u``). Every fetch has a connection of its own: a pooled one that the server closed meanwhile would fail once per interval
(kgateway issue 4838). Redirects are not followed (CVE-2026-102267), proxies of the environment are not used, cookies are not kept, content
codings are refused so that 256 KiB on the wire stay 256 KiB in memory.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from lbjwt.errors import LbjwtError, cause_of

__all__ = ["MAX_BYTES", "TIMEOUT", "JWKSFetchError", "fetch"]

TIMEOUT: Final = 5.0
"""Seconds for the whole fetch, name resolution and last byte included."""

MAX_BYTES: Final = 256 * 1024
"""A JWK Set of 100 RSA keys has about 64 KiB; certificates chains (``x5c``) make it longer."""


class JWKSFetchError(LbjwtError):
    """No document: the message is one sentence without the URL's query, which may hold a secret."""


async def fetch(
    uri: str,
    *,
    timeout: float = TIMEOUT,
    max_bytes: int = MAX_BYTES,
    allow_http: bool = False,
    ssl_context: ssl.SSLContext | None = None,
) -> bytes:
    """
    Return the body of a 200 response.

    Args:
        uri: ``https``, or ``http`` to a loopback address.
        timeout: Seconds for everything.
        max_bytes: Longest body accepted, enforced while it is read.
        allow_http: Allow ``http`` to any address.
        ssl_context: Trust anchors other than the system's.

    Raises:
        JWKSFetchError: Anything else than a 200 with a body within the limits, in time.

    Source: RFC 7517 section 5; RFC 8725 section 3.10.
    """
    parts = urlsplit(uri)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise JWKSFetchError("the JWKS URL must be an https URL")
    guard = _Guard(loopback_only=parts.scheme == "http" and not allow_http)
    with contextlib.suppress(ValueError):  # a name: the guard sees its addresses when it is resolved
        guard.check(ipaddress.ip_address(parts.hostname), place)
    try:
        async with asyncio.timeout(timeout):
            return await _get(uri, place, guard, max_bytes, ssl_context)
    except TimeoutError:
        raise JWKSFetchError(f"{place} did not answer completely within {timeout:g} s") from None
    except JWKSFetchError:
        raise
    except aiohttp.ClientConnectorCertificateError:
        raise JWKSFetchError(f"{place} has a certificate for another name") from None
    except aiohttp.ClientConnectorSSLError as error:
        raise JWKSFetchError(f"{place} failed the TLS handshake: {_tls_reason(error.os_error)}") from None
    except aiohttp.ClientConnectorError as error:
        cause = _refusal(error) or cause_of(error.os_error)
        raise JWKSFetchError(f"cannot connect to {place}: {cause}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # ValueError: what aiohttp's parser may raise on a hostile answer
        raise JWKSFetchError(f"{place} broke off or did not speak HTTP ({type(error).__name__})") from None


async def _get(uri: str, place: str, guard: "_Guard", max_bytes: int, ssl_context: ssl.SSLContext | None) -> bytes:
    connector = aiohttp.TCPConnector(resolver=guard, force_close=True, use_dns_cache=False, ssl=ssl_context or True)
    headers = {
        "Accept": "application/jwk-set+json, application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "lbjwt",
    }
    async with (
        aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        ) as session,
        session.get(uri, allow_redirects=False) as response,
    ):
        if response.status in (301, 302, 303, 307, 308):
            raise JWKSFetchError(f"{place} answered with a redirect, which is not followed; configure the final URL")
        if response.status != 200:
            raise JWKSFetchError(f"{place} answered with status {response.status}")
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise JWKSFetchError(f"{place} sent a compressed body although none was asked for")
        too_long = JWKSFetchError(f"{place} sent more than {max_bytes} bytes")
        if response.content_length is not None and response.content_length > max_bytes:
            raise too_long
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > max_bytes:
                raise too_long
        return bytes(body)


class _Guard(AbstractResolver):
    """
    Resolves names and refuses addresses that must not be fetched from: link-local ones, where cloud metadata lives, and everything but
    loopback for plain http. The check is on the address that is then connected to, so a name cannot pass as one address and connect as another.
    """

    def __init__(self, *, loopback_only: bool) -> None:
        self._resolver: ThreadedResolver | None = None
        self._loopback_only = loopback_only

    def check(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address, host: str) -> None:
        """Raise `JWKSFetchError` when `address` must not be connected to."""
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped if mapped is not None else address
        if address.is_link_local:
            raise JWKSFetchError(f"{host} is a link-local address, which is never fetched from")
        if self._loopback_only and not address.is_loopback:
            raise JWKSFetchError(
                f"{host} would be fetched over plain http, which is allowed to loopback only (or with allow_http)"
            )

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve with the system's resolver, in a thread."""
        self._resolver = self._resolver or ThreadedResolver()
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            try:
                self.check(ipaddress.ip_address(result["host"].partition("%")[0]), host)
            except JWKSFetchError as error:
                raise _Refused(str(error)) from None
        return found

    async def close(self) -> None:
        """Nothing is held."""


class _Refused(OSError):
    """Carries a refusal of the guard through aiohttp, which lets only OSError out of a resolver."""

    def __init__(self, sentence: str) -> None:
        super().__init__(0, sentence)


def _refusal(error: aiohttp.ClientConnectorError) -> str:
    return str(error.os_error.strerror) if isinstance(error.os_error, _Refused) else ""


def _tls_reason(error: OSError) -> str:
    reason = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else "no common protocol"
