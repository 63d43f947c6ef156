"""
Who is believed, with which keys, under which rules: the ``issuers`` section.

Knows the shape of a policy; what a policy does to a token is the business of ``lbjwt.auth``.
"""

import ipaddress
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, StrictBool, ValidationInfo, field_validator

from lbjwt.config.fields import Algorithm, Bytes, ClaimName, File, ScopeToken, Seconds, Text, is_hmac
from lbjwt.config.section import Section, across, given

__all__ = ["Issuer", "RemoteJwks", "is_loopback_url"]

T = TypeVar("T")

_KEY_SOURCES: Final = ("jwks_file", "remote_jwks", "pem_file", "secret_file")


def _distinct(values: tuple[T, ...] | None) -> tuple[T, ...] | None:
    for index, value in enumerate(values or ()):
        if value in (values or ())[:index]:
            raise ValueError(f'"{value}" stands in the list twice')
    return values


def _host(uri: str) -> str:
    return urlsplit(uri).hostname or ""


def is_loopback_url(uri: str) -> bool:
    """True when the URL's host is this machine."""
    try:
        return ipaddress.ip_address(_host(uri)).is_loopback
    except ValueError:
        return _host(uri) == "localhost"


class RemoteJwks(Section):
    """A JWK Set that is fetched."""

    uri: Text = Field(
        description="The `https` URL of the JWK Set. Plain `http` only to loopback, or with `allow_http`."
    )
    refresh_interval: Annotated[float, Seconds(1, 86_400)] = Field(
        default=300.0,
        description="Time between two fetches. A key the issuer withdrew is believed this long while fetches succeed.",
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
    allow_http: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Allow plain `http` off loopback. Whoever can change the answer on its way can sign any token.",
    )

    @field_validator("uri")
    @classmethod
    def _fetchable(cls, uri: str) -> str:
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

    @field_validator("allow_http")
    @classmethod
    def _plain_http(cls, allowed: bool, info: ValidationInfo) -> bool:
        uri = info.data.get("uri")
        if uri is not None and uri.startswith("http:") and not allowed and not is_loopback_url(uri):
            raise across(
                "plain http lets whoever is on the way choose the keys; use https (or say allow_http: true)", "uri"
            )
        return allowed


class Issuer(Section):
    """One issuer of tokens."""

    issuer: Text | None = Field(
        default=None, description="The exact `iss` claim. Compared byte by byte: a trailing slash counts."
    )
    any_issuer: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Accept any `iss`, or none. Said out loud instead of `issuer`.",
    )
    audiences: Annotated[tuple[Text, ...], Field(max_length=100)] = Field(
        default=(), description="Accepted audiences: the `aud` claim must hold one of them."
    )
    any_audience: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Accept any `aud`, or none: a token made for another service opens this one. Said out loud instead of `audiences`.",
    )
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Accepted signature algorithms. Default: what the keys say. Each key is used with one algorithm only.",
    )
    jwks_file: File | None = Field(default=None, description="A file with a JWK Set. One of four key sources.")
    remote_jwks: RemoteJwks | None = Field(
        default=None, description="A JWK Set that is fetched and kept fresh. One of four key sources."
    )
    pem_file: File | None = Field(
        default=None, description="A file with a public key or certificate in PEM. One of four key sources."
    )
    secret_file: File | None = Field(
        default=None,
        validate_default=True,
        description="A file whose bytes are the HMAC secret, at least as long as the hash (RFC 7518 §3.2). One of four key sources.",
    )
    clock_skew: Annotated[float, Seconds(0, 300)] = Field(
        default=60.0, description="How far the issuer's clock may be off, for `exp`, `nbf` and `iat`."
    )
    require_expiration: StrictBool = Field(
        default=True, description="Refuse tokens without `exp`: they would be good forever."
    )
    required_claims: tuple[ClaimName, ...] = Field(default=(), description="Claims a token must have, and not null.")
    max_lifetime: Annotated[float, Seconds(1, 315_360_000)] | None = Field(
        default=None,
        description="Longest accepted `exp - iat`, such as `24h`; both claims are then required. Default: no limit.",
    )
    typ: Text | None = Field(
        default=None, description="Required `typ` header, such as `at+jwt` (RFC 9068 §2.1). Default: not looked at."
    )
    required_scopes: tuple[ScopeToken, ...] = Field(
        default=(), description="Scopes a token must all have; without one the answer is 403 `insufficient_scope`."
    )
    allow_padding: StrictBool = Field(
        default=False,
        description="Accept `=` at the end of a token's parts, as some load balancers in the cloud write it.",
    )

    _no_repeats = field_validator("audiences", "algorithms", "required_claims", "required_scopes")(_distinct)

    @field_validator("any_issuer")
    @classmethod
    def _issuer_said(cls, anyone: bool, info: ValidationInfo) -> bool:
        if given(info, "issuer") == anyone:
            raise across(
                "any_issuer: true contradicts issuer; keep one"
                if anyone
                else "give issuer, the exact iss claim (or say any_issuer: true)"
            )
        return anyone

    @field_validator("any_audience")
    @classmethod
    def _audience_said(cls, anyone: bool, info: ValidationInfo) -> bool:
        if (info.data.get("audiences", ...) != ()) == anyone:
            raise across(
                "any_audience: true contradicts audiences; keep one"
                if anyone
                else "give audiences (or say any_audience: true)"
            )
        return anyone

    @field_validator("secret_file")
    @classmethod
    def _one_key_source(cls, secret: T, info: ValidationInfo) -> T:
        sources = [key for key in _KEY_SOURCES[:-1] if given(info, key)] + ["secret_file"] * (secret is not None)
        if not sources:
            raise across("give the keys: one of jwks_file, remote_jwks, pem_file, secret_file")
        if len(sources) > 1:
            raise across(f"keys come from one source, but {' and '.join(sources)} are given", sources[-1])
        algorithms = info.data.get("algorithms", ...)
        if algorithms is ...:
            return secret
        if secret is not None and algorithms is None:
            raise across("secret_file needs algorithms, such as [HS256]: a secret does not say what it is for")
        if secret is not None and not all(map(is_hmac, algorithms)):
            raise across("with secret_file every algorithm is one of HS256, HS384, HS512", "algorithms")
        if secret is None and algorithms and all(map(is_hmac, algorithms)):
            raise across(
                f"HS algorithms need a secret, which {sources[0]} does not give; use secret_file", "algorithms"
            )
        return secret
