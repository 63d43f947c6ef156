"""The ``issuers`` section."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, StrictBool, StringConstraints, ValidationInfo, field_validator

from lbjwt.auth.issuer_pattern import TENANT, IssuerPattern
from lbjwt.auth.policy import CLOCK_SKEW, MAX_AFFIXES, MAX_CLOCK_SKEW, IssuerPolicy
from lbjwt.config.decryption import Jwe
from lbjwt.config.fields import (
    Algorithm,
    ClaimName,
    File,
    ScopeToken,
    Seconds,
    Spelling,
    Text,
    Words,
    distinct,
    is_hmac,
)
from lbjwt.config.places import FromCookie, FromHeader, FromParam, TokenLocations
from lbjwt.config.remote import PLAIN_HTTP, Discovery, KeyFetch, RemoteJwks, RemoteKeys
from lbjwt.config.required_headers import RequiredHeaders
from lbjwt.config.section import Fault, Section, across, given, placed, refuse
from lbjwt.config.tenants import Tenants
from lbjwt.config.url import check_fetchable, is_loopback_url
from lbjwt.jose.mistaken import SECRET_MEMBERS

T = TypeVar("T")

KEY_SOURCES: Final = (
    *(
        "discovery",
        "jwks_file",
        "remote_jwks",
        "remote_keys",
        "jwks",
        "pem_file",
        "pem",
        "secret_env",
        "secret_files",
        "secret_file",
    ),
)

EnvironmentName = Annotated[str, Spelling("[A-Za-z_][A-Za-z0-9_]{0,127}", "the name of an environment variable")]


class Issuer(Section):
    """One issuer of tokens."""

    issuer: Text | None = Field(
        default=None, description="The exact `iss` claim. lbjwt compares every byte, including a trailing slash."
    )
    tenants: Tenants | None = Field(
        default=None,
        description="Which values `{tenant}` in `issuer` may have, for an issuer such as `https://login.example/{tenant}/v2.0`.",
    )
    any_issuer: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Accept tokens with any `iss` claim or without one. Set either this or `issuer`.",
    )
    audiences: Annotated[tuple[Text, ...], Field(max_length=100)] = Field(
        default=(), description="Accepted audiences: the `aud` claim must contain at least one of them."
    )
    any_audience: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Accept tokens with any `aud` claim or without one, also tokens for other services. Set either this or `audiences`.",
    )
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Accepted signature algorithms. Default: those of the keys. Each key is used with one algorithm only.",
    )
    discovery: Discovery | None = Field(
        default=None,
        description="Key source (give exactly one): discovery from the URL in `issuer` (OpenID Connect, RFC 8414). `{}` is enough.",
    )
    jwks_file: File | None = Field(
        default=None,
        description="Key source: a file with a JWK Set, watched for changes. Its `oct` keys are used only if all `algorithms` are HS algorithms.",
    )
    remote_jwks: RemoteJwks | None = Field(
        default=None, description="Key source: a URL of a JWK Set, which lbjwt fetches regularly."
    )
    remote_keys: RemoteKeys | None = Field(
        default=None,
        description="Key source: a URL for each key, with `{kid}` in it; lbjwt fetches a key when a token names it.",
    )
    jwks: Annotated[dict[str, Any], Words("JWK Set")] | None = Field(
        default=None, description="Key source: a JWK Set of public keys, written in the configuration."
    )
    pem_file: File | None = Field(
        default=None,
        description="Key source: a file with public keys or certificates in PEM, watched for changes. Only the first certificate of a chain counts.",
    )
    pem: Annotated[str, StringConstraints(max_length=65_536)] | None = Field(
        default=None, description="Key source: public keys or certificates in PEM, written in the configuration."
    )
    secret_env: EnvironmentName | None = Field(
        default=None, description="Key source: the name of an environment variable that contains the HMAC secret."
    )
    secret_files: Annotated[tuple[File, ...], Field(min_length=1, max_length=8)] | None = Field(
        default=None,
        description="Key source: several files like `secret_file`. lbjwt accepts all their secrets, so that you can rotate them.",
    )
    secret_file: File | None = Field(
        default=None,
        validate_default=True,
        description="Key source: a file with the bytes of the HMAC secret, at least as long as the hash (RFC 7518 §3.2), watched for changes.",
    )
    clock_skew: Annotated[float, Seconds(0, MAX_CLOCK_SKEW)] = Field(
        default=CLOCK_SKEW,
        description="Accepted difference between the issuer's clock and ours, for `exp`, `nbf` and `iat`.",
    )
    require_expiration: StrictBool = Field(
        default=True, description="Refuse tokens without `exp`, which would be valid forever."
    )
    required_claims: Annotated[tuple[ClaimName, ...], Field(max_length=100)] = Field(
        default=(), description="Claims that a token must have, with a value other than null."
    )
    max_lifetime: Annotated[float, Seconds(1, 315_360_000)] | None = Field(
        default=None,
        description="Maximum of `exp - iat`, such as `24h`; a token then needs both claims. Default: no limit.",
    )
    max_remaining: Annotated[float, Seconds(1, 315_360_000)] | None = Field(
        default=None,
        description="Maximum of `exp - now`, the time that is left, such as `1h`; a token then needs `exp`. Default: no limit.",
    )
    max_age: Annotated[float, Seconds(1, 315_360_000)] | None = Field(
        default=None,
        description="Maximum time since the user signed in (`auth_time`) or else the token was issued (`iat`). Default: no limit.",
    )
    typ: Text | None = Field(
        default=None,
        description="Required `typ` header, such as `at+jwt` (RFC 9068 §2.1). Default: any except those of other tokens, such as `logout+jwt`.",
    )
    required_headers: RequiredHeaders = Field(
        default_factory=dict,
        description="Members that the JOSE header of a token must have, each with its value or a list of accepted values. Default: none.",
    )
    access_token_profile: StrictBool = Field(
        default=False,
        description="Require RFC 9068: the token needs `typ: at+jwt` and the claims `iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and `jti`.",
    )
    subjects: Annotated[tuple[Text, ...], Field(max_length=10_000)] = Field(
        default=(), description="Accepted `sub` claims. Default: every subject."
    )
    subject_prefixes: Annotated[tuple[Text, ...], Field(max_length=MAX_AFFIXES)] = Field(
        default=(), description="Also accept a `sub` that begins with one of these, such as `spiffe://prod.example/`."
    )
    subject_suffixes: Annotated[tuple[Text, ...], Field(max_length=MAX_AFFIXES)] = Field(
        default=(), description="Also accept a `sub` that ends with one of these, such as `@clients`."
    )
    clients: Annotated[tuple[Text, ...], Field(max_length=10_000)] = Field(
        default=(),
        description="Accepted clients: a token must have `azp` or `client_id`, and each that it has must be one of these. Default: every client.",
    )
    refuse_sender_constrained: StrictBool = Field(
        default=False,
        description="Refuse tokens with `cnf`: lbjwt cannot check that the client has the key that they are bound to (RFC 9449, RFC 8705).",
    )
    required_scopes: Annotated[tuple[ScopeToken, ...], Field(max_length=100)] = Field(
        default=(),
        description="Scopes that every token must have; if one is missing, the response is 403 `insufficient_scope`.",
    )
    allow_padding: StrictBool = Field(
        default=False,
        description="Accept `=` at the end of the parts of a token, as some cloud load balancers write it.",
    )
    jwe: Jwe | None = Field(
        default=None,
        description="Accept encrypted tokens (JWE, RFC 7516) that contain a signed token, and decrypt them with these keys. Default: none.",
    )

    from_headers: Annotated[tuple[FromHeader, ...], Field(max_length=8)] | None = Field(
        default=None,
        description="Request fields that may hold the token. Default: `Authorization` with `Bearer`, if no other location is named.",
    )
    from_cookies: Annotated[tuple[FromCookie, ...], Field(max_length=8)] = Field(
        default=(), description="Cookies that may hold the token."
    )
    from_params: Annotated[tuple[FromParam, ...], Field(max_length=8)] = Field(
        default=(), description="Query parameters that may hold the token."
    )
    from_subprotocol: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Accept tokens in `Sec-WebSocket-Protocol: bearer, <token>` or `base64url.bearer.…`; browsers can set no other header.",
    )

    _no_repeats = field_validator(
        "audiences",
        "algorithms",
        "required_claims",
        "required_scopes",
        "subjects",
        "subject_prefixes",
        "subject_suffixes",
        "clients",
        "secret_files",
    )(distinct)

    @field_validator("any_issuer")
    @classmethod
    def _issuer_said(cls, anyone: bool, info: ValidationInfo) -> bool:
        if given(info, "issuer") == anyone:
            raise across(
                "any_issuer: true contradicts issuer; keep one"
                if anyone
                else "give issuer, the exact iss claim (or say any_issuer: true)"
            )
        issuer, tenants = info.data.get("issuer"), info.data.get("tenants", ...)
        if issuer is None:
            if isinstance(tenants, Tenants):
                raise across(f"tenants need {TENANT} in issuer", "tenants", at_key=True)
            return anyone
        if TENANT in issuer and tenants is None:
            raise across(f"{TENANT} in issuer needs tenants; list them or give their kind", "issuer")
        if TENANT not in issuer and isinstance(tenants, Tenants):
            raise across(f"tenants need {TENANT} in issuer", "issuer")
        if isinstance(tenants, Tenants):
            with placed():
                tenants.pattern(issuer)
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

    @field_validator("discovery")
    @classmethod
    def _where_to_look(cls, discovery: Discovery | None, info: ValidationInfo) -> Discovery | None:
        issuer = info.data.get("issuer", ...)
        if discovery is None or issuer is ...:
            return discovery
        if issuer is None:
            raise across("discovery needs issuer: lbjwt looks for the document there", "discovery", at_key=True)
        try:
            check_fetchable(issuer)
        except ValueError as error:
            raise across(f"discovery cannot use this issuer: {error}", "issuer") from None
        if "?" in issuer:
            raise across("discovery needs an issuer without a query (RFC 8414 §2)", "issuer")
        if issuer.startswith("http:") and not discovery.allow_http and not is_loopback_url(issuer):
            raise across(PLAIN_HTTP, "issuer")
        _keys_by_name(info.data.get("tenants", ...))
        return discovery

    @field_validator("remote_jwks")
    @classmethod
    def _one_address_or_many(cls, remote: RemoteJwks | None, info: ValidationInfo) -> RemoteJwks | None:
        if remote is not None and any((TENANT in uri) != (TENANT in remote.uri) for uri in remote.more_uris):
            raise across(f"write {TENANT} in all URLs of the keys, or in none", "remote_jwks", "more_uris")
        if remote is not None and TENANT in remote.uri:
            if info.data.get("tenants", ...) is None:
                raise across(f"{TENANT} in the URL of the keys needs tenants", "remote_jwks", "uri")
            _keys_by_name(info.data.get("tenants", ...))
        return remote

    @field_validator("jwks")
    @classmethod
    def _public_keys(cls, jwks: dict[str, Any] | None) -> dict[str, Any] | None:
        refuse(_secrets_in(jwks or {}))
        return jwks

    @field_validator("pem")
    @classmethod
    def _public_key(cls, pem: str | None) -> str | None:
        if pem is not None and "PRIVATE KEY" in pem:
            raise ValueError("is a private key; only the public key belongs here, and this file must not hold secrets")
        return pem

    @field_validator("secret_file")
    @classmethod
    def _one_key_source(cls, secret: T, info: ValidationInfo) -> T:
        sources = [key for key in KEY_SOURCES[:-1] if given(info, key)] + ["secret_file"] * (secret is not None)
        if not sources:
            raise across(f"give the keys: one of {', '.join(KEY_SOURCES)}")
        if len(sources) > 1:
            raise across(f"give one key source only, but here are {' and '.join(sources)}", sources[-1])
        (source,) = sources
        algorithms = info.data.get("algorithms", ...)
        if algorithms is ...:
            return secret
        is_secret = source.startswith("secret_")
        if is_secret and algorithms is None:
            raise across(f"{source} needs algorithms, such as HS256, because a secret does not name its algorithm")
        if is_secret and not all(map(is_hmac, algorithms)):
            raise across(f"with {source}, every algorithm must be HS256, HS384 or HS512", "algorithms")
        if not is_secret and source != "jwks_file" and algorithms and all(map(is_hmac, algorithms)):
            raise across(f"HS algorithms need a secret, which {source} cannot contain; use secret_file", "algorithms")
        return secret

    @field_validator("access_token_profile")
    @classmethod
    def _whole_profile(cls, profile: bool, info: ValidationInfo) -> bool:
        switched = {"any_issuer": True, "any_audience": True, "require_expiration": False}
        if profile:
            faults = [
                Fault((key,), f"access_token_profile requires a check that {key} disables; keep one of the two")
                for key, off in switched.items()
                if info.data.get(key) is off
            ]
            faults += [Fault(("typ",), "access_token_profile already sets typ; remove typ")] * (
                info.data.get("typ") is not None
            )
            refuse(faults)
        return profile

    @field_validator("from_subprotocol")
    @classmethod
    def _places_can_be_told_apart(cls, subprotocol: bool, info: ValidationInfo) -> bool:
        if {"from_headers", "from_cookies", "from_params"} <= info.data.keys():  # else one of them is wrong by itself
            made = cls.model_construct(**info.data, from_subprotocol=subprotocol)
            with placed():
                made.token_locations(True)._replace(subprotocol=subprotocol).token_places()
        return subprotocol

    @property
    def headers(self) -> tuple[FromHeader, ...]:
        """The request fields that may hold a token, the default included."""
        if self.from_headers is not None:
            return self.from_headers
        other = self.from_cookies or self.from_params or self.from_subprotocol
        return () if other else (FromHeader(name="Authorization"),)

    @property
    def name(self) -> str | IssuerPattern | None:
        """Which ``iss`` its tokens have; None for any."""
        return (
            self.tenants.pattern(self.issuer) if self.issuer is not None and self.tenants is not None else self.issuer
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The ``iss`` of each of its instances; none for any issuer, the text with ``{tenant}`` where one instance serves all tenants."""
        text = self.issuer
        return () if text is None else tuple(text.replace(TENANT, tenant or TENANT) for tenant in self.instances)

    def policy(self, tenant: str = "", *, max_token: int, max_token_header: int | None) -> IssuerPolicy:
        """The policy of a tenant's instance, or with "" of an issuer that is one instance; the limits are in bytes."""
        same = {field.name for field in fields(IssuerPolicy)} & type(self).model_fields.keys() - {"issuer", "audiences"}
        return IssuerPolicy(
            issuer=self.issuer.replace(TENANT, tenant) if self.issuer is not None and tenant else self.name,
            audiences=self.audiences or None,
            max_token=max_token,
            max_token_header=max_token_header,
            **{key: value for key in same if (value := getattr(self, key)) != ()},
        )

    @property
    def bearer_methods(self) -> frozenset[str]:
        """Which of its token locations are those of RFC 6750 sections 2.1 and 2.3."""
        header = any(
            place.name.lower() == "authorization" and place.scheme.lower() == "bearer" for place in self.headers
        )
        query = any(place.name == "access_token" for place in self.from_params)
        return frozenset(["header"] * header + ["query"] * query)

    @property
    def places(self) -> frozenset[tuple[str, str]]:
        """Its token locations as pairs of kind and name; a request has at most one token in each."""
        found = [("header", place.name.lower()) for place in self.headers]
        found += [("cookie", place.name) for place in self.from_cookies]
        found += [("parameter", place.name) for place in self.from_params]
        return frozenset([*found, *[("subprotocol", "")] * self.from_subprotocol])

    def token_locations(self, forward: bool | None) -> TokenLocations:
        """Where its tokens stand. ``forward`` is the default of headers."""
        return TokenLocations(
            tuple((at.name, at.scheme, forward if at.forward is None else at.forward) for at in self.headers),
            tuple((at.name, at.forward) for at in self.from_cookies),
            tuple((at.name, at.forward) for at in self.from_params),
            self.from_subprotocol,
        )

    @property
    def key_source(self) -> str:
        """The configuration key of its key source; "" only in a configuration with errors."""
        return next((key for key in KEY_SOURCES if getattr(self, key) is not None), "")

    @property
    def key_files(self) -> tuple[Path, ...]:
        """The files with its keys."""
        named = (self.jwks_file, self.pem_file, self.secret_file, *(self.secret_files or ()))
        return tuple(file for file in named if file is not None)

    @property
    def symmetric(self) -> bool:
        """True when its keys are secrets. The configuration decides this, never the content of a key set (RFC 8725 §3.1)."""
        source = self.key_source
        return source.startswith("secret_") or (source == "jwks_file" and all(map(is_hmac, self.algorithms or [""])))

    @property
    def fetch(self) -> KeyFetch | None:
        return self.discovery or self.remote_jwks or self.remote_keys

    @property
    def instances(self) -> tuple[str, ...]:
        """Its instances for keys, counters and log: each tenant when tenants have keys of their own, else one called ""."""
        own_keys = self.discovery is not None or (self.remote_jwks is not None and TENANT in self.remote_jwks.uri)
        names = self.tenants.names if self.tenants is not None else None
        return names if names is not None and own_keys else ("",)


def _keys_by_name(tenants: Any) -> None:
    """Raise when tenants have keys of their own but no names."""
    if isinstance(tenants, Tenants) and tenants.names is None:
        raise across(
            "{tenant} in the URL of the keys needs tenants.names; otherwise a token could choose the URL of its keys",
            "tenants",
            at_key=True,
        )


def _secrets_in(jwks: dict[str, Any]) -> Iterator[Fault]:
    keys = jwks.get("keys")
    for at, key in enumerate(keys if isinstance(keys, list) else ()):
        for member, value in key.items() if isinstance(key, dict) else ():
            if value is not None and member in SECRET_MEMBERS:
                sentence = "is the secret part of a key; only the public parts belong in this file"
                yield Fault(("jwks", "keys", at, member), sentence, at_key=True)
