"""
Who is believed, with which keys, under which rules: the ``issuers`` section.

Knows the shape of a policy; what a policy does to a token is the business of ``lbjwt.auth``.
"""

from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, StrictBool, StringConstraints, ValidationInfo, field_validator, model_validator

from lbjwt.config.fields import Algorithm, ClaimName, File, ScopeToken, Seconds, Spelling, Text, is_hmac
from lbjwt.config.places import FromCookie, FromHeader, FromParam
from lbjwt.config.remote import Discovery, RemoteJwks, check_fetchable, is_loopback_url
from lbjwt.config.section import Section, across, given

__all__ = ["Issuer", "RemoteJwks", "Tenants", "is_loopback_url"]

T = TypeVar("T")

_KEY_SOURCES: Final = ("discovery", "jwks_file", "remote_jwks", "jwks", "pem_file", "pem", "secret_env", "secret_file")
_SOURCES: Final = ", ".join(_KEY_SOURCES)
_TENANT: Final = "{tenant}"

Tenant = Annotated[str, Spelling("[A-Za-z0-9_.-]{1,128}", "a tenant is letters, digits, _ . and -")]
EnvironmentName = Annotated[str, Spelling("[A-Za-z_][A-Za-z0-9_]{0,127}", "the name of an environment variable")]


def _distinct(values: tuple[T, ...] | None) -> tuple[T, ...] | None:
    for index, value in enumerate(values or ()):
        if value in (values or ())[:index]:
            raise ValueError(f'"{value}" stands in the list twice')
    return values


class Tenants(Section):
    """What may stand for `{tenant}` in `issuer`: a list, or a kind of name. Closed on purpose: no patterns."""

    names: Annotated[tuple[Tenant, ...], Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="The tenants, each by its exact name."
    )
    kind: Literal["digits", "hex", "uuid", "alphanumeric", "name"] | None = Field(
        default=None,
        description="Every tenant whose name is of this kind: `digits`, `hex` and `uuid` (lower case), `alphanumeric`, or `name` (those, `-` and `_`).",
    )
    max_length: int = Field(default=64, ge=1, le=255, strict=True, description="Longest name, with `kind`.")
    max_tenants: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        strict=True,
        description="Most tenants seen, per worker, with `kind`; others are refused.",
    )

    @model_validator(mode="after")
    def _one(self) -> "Tenants":
        if (self.names is None) == (self.kind is None):
            raise across("give names or kind")
        return self


class Issuer(Section):
    """One issuer of tokens."""

    issuer: Text | None = Field(
        default=None, description="The exact `iss` claim. Compared byte by byte: a trailing slash counts."
    )
    tenants: Tenants | None = Field(
        default=None,
        description="What may stand for `{tenant}` in `issuer`, such as `https://login.example/{tenant}/v2.0`.",
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
    discovery: Discovery | None = Field(
        default=None,
        description="Find the keys by the issuer's name alone (OpenID Connect Discovery, RFC 8414). `{}` is enough. A key source: give exactly one.",
    )
    jwks_file: File | None = Field(default=None, description="A file with a JWK Set, watched. A key source.")
    remote_jwks: RemoteJwks | None = Field(
        default=None, description="A JWK Set that is fetched and kept fresh. A key source."
    )
    jwks: dict[str, Any] | None = Field(default=None, description="A JWK Set, written here. A key source.")
    pem_file: File | None = Field(
        default=None, description="A file with a public key or certificate in PEM, watched. A key source."
    )
    pem: Annotated[str, StringConstraints(max_length=65_536)] | None = Field(
        default=None, description="A public key or certificate in PEM, written here. A key source."
    )
    secret_env: EnvironmentName | None = Field(
        default=None, description="An environment variable whose text is the HMAC secret. A key source."
    )
    secret_file: File | None = Field(
        default=None,
        validate_default=True,
        description="A file whose bytes are the HMAC secret, at least as long as the hash (RFC 7518 §3.2), watched. A key source.",
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
    max_age: Annotated[float, Seconds(1, 315_360_000)] | None = Field(
        default=None,
        description="Longest time since the user signed in (`auth_time`) or else the token was issued (`iat`). Default: no limit.",
    )
    typ: Text | None = Field(
        default=None, description="Required `typ` header, such as `at+jwt` (RFC 9068 §2.1). Default: not looked at."
    )
    access_token_profile: StrictBool = Field(
        default=False,
        description="Hold tokens to RFC 9068: `typ` is `at+jwt`, and `iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and `jti` are there.",
    )
    subjects: Annotated[tuple[Text, ...], Field(max_length=10_000)] = Field(
        default=(), description="Accepted `sub` claims. Default: every subject."
    )
    clients: Annotated[tuple[Text, ...], Field(max_length=10_000)] = Field(
        default=(), description="Accepted clients, by `azp` or else `client_id`. Default: every client."
    )
    refuse_sender_constrained: StrictBool = Field(
        default=False,
        description="Refuse tokens with `cnf`: they belong to the holder of a key, and no proof of it is checked here (RFC 9449 §7.2, RFC 8705 §3).",
    )
    required_scopes: tuple[ScopeToken, ...] = Field(
        default=(), description="Scopes a token must all have; without one the answer is 403 `insufficient_scope`."
    )
    allow_padding: StrictBool = Field(
        default=False,
        description="Accept `=` at the end of a token's parts, as some load balancers in the cloud write it.",
    )

    from_headers: Annotated[tuple[FromHeader, ...], Field(max_length=8)] | None = Field(
        default=None,
        description="Request fields that may hold the token. Default: `Authorization` with `Bearer`, when no other place is named.",
    )
    from_cookies: Annotated[tuple[FromCookie, ...], Field(max_length=8)] = Field(
        default=(), description="Cookies that may hold the token."
    )
    from_params: Annotated[tuple[FromParam, ...], Field(max_length=8)] = Field(
        default=(), description="Query parameters that may hold the token."
    )
    from_subprotocol: StrictBool = Field(
        default=False,
        description="Take the token from `Sec-WebSocket-Protocol: bearer, <token>` or `base64url.bearer.…`, the one place a browser's WebSocket has.",
    )

    _no_repeats = field_validator(
        "audiences",
        "algorithms",
        "required_claims",
        "required_scopes",
        "subjects",
        "clients",
        "from_headers",
        "from_cookies",
        "from_params",
    )(_distinct)

    @field_validator("tenants")
    @classmethod
    def _tenants_in_issuer(cls, tenants: Tenants | None, info: ValidationInfo) -> Tenants | None:
        issuer = info.data.get("issuer")
        if tenants is not None and (issuer is None or issuer.count(_TENANT) != 1):
            raise across("tenants need {tenant} in issuer, once", "issuer")
        return tenants

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
            raise across(f"give the keys: one of {_SOURCES}")
        if len(sources) > 1:
            raise across(f"keys come from one source, but {' and '.join(sources)} are given", sources[-1])
        (source,) = sources
        algorithms = info.data.get("algorithms", ...)
        if algorithms is ...:
            return secret
        is_secret = source.startswith("secret_")
        if is_secret and algorithms is None:
            raise across(f"{source} needs algorithms, such as [HS256]: a secret does not say what it is for")
        if is_secret and not all(map(is_hmac, algorithms)):
            raise across(f"with {source} every algorithm is one of HS256, HS384, HS512", "algorithms")
        if not is_secret and algorithms and all(map(is_hmac, algorithms)):
            raise across(f"HS algorithms need a secret, which {source} does not give; use secret_file", "algorithms")
        return secret

    @model_validator(mode="after")
    def _whole(self) -> "Issuer":
        if self.discovery is not None:
            if self.issuer is None:
                raise across("discovery needs issuer: it is where the document is looked for", "discovery")
            check_issuer_url(self.issuer, self.discovery.allow_http)
        templated = self.remote_jwks is not None and _TENANT in self.remote_jwks.uri
        by_name = self.tenants is not None and self.tenants.names is not None
        if (templated or (self.discovery is not None and self.tenants is not None)) and not by_name:
            raise across(
                "keys for each tenant need tenants.names: an unknown tenant must not choose an address", "tenants"
            )
        if self.issuer is not None and _TENANT in self.issuer and self.tenants is None:
            raise across("{tenant} in issuer needs tenants", "issuer")
        if self.access_token_profile and self.typ is not None:
            raise across("access_token_profile says what typ must be", "typ")
        return self

    @property
    def headers(self) -> tuple[FromHeader, ...]:
        """The request fields that may hold a token, the default included."""
        if self.from_headers is not None:
            return self.from_headers
        other = self.from_cookies or self.from_params or self.from_subprotocol
        return () if other else (FromHeader(name="Authorization"),)


def check_issuer_url(issuer: str, allow_http: bool) -> None:
    """Raise when an issuer's name is not a URL that discovery may start from."""
    try:
        check_fetchable(issuer.replace(_TENANT, "tenant"))
    except ValueError as error:
        raise across(f"discovery starts from the issuer's name: {error}", "issuer") from None
    if "?" in issuer:
        raise across("discovery starts from an issuer without a query (RFC 8414 §2)", "issuer")
    if issuer.startswith("http:") and not allow_http and not is_loopback_url(issuer):
        raise across(
            "plain http lets whoever is on the way choose the keys; use https (or say allow_http: true)", "issuer"
        )
