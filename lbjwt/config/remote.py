"""
Keys that are fetched: from a JWKS URL, or by discovery from the issuer alone.

Knows what a legal fetch is; when and how one happens is the business of ``lbjwt.jwks``.
"""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, StrictBool, ValidationInfo, field_validator

from lbjwt.config.fields import Bytes, File, Seconds, Text
from lbjwt.config.section import Section, across, given

__all__ = ["Discovery", "KeyFetch", "RemoteJwks", "check_fetchable", "is_loopback_url"]


def is_loopback_url(uri: str) -> bool:
    """True when the URL's host is this machine."""
    host = urlsplit(uri).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_fetchable(uri: str) -> str:
    """Only http and https, no credentials in a file that people copy around, and not the metadata services of link-local addresses."""
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 - raises for a bad port
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an https URL; a file goes under jwks_file")
    if not uri.isascii() or not uri.isprintable() or " " in uri:
        raise ValueError("a URL has visible ASCII characters only")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or a password")
    if parts.fragment:
        raise ValueError("must not have a fragment")
    try:
        link_local = ipaddress.ip_address(parts.hostname).is_link_local
    except ValueError:
        link_local = False
    if link_local:
        raise ValueError("link-local addresses are not fetched from: cloud metadata lives there")
    return uri


class KeyFetch(Section):
    """How keys are fetched and how long they are believed."""

    refresh_interval: Annotated[float, Seconds(1, 86_400)] = Field(
        default=300.0,
        description="Time between two fetches when the answer does not say how long it is fresh (`Cache-Control`, RFC 9111 §4.2).",
    )
    min_refresh: Annotated[float, Seconds(1, 86_400)] | None = Field(
        default=None,
        description="Shortest time between two fetches, whatever an answer says. Default: 60s, or `refresh_interval` when that is shorter.",
    )
    max_refresh: Annotated[float, Seconds(1, 86_400)] | None = Field(
        default=None,
        description="Longest time between two fetches, whatever an answer says: a withdrawn key is believed this long at most while "
        "fetches succeed. Default: 1h, or `refresh_interval` when that is longer.",
    )
    cooldown: Annotated[float, Seconds(1, 3_600)] = Field(
        default=10.0,
        description="Least time between two fetches that unknown key ids cause, however many there are. A new key is accepted within it.",
    )
    max_stale: Annotated[float, Seconds(1, 604_800)] = Field(
        default=86_400.0,
        description="How long keys are believed after the last good fetch, through every failure; then 503 with `Retry-After`.",
    )
    timeout: Annotated[float, Seconds(0.1, 60)] = Field(
        default=5.0, description="Whole time of one fetch, from the connection to the last byte."
    )
    max_bytes: Annotated[int, Bytes(1 << 10, 16 << 20)] = Field(
        default=262_144, description="Largest document accepted; a JWK Set of 100 RSA keys has about 64 KiB."
    )
    max_keys: int = Field(
        default=100,
        ge=1,
        le=1000,
        strict=True,
        description="Most keys a document may hold; one with more is refused, and the keys in force stay.",
    )
    ca_file: File | None = Field(
        default=None,
        description="PEM file with the only authorities whose certificates the server may have. Default: the system's.",
    )
    client_certificate: File | None = Field(
        default=None, description="PEM file with a certificate to show to the server."
    )
    client_key: File | None = Field(
        default=None, validate_default=True, description="PEM file with the private key of `client_certificate`."
    )
    allow_http: StrictBool = Field(
        default=False,
        description="Allow plain `http` off loopback. Whoever can change the answer on its way can sign any token.",
    )

    @field_validator("max_refresh")
    @classmethod
    def _floor_below_ceiling(cls, most: float | None, info: ValidationInfo) -> float | None:
        least = info.data.get("min_refresh")
        if least is not None and most is not None and least > most:
            raise across("min_refresh is longer than max_refresh", "min_refresh")
        return most

    @field_validator("client_key")
    @classmethod
    def _certificate_with_key(cls, key: object, info: ValidationInfo) -> object:
        if given(info, "client_certificate") != (key is not None):
            raise across("client_certificate and client_key go together")
        return key


class RemoteJwks(KeyFetch):
    """A JWK Set that is fetched."""

    uri: Text = Field(
        description="The `https` URL of the JWK Set. Plain `http` only to loopback, or with `allow_http`. "
        "`{tenant}` stands for each name of `tenants.names`."
    )

    _fetchable = field_validator("uri")(staticmethod(check_fetchable))

    @field_validator("uri")
    @classmethod
    def _plain_http(cls, uri: str, info: ValidationInfo) -> str:
        if uri.startswith("http:") and not info.data.get("allow_http", True) and not is_loopback_url(uri):
            raise ValueError(
                "plain http lets whoever is on the way choose the keys; use https (or say allow_http: true)"
            )
        return uri


class Discovery(KeyFetch):
    """
    The JWKS URL is found by the issuer's name alone: OpenID Connect Discovery, then RFC 8414. The document's own `issuer` must be the configured one, exactly.
    """
