"""
URLs that keys come from: what is fetched, where redirects and metadata lead, and what messages and the disk call them. Opens nothing.

A redirect and a discovery document come from the network; `lbjwt.url` judges them by the same rules as the configuration.
"""

import hashlib
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from lbjwt.keys.errors import JWKSFetchError
from lbjwt.url import MAX_URL, URL_TEXT, split_url

_PORTS: Final = {"https": 443, "http": 80}


def examine(uri: str, what: str = "the JWKS URL") -> SplitResult:
    """Return the parts of a URL, called `what` in messages, or raise JWKSFetchError when `split_url` refuses its text (RFC 8725 section 3.10)."""
    try:
        return split_url(uri)
    except ValueError as error:
        raise JWKSFetchError(f"{what} cannot be used: {error}") from None


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
    if len(location) > MAX_URL or URL_TEXT.fullmatch(location) is None:
        raise JWKSFetchError(f"{place} answered with a redirect to something that is not a plain URL")
    try:
        there = urlsplit(urljoin(uri, location))
        same = _origin(there) == _origin(here)
    except ValueError:
        raise JWKSFetchError(f"{place} answered with a redirect to something that is not a URL") from None
    if not same or "@" in there.netloc:
        raise JWKSFetchError(
            f"{place} answered with a redirect to another origin, which lbjwt does not follow; configure the final URL"
        )
    return f"{here.scheme}://{here.netloc}{there.path or '/'}" + (f"?{there.query}" if there.query else "")


def discovery_uris(issuer: str) -> tuple[str, str]:
    """
    Return where an issuer's metadata is looked for: OpenID Connect Discovery first, then RFC 8414.

    Raises:
        JWKSFetchError: The issuer is no URL that can be asked.

    Source: OpenID Connect Discovery 1.0 section 4.1; RFC 8414 section 3.1.
    """
    parts = examine(issuer, "an issuer with discovery")
    if "?" in issuer:
        raise JWKSFetchError("an issuer with discovery must not have a query")
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
