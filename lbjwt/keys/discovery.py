"""
Where an issuer's keys are, from its metadata: OpenID Connect Discovery or RFC 8414, whichever it has.

The `issuer` in a document must be the configured one, character by character (THREATS B20). Only its `jwks_uri` is used, and it must obey the rules
of every URL of keys.
"""

from lbjwt._compact import parse_object
from lbjwt.keys.egress import Egress
from lbjwt.keys.errors import JWKSFetchError
from lbjwt.keys.fetcher import fetch
from lbjwt.keys.uri import discovery_uris, examine, place_of


async def discover(issuer: str, egress: Egress) -> str:
    """
    Return the URL of the issuer's key set.

    Args:
        issuer: As in tokens; ``https``, or ``http`` to a loopback address.
        egress: How the documents are fetched; with `allow_http` the key set may be behind ``http``, too.

    Raises:
        JWKSFetchError: Neither place has a valid document of this issuer; the message says what is wrong with each.

    Source: OpenID Connect Discovery 1.0 section 4; RFC 8414 section 3.
    """
    wrong = []
    for uri in discovery_uris(issuer):
        try:
            answer = await fetch(uri, egress, accept="application/json")
            return jwks_uri_of(answer.document or b"", issuer, place=place_of(uri), allow_http=egress.allow_http)
        except JWKSFetchError as error:
            wrong.append(str(error))
    raise JWKSFetchError("; ".join(wrong))


def jwks_uri_of(document: bytes, issuer: str, *, place: str, allow_http: bool = False) -> str:
    """
    Read one metadata document.

    Raises:
        JWKSFetchError: Not JSON, of another issuer, or without an allowed URL of keys.

    Source: OpenID Connect Discovery 1.0 section 4.3; RFC 8414 section 3.3; RFC 8725 section 3.8.
    """
    metadata = parse_object(document)
    if metadata is None:
        raise JWKSFetchError(f"{place} is not a JSON object")
    if metadata.get("issuer") != issuer:  # the other one is not repeated: it is anybody's text
        raise JWKSFetchError(f"{place} names an issuer other than the configured one (every character counts)")
    uri = metadata.get("jwks_uri")
    if not isinstance(uri, str):
        raise JWKSFetchError(f"{place} names no jwks_uri")
    examine(uri, f"the jwks_uri in {place}")
    if not (uri.startswith("https:") or issuer.startswith("http:") or allow_http):
        raise JWKSFetchError(f"the jwks_uri in {place} is http although the issuer is https; lbjwt does not fetch it")
    return uri
