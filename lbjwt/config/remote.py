"""Keys that are fetched: from a JWKS URL, or by discovery."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, StrictBool, ValidationInfo, field_validator

from lbjwt.config.fields import Bytes, File, Seconds, Text, whole
from lbjwt.config.section import Section, across, given
from lbjwt.config.url import check_fetchable, check_proxy, is_loopback_url
from lbjwt.keys.schedule import CEILING, COOLDOWN, FLOOR, INTERVAL, MAX_STALE

PLAIN_HTTP: Final = (
    "with plain http, anybody on the network path can replace the keys; use https (or set allow_http: true)"
)


class KeyFetch(Section):
    """How keys are fetched and how long they stay valid."""

    refresh_interval: Annotated[float, Seconds(1, 86_400)] = Field(
        default=INTERVAL,
        description="Time between two fetches when the answer does not say how long it is fresh (`Cache-Control`, RFC 9111 §4.2).",
    )
    min_refresh: Annotated[float, Seconds(1, 86_400)] | None = Field(
        default=None,
        description="Shortest time between two fetches, whatever an answer says. Default: 60s, or `refresh_interval` when that is shorter.",
    )
    max_refresh: Annotated[float, Seconds(1, 86_400)] | None = Field(
        default=None,
        description="Longest time between two fetches, whatever an answer says: a withdrawn key works this long at most while "
        "fetches succeed. Default: 1h, or `refresh_interval` when that is longer.",
    )
    cooldown: Annotated[float, Seconds(1, 3_600)] = Field(
        default=COOLDOWN,
        description="Minimum time between two fetches caused by unknown key ids, however many arrive. A new key is accepted within this time.",
    )
    max_stale: Annotated[float, Seconds(1, 604_800)] = Field(
        default=MAX_STALE,
        description="How long keys stay valid after the last successful fetch; then 503 with `Retry-After`.",
    )
    timeout: Annotated[float, Seconds(0.1, 60)] = Field(
        default=5.0, description="Whole time of one fetch, from the connection to the last byte."
    )
    max_bytes: Annotated[int, Bytes(1 << 10, 16 << 20)] = Field(
        default=262_144, description="Maximum size of a document; a JWK Set of 100 RSA keys has about 64 KiB."
    )
    max_keys: Annotated[int, whole(1, 1000)] = Field(
        default=100,
        description="Maximum number of keys in a document. lbjwt refuses a larger one and keeps the current keys.",
    )
    ca_file: File | None = Field(
        default=None,
        description="PEM file with the only certificate authorities trusted for the server. Default: the system's.",
    )
    client_certificate: File | None = Field(
        default=None, description="PEM file with a certificate to show to the server."
    )
    client_key: File | None = Field(
        default=None, validate_default=True, description="PEM file with the private key of `client_certificate`."
    )
    bearer_token_file: File | None = Field(
        default=None,
        description="A file with a token that is sent as `Authorization: Bearer`, as Kubernetes requires; read again for each fetch. "
        "It is sent to the configured server only, not to a URL from an issuer's metadata.",
    )
    proxy: Annotated[Text, AfterValidator(check_proxy)] | None = Field(
        default=None,
        description="`http://HOST:PORT` of an HTTP proxy on the way to the server. It is never used for loopback. Default: none.",
    )
    proxy_from_environment: StrictBool = Field(
        default=False,
        description="Use the proxy that `HTTPS_PROXY`, `http_proxy`, `ALL_PROXY` and `NO_PROXY` name. It may have a user and a password.",
    )
    allow_http: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Allow plain `http` to other hosts than loopback. Anybody who can change the response in transit can then sign any token.",
    )

    @field_validator("min_refresh")
    @classmethod
    def _floor(cls, least: float | None, info: ValidationInfo) -> float | None:
        interval = info.data.get("refresh_interval")
        if least is not None and interval is not None and least > interval:
            raise ValueError("is longer than refresh_interval, so that interval would never be used")
        return least

    @field_validator("max_refresh")
    @classmethod
    def _ceiling(cls, most: float | None, info: ValidationInfo) -> float | None:
        interval = info.data.get("refresh_interval")
        if most is not None and interval is not None and most < interval:
            raise ValueError("is shorter than refresh_interval, so that interval would never be used")
        return most

    @field_validator("client_key")
    @classmethod
    def _certificate_with_key(cls, key: object, info: ValidationInfo) -> object:
        if given(info, "client_certificate") != (key is not None):
            raise across(
                "client_certificate and client_key go together",
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
                "max_stale is shorter than refresh_interval: keys would be withdrawn between two good fetches",
                "max_stale",
            )
        return allow

    @property
    def shortest_interval(self) -> float:
        return min(FLOOR, self.refresh_interval) if self.min_refresh is None else self.min_refresh

    @property
    def longest_interval(self) -> float:
        return max(CEILING, self.refresh_interval) if self.max_refresh is None else self.max_refresh


class RemoteJwks(KeyFetch):
    """A JWK Set that is fetched."""

    uri: Annotated[Text, AfterValidator(check_fetchable)] = Field(
        description="The `https` URL of the JWK Set. Plain `http` only to loopback, or with `allow_http`. "
        "`{tenant}` stands for each name of `tenants.names`."
    )

    @field_validator("uri")
    @classmethod
    def _plain_http(cls, uri: str, info: ValidationInfo) -> str:
        if uri.startswith("http:") and not info.data.get("allow_http", True) and not is_loopback_url(uri):
            raise ValueError(PLAIN_HTTP)
        return uri


class Discovery(KeyFetch):
    """Keys are found by the issuer's name alone: OpenID Connect Discovery, then RFC 8414. The `issuer` in the document must be the configured one."""
