"""
Fetch one document over HTTPS.

The URL comes from the configuration or from the issuer's own metadata, never from a token (no ``jku``, no ``x5u``); one segment of its path may be
the key id of a token (`keys.by_id`). Every fetch opens a connection: a pooled one that the server closed meanwhile would fail once per interval
(THREATS B5). Redirects stay on the origin (THREATS B7), cookies are not kept, and content codings are refused, so that 256 KiB on the wire stay 256
KiB in memory (THREATS B9).
"""

import asyncio
import base64
import contextlib
import datetime
import email.utils
import ipaddress
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from lbjwt.errors import cause_of
from lbjwt.keys.egress import Egress
from lbjwt.keys.errors import JWKSFetchError, KeyMissing
from lbjwt.keys.uri import examine, place_of, redirected

MAX_REDIRECTS: Final = 3

MAX_ETAG: Final = 256
"""Most characters of an entity tag; a longer one is ignored."""

JWKS_TYPES: Final = "application/jwk-set+json, application/json"

_LONGEST: Final = 2**31
"""Seconds; greater numbers count as this one (RFC 9111 section 1.2.2)."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A response. Its document is None after a 304; other fields are None if the server did not send them."""

    document: bytes | None = field(repr=False)
    etag: str | None = None
    max_age: float | None = None
    """Seconds for which the response is fresh."""
    date: float | None = None
    """The server's clock, seconds since the epoch."""
    answers_request: bool = True
    """The document tells whether there is a key that a token named; False for keys with a URL each that were only refreshed (`keys.by_id`)."""


async def fetch(uri: str, egress: Egress, *, etag: str | None = None, accept: str = JWKS_TYPES) -> Fetched:
    """
    Return a 200 or 304 response.

    Args:
        uri: ``https``, or ``http`` to a loopback address.
        egress: A proxy resolves names itself, so plain ``http`` through it needs `allow_http`.
        etag: Of the document we have; the server may answer 304. Without it the response comes from no cache.
        accept: Media types for the Accept field; the type of the response is not checked.

    Raises:
        JWKSFetchError: Any other response, a body above the limit, or no response in time.
        KeySourceError: The TLS files or the bearer token cannot be used.

    Source: RFC 7517 section 5; RFC 8725 section 3.10; RFC 9110 section 13.1.2.
    """
    parts = examine(uri)
    place = place_of(uri)
    host = parts.hostname or ""
    guard = _Guard(loopback_only=parts.scheme == "http" and not egress.allow_http)
    with contextlib.suppress(ValueError):  # a name: the guard checks its addresses after resolution
        guard.check(ipaddress.ip_address(host), place)
    proxy = egress.proxy_for(uri)
    if proxy is not None and guard.loopback_only:  # what is resolved elsewhere cannot be seen to be loopback
        raise JWKSFetchError(f"a proxy would fetch {place} over plain http; use https, or set allow_http")
    by_proxy = ""
    headers = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "lbjwt"}
    headers |= {"If-None-Match": etag} if etag is not None else {"Cache-Control": "no-cache"}
    authorization = egress.authorization()
    if authorization is not None:
        headers["Authorization"] = authorization
    # with each request, because aiohttp sends the headers of a session, and so the bearer token, to the proxy too
    options: dict[str, Any] = {"headers": headers}
    if proxy is not None:
        by_proxy = options["proxy"] = f"http://{proxy.netloc.rpartition('@')[2]}"
        if proxy.username is not None:
            pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            own = {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
            # a tunnel has fields of its own; without one the proxy reads, and removes, those of the request
            options |= {"proxy_headers": own} if uri.startswith("https:") else {"headers": headers | own}
    connector = aiohttp.TCPConnector(
        resolver=guard if proxy is None else ThreadedResolver(),
        force_close=True,
        use_dns_cache=False,
        ssl=egress.tls.context(),
    )
    try:
        async with (
            asyncio.timeout(egress.timeout),
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            ) as session,
        ):
            return await _follow(session, uri, options, egress.max_bytes, conditional=etag is not None)
    except TimeoutError:
        raise JWKSFetchError(f"{place} did not answer completely within {egress.timeout:g} s") from None
    except aiohttp.ClientConnectorCertificateError as error:
        raise JWKSFetchError(f"{place} has no valid certificate: {_tls_reason(error.certificate_error)}") from None
    except aiohttp.ClientConnectorSSLError as error:
        raise JWKSFetchError(f"{place} failed the TLS handshake: {_tls_reason(error.os_error)}") from None
    except aiohttp.ClientProxyConnectionError as error:
        raise JWKSFetchError(
            f"cannot connect to the proxy {by_proxy} on the way to {place}: {cause_of(error.os_error)}"
        ) from None
    except aiohttp.ClientHttpProxyError as error:
        raise JWKSFetchError(
            f"the proxy {by_proxy} refused the connection to {place} with status {error.status}"
        ) from None
    except aiohttp.ClientConnectorError as error:
        raise JWKSFetchError(f"cannot connect to {place}: {cause_of(error.os_error)}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # ValueError: from aiohttp's parser, for a hostile response
        raise JWKSFetchError(f"{place} closed the connection or did not speak HTTP ({type(error).__name__})") from None


async def _follow(
    session: aiohttp.ClientSession, uri: str, options: dict[str, Any], max_bytes: int, *, conditional: bool
) -> Fetched:
    for _ in range(MAX_REDIRECTS + 1):
        place = place_of(uri)
        async with session.get(uri, allow_redirects=False, **options) as response:
            if response.status in (301, 302, 303, 307, 308):
                location = response.headers.get("Location")
                if location is None:
                    raise JWKSFetchError(f"{place} answered with a redirect without a Location")
                uri = redirected(uri, location)
                continue
            if response.status == 304 and conditional:
                return _fetched(response, None)
            if response.status in (403, 404, 410):
                raise KeyMissing(f"{place} answered with status {response.status}", gone=response.status != 403)
            if response.status != 200:
                raise JWKSFetchError(f"{place} answered with status {response.status}")
            return _fetched(response, await _body(response, place, max_bytes))
    raise JWKSFetchError(f"{place_of(uri)} answered with more than {MAX_REDIRECTS} redirects")


async def _body(response: aiohttp.ClientResponse, place: str, max_bytes: int) -> bytes:
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise JWKSFetchError(f"{place} sent a compressed body, which lbjwt did not ask for")
    body = bytearray()
    if (response.content_length or 0) <= max_bytes:
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > max_bytes:
                break
        else:
            return bytes(body)
    raise JWKSFetchError(f"{place} sent more than {max_bytes} bytes")


def _fetched(response: aiohttp.ClientResponse, document: bytes | None) -> Fetched:
    fields = {name: response.headers.getall(name, []) for name in ("cache-control", "expires", "age", "date", "etag")}
    (etag,) = fields["etag"] if len(fields["etag"]) == 1 else ("",)
    return Fetched(
        document,
        etag=etag if _is_etag(etag) else None,
        max_age=freshness(fields, now=time.time()),
        date=next(map(parse_http_date, fields["date"]), None),
    )


def _is_etag(text: str) -> bool:
    """RFC 9110 section 8.8.3, visible ASCII only, because it goes into our next request."""
    opaque = text.removeprefix("W/")
    return (
        2 <= len(opaque) <= MAX_ETAG
        and opaque[0] == opaque[-1] == '"'
        and all("!" <= character <= "~" and character != '"' for character in opaque[1:-1])
    )


def freshness(fields: Mapping[str, Sequence[str]], *, now: float) -> float | None:
    """
    Return how many seconds a response stays fresh, or None if it does not say.

    Args:
        fields: Values of ``cache-control``, ``expires``, ``age`` and ``date``, one item per field line.
        now: Time of reception, seconds since the epoch; replaces a missing or invalid ``Date``.

    Returns:
        ``max-age``, else ``Expires`` minus ``Date``, less ``Age``; 0 for ``no-store``, ``no-cache`` and invalid values. The shortest time of
        repeated directives counts.

    Source: RFC 9111 sections 4.2, 5.1, 5.2.2 and 5.3.
    """
    lifetime = _controlled(fields.get("cache-control", ()))
    if lifetime is None:
        expires = fields.get("expires", ())
        if not expires:
            return None
        sent = next(map(parse_http_date, fields.get("date", ())), None)
        ends = [parse_http_date(text) for text in expires]
        lifetime = min(0.0 if end is None else end - (now if sent is None else sent) for end in ends)
    age = next(map(_seconds, fields.get("age", ())), None)
    return max(0.0, lifetime - (age or 0.0))


def parse_http_date(text: str) -> float | None:
    """Return a date in seconds since the epoch; None if it is invalid (RFC 9110 section 5.6.7)."""
    try:
        date = email.utils.parsedate_to_datetime(text)
        return date.replace(tzinfo=date.tzinfo or datetime.UTC).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _controlled(values: Iterable[str]) -> float | None:
    found: list[float] = []
    for directive in ",".join(values).split(","):
        name, equals, value = directive.strip(" \t").partition("=")
        name = name.lower()
        if name == "max-age":
            found.append(_seconds(value.strip('"')) or 0.0)
        elif name == "no-store" or (name == "no-cache" and not equals):  # no-cache="field" is about that field only
            found.append(0.0)
    return min(found, default=None)


def _seconds(text: str) -> float | None:
    text = text.strip(" \t")
    if not text.isascii() or not text.isdigit():
        return None
    return float(min(int(text), _LONGEST)) if len(text) <= 10 else float(_LONGEST)


class _Guard(AbstractResolver):
    """
    Resolves names and refuses link-local addresses (cloud metadata) and, for plain http, all but loopback. aiohttp connects to the very addresses
    that were checked, so a name cannot change in between.
    """

    def __init__(self, *, loopback_only: bool) -> None:
        self._resolver: ThreadedResolver | None = None
        self.loopback_only = loopback_only

    def check(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address, host: str) -> None:
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped if mapped is not None else address
        if address.is_link_local:
            raise JWKSFetchError(f"{host} is a link-local address, and lbjwt never fetches from those")
        if self.loopback_only and not address.is_loopback:
            raise JWKSFetchError(
                f"{host} uses plain http, which is allowed for loopback addresses only (or with allow_http)"
            )

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self._resolver = self._resolver or ThreadedResolver()
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            try:
                self.check(ipaddress.ip_address(result["host"].partition("%")[0]), host)
            except JWKSFetchError as error:
                raise OSError(0, str(error)) from None  # aiohttp passes on only OSError from a resolver
        return found

    async def close(self) -> None:
        """Part of the interface; there is nothing to close."""


def _tls_reason(error: Exception) -> str:
    reason = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else "no common protocol"
