"""
The rules of the URLs that keys come from: text in, text out. Resolves nothing and opens nothing.

What a URL may look like is stricter here than in RFC 3986, because two parsers read it after us (aiohttp's and the resolver's) and must not be
able to see another host in it than we did. A redirect and a discovery document come from the network and are judged by the same rules.
"""

import hashlib
import re
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from lbjwt.keys.errors import JWKSFetchError

MAX_URI: Final = 2048
"""Characters; longer ones are an attack or a mistake, and none is needed."""

_TEXT: Final = re.compile(r"[!-\[\]-~]+", re.ASCII)
"""Visible ASCII but for the backslash, which some readers take for a slash."""

_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_PORTS: Final = {"https": 443, "http": 80}


def examine(uri: str, what: str = "the JWKS URL") -> SplitResult:
    """
    Return the parts of a URL that may be fetched from, as far as its text tells.

    Args:
        what: What messages call it; a text that was refused is not repeated.

    Raises:
        JWKSFetchError: Not http or https, without a plain host, with user, password or fragment, too long, or with characters that readers
            of URLs disagree about.

    Source: RFC 3986 section 3; RFC 8725 section 3.10.
    """
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 - raises for a bad one
    except ValueError:
        raise JWKSFetchError(f"{what} must be an https URL; this is no URL") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise JWKSFetchError(f"{what} must be an https URL")
    if len(uri) > MAX_URI or _TEXT.fullmatch(uri) is None:
        raise JWKSFetchError(
            f"{what} must be an https URL of visible ASCII characters, not too long and without a backslash"
        )
    host = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc.removesuffix(":")
    if _HOST.fullmatch(host) is None:
        raise JWKSFetchError(f"{what} must be an https URL with nothing but a host and a port before its path")
    if parts.fragment:
        raise JWKSFetchError(f"{what} must be an https URL without a fragment")
    return parts


def is_secure_enough(uri: str, source: str, *, allow_http: bool) -> bool:
    """True when a URL that a document from `source` names is no step down: https, or http when `source` itself is http, or when it is allowed."""
    return uri.startswith("https:") or allow_http or source.startswith("http:")


def place_of(uri: str) -> str:
    """What messages call a URL: without query, user and password, which may hold secrets."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def identity_of(*, uri: str | None = None, issuer: str | None = None) -> str:
    """
    The name of a place on disk: two sources have the same one only when they read the same keys.

    Give one of the two. A query takes part as a digest, because it may hold a secret.
    """
    if issuer is not None:
        return f"issuer {issuer}"
    assert uri is not None
    query = urlsplit(uri).query
    return place_of(uri) + (f"?sha256={hashlib.sha256(query.encode()).hexdigest()}" if query else "")


def redirected(uri: str, location: str) -> str:
    """
    Return where a redirect leads, which is never another origin (THREATS B7).

    Only path and query are taken from `location`; scheme, host and port are those of `uri`, letter for letter.

    Raises:
        JWKSFetchError: Another origin, or a text that readers of URLs disagree about.

    Source: RFC 9110 sections 10.2.2 and 15.4; RFC 6454 section 4.
    """
    here = examine(uri)
    place = place_of(uri)
    if len(location) > MAX_URI or _TEXT.fullmatch(location) is None:
        raise JWKSFetchError(f"{place} answered with a redirect to what is no plain URL")
    try:
        there = urlsplit(urljoin(uri, location))
        same = _origin(there) == _origin(here)
    except ValueError:
        raise JWKSFetchError(f"{place} answered with a redirect to what is no URL") from None
    if not same or "@" in there.netloc:
        raise JWKSFetchError(
            f"{place} answered with a redirect to another origin, which is not followed; configure the final URL"
        )
    return f"{here.scheme}://{here.netloc}{there.path or '/'}" + (f"?{there.query}" if there.query else "")


def discovery_uris(issuer: str) -> tuple[str, str]:
    """
    Return where an issuer's metadata is looked for: OpenID Connect Discovery first, then RFC 8414.

    Raises:
        JWKSFetchError: The issuer is no URL that can be asked.

    Source: OpenID Connect Discovery 1.0 section 4.1; RFC 8414 section 3.1.
    """
    parts = examine(issuer, "an issuer that is asked for its keys")
    if "?" in issuer or "#" in issuer:
        raise JWKSFetchError("an issuer that is asked for its keys has neither query nor fragment")
    path = parts.path.removesuffix("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    return (
        f"{origin}{path}/.well-known/openid-configuration",
        f"{origin}/.well-known/oauth-authorization-server{path}",
    )


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs that `examine` takes have scheme, host and port in common (RFC 6454 section 4)."""
    return _origin(urlsplit(one)) == _origin(urlsplit(other))


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
