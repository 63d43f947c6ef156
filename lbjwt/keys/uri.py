"""
URLs of keys: which are allowed, where redirects and metadata lead, and their names in messages and stored files. Opens nothing.

URLs from redirects and metadata obey the rules of `lbjwt.url`, as do those of the configuration.
"""

import hashlib
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from lbjwt.keys.errors import JWKSFetchError
from lbjwt.url import MAX_URL, URL_TEXT, split_url

_PORTS: Final = {"https": 443, "http": 80}


def examine(uri: str, what: str = "the JWKS URL") -> SplitResult:
    """Return the parts of a URL, called `what` in messages; JWKSFetchError if `split_url` refuses it (RFC 8725 section 3.10)."""
    try:
        return split_url(uri)
    except ValueError as error:
        raise JWKSFetchError(f"{what} cannot be used: {error}") from None


def place_of(uri: str) -> str:
    """The URL for messages: without query, user and password, which may be secret."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def identity_of(*, uri: str | None = None, issuer: str | None = None) -> str:
    """The name of a source, given by one of the two, in stored files: equal only for the same keys. A query, which may be secret, is digested."""
    if issuer is not None:
        return f"issuer {issuer}"
    assert uri is not None
    query = urlsplit(uri).query
    return place_of(uri) + (f"?sha256={hashlib.sha256(query.encode()).hexdigest()}" if query else "")


def redirected(uri: str, location: str) -> str:
    """
    Return the target of a redirect: path and query of `location` on the origin of `uri` (THREATS B7).

    Raises:
        JWKSFetchError: Another origin, or a text that URL parsers disagree about.

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
    Return the URLs of an issuer's metadata: OpenID Connect Discovery first, then RFC 8414.

    Raises:
        JWKSFetchError: The issuer is no URL that can be fetched from.

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
    """Whether two URLs have the same scheme, host and port (RFC 6454 section 4)."""
    return _origin(urlsplit(one)) == _origin(urlsplit(other))


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
