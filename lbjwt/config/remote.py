"""Keys that are fetched: from a JWKS URL, or by discovery."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, StrictBool, ValidationInfo, field_validator

from lbjwt.config.fields import Bytes, File, Seconds, Text, distinct, whole
from lbjwt.config.section import Section, across, given
from lbjwt.config.url import check_fetchable, check_proxy, is_loopback_url
from lbjwt.keys.schedule import CEILING, COOLDOWN, FLOOR, INTERVAL, MAX_STALE

KID: Final = "{kid}"  # in the URL of a key
PLAIN_HTTP: Final = (
    "with plain http, anybody on the network path can replace the keys; use https (or set allow_http: true)"
)


def _no_plain_http(uri: str, info: ValidationInfo) -> str:
    if uri.startswith("http:") and not info.data.get("allow_http", True) and not is_loopback_url(uri):
        raise ValueError(PLAIN_HTTP)
    return uri


def _with_key_id(uri: str) -> str:
    before, kid, after = uri.partition(KID)
    if not kid or KID in after or before.count("/") < 3 or "?" in before:
        raise ValueError(f"must contain {KID} once, in its path, such as https://keys.example/{KID}")
    check_fetchable(uri.replace(KID, "kid"))
    return uri


class KeyFetch(Section):
    """How keys are fetched and how long they stay valid."""

    refresh_interval: Annotated[float, Seconds(1, 86_400)] = Field(
        default=INTERVAL,
        description="Time between two fetches if the response does not say how long it is fresh (`Cache-Control`, RFC 9111 §4.2).",
    )
    min_refresh: Annotated[float, Seconds(1, 86_400)] | None = Field(
        default=None,
        description="Minimum time between two fetches, even if a response is fresh for less. Default: 60s, or `refresh_interval` if that is shorter.",
    )
    max_refresh: Annotated[float, Seconds(1, 86_400)] | None = Field(
        default=None,
        description="Maximum time between two fetches, even if a response is fresh for longer. While fetches succeed, a withdrawn key "
        "stays valid for at most this time. Default: 1h, or `refresh_interval` if that is longer.",
    )
    cooldown: Annotated[float, Seconds(1, 3_600)] = Field(
        default=COOLDOWN,
        description="Minimum time between two fetches that unknown key ids cause. lbjwt accepts a new key within this time.",
    )
    max_stale: Annotated[float, Seconds(1, 604_800)] = Field(
        default=MAX_STALE,
        description="How long keys stay valid after the last successful fetch; after that, requests get 503 with `Retry-After`.",
    )
    timeout: Annotated[float, Seconds(0.1, 60)] = Field(
        default=5.0, description="Maximum time of one fetch, from the connection to the last byte."
    )
    max_bytes: Annotated[int, Bytes(1 << 10, 16 << 20)] = Field(
        default=262_144, description="Maximum size of a document; a JWK Set of 100 RSA keys has about 64 KiB."
    )
    max_keys: Annotated[int, whole(1, 1000)] = Field(
        default=100,
        description="Maximum number of keys in a document. lbjwt rejects a document with more keys and keeps the current keys.",
    )
    ca_file: File | None = Field(
        default=None,
        description="PEM file with certificate authorities. lbjwt trusts only these for the server. Default: those of the system.",
    )
    client_certificate: File | None = Field(
        default=None, description="PEM file with a client certificate that lbjwt presents to the server."
    )
    client_key: File | None = Field(
        default=None, validate_default=True, description="PEM file with the private key of `client_certificate`."
    )
    bearer_token_file: File | None = Field(
        default=None,
        description="A file with a token that lbjwt sends as `Authorization: Bearer`, as Kubernetes requires. lbjwt reads the file again "
        "for each fetch and sends the token to the configured server only, never to a URL from an issuer's metadata.",
    )
    proxy: Annotated[Text, AfterValidator(check_proxy)] | None = Field(
        default=None,
        description="`http://HOST:PORT` of an HTTP proxy for fetches. lbjwt does not use it for loopback addresses. Default: none.",
    )
    proxy_from_environment: StrictBool = Field(
        default=False,
        description="Use the proxy in `HTTPS_PROXY`, `http_proxy`, `ALL_PROXY` and `NO_PROXY`. Its URL may contain a user and a password.",
    )
    allow_http: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Allow plain `http` to hosts other than loopback. Anybody on the network path can then replace the keys and sign any token.",
    )

    @field_validator("min_refresh")
    @classmethod
    def _floor(cls, least: float | None, info: ValidationInfo) -> float | None:
        interval = info.data.get("refresh_interval")
        if least is not None and interval is not None and least > interval:
            raise ValueError("must not be longer than refresh_interval")
        return least

    @field_validator("max_refresh")
    @classmethod
    def _ceiling(cls, most: float | None, info: ValidationInfo) -> float | None:
        interval = info.data.get("refresh_interval")
        if most is not None and interval is not None and most < interval:
            raise ValueError("must not be shorter than refresh_interval")
        return most

    @field_validator("client_key")
    @classmethod
    def _certificate_with_key(cls, key: object, info: ValidationInfo) -> object:
        if given(info, "client_certificate") != (key is not None):
            raise across(
                "give both client_certificate and client_key",
                "client_key" if key is not None else "client_certificate",
                at_key=True,
            )
        return key

    @field_validator("proxy_from_environment")
    @classmethod
    def _one_proxy(cls, environment: bool, info: ValidationInfo) -> bool:
        if environment and given(info, "proxy"):
            raise across("proxy_from_environment: true contradicts proxy; keep one", "proxy_from_environment")
        return environment

    @field_validator("allow_http")
    @classmethod
    def _keys_outlast_a_fetch(cls, allow: bool, info: ValidationInfo) -> bool:
        """A rule of two earlier keys, which are not validated when they have their defaults."""
        interval, stale = info.data.get("refresh_interval"), info.data.get("max_stale")
        if interval is not None and stale is not None and stale < interval:
            raise across(
                "max_stale must not be shorter than refresh_interval, or keys would expire between two successful fetches",
                "max_stale",
            )
        return allow

    @property
    def longest_document(self) -> int:
        """Bytes of what lbjwt keeps of the source: one document, or all parts of several as one (`keys.parts`)."""
        return self.max_bytes

    @property
    def longest_attempt(self) -> float:
        """Seconds that an attempt to fetch the keys may take."""
        return self.timeout

    @property
    def shortest_interval(self) -> float:
        return min(FLOOR, self.refresh_interval) if self.min_refresh is None else self.min_refresh

    @property
    def longest_interval(self) -> float:
        return max(CEILING, self.refresh_interval) if self.max_refresh is None else self.max_refresh


class RemoteJwks(KeyFetch):
    """A JWK Set that lbjwt fetches."""

    uri: Annotated[Text, AfterValidator(check_fetchable)] = Field(
        description="The `https` URL of the JWK Set. Plain `http` is allowed for loopback addresses only, or with `allow_http`. "
        "lbjwt replaces `{tenant}` with each name of `tenants.names`."
    )

    more_uris: Annotated[tuple[Annotated[Text, AfterValidator(check_fetchable)], ...], Field(max_length=7)] = Field(
        default=(),
        description="Further URLs of JWK Sets of this issuer. lbjwt uses the keys of all of them; while one cannot be fetched, its last good keys "
        "stay for `max_stale`, and the others are fetched as usual.",
    )

    _no_repeats = field_validator("more_uris")(distinct)

    @field_validator("uri")
    @classmethod
    def _plain_http(cls, uri: str, info: ValidationInfo) -> str:
        return _no_plain_http(uri, info)

    @field_validator("more_uris")
    @classmethod
    def _no_more_plain_http(cls, uris: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("uri") in uris:
            raise ValueError("the list contains the value of uri")
        return tuple(_no_plain_http(uri, info) for uri in uris)

    @property
    def uris(self) -> tuple[str, ...]:
        """All its URLs."""
        return (self.uri, *self.more_uris)

    @property
    def longest_document(self) -> int:
        return super().longest_document if not self.more_uris else 2 * len(self.uris) * self.max_bytes + 8192


class RemoteKeys(KeyFetch):
    """Keys that have a URL each, which lbjwt fetches when a token names them: `https://keys.example/{kid}`, as AWS load balancers publish theirs."""

    uri: Annotated[Text, AfterValidator(_with_key_id)] = Field(
        description="The `https` URL of a key in PEM or as a JWK, with `{kid}` in its path. lbjwt puts in the key id of the token if it consists of "
        "letters, digits, `-` and `_`."
    )

    cooldown: Annotated[float, Seconds(1, 3_600)] = Field(
        default=1.0,
        description="Minimum time between two attempts that unknown key ids cause; each fetches at most eight keys. lbjwt accepts a new key within "
        "this time.",
    )

    @field_validator("uri")
    @classmethod
    def _plain_http(cls, uri: str, info: ValidationInfo) -> str:
        return _no_plain_http(uri, info)

    @property
    def longest_attempt(self) -> float:
        """Several keys at a time: `keys.by_id.OriginById.ask`."""
        return 2 * self.timeout


class Discovery(KeyFetch):
    """Discovery of the keys from the URL in `issuer`: OpenID Connect, then RFC 8414. The document must have the configured `issuer`."""

    @property
    def longest_attempt(self) -> float:
        """The document comes first, then the keys: `keys.remote.KeyOrigin.ask`."""
        return 2 * self.timeout
