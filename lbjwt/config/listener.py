"""One of the ``listeners``: where clients connect, or where another proxy asks."""

from typing import Final, Literal

from pydantic import Field, StrictBool, ValidationInfo, field_validator

from lbjwt.config.authorize import Authorize
from lbjwt.config.fields import File, ListenAddress, PathMode
from lbjwt.config.route import Path
from lbjwt.config.section import Section, across, given

_MODE: Final = "0660"


class Tls(Section):
    """TLS of a listener: versions 1.2 and 1.3."""

    certificate: File = Field(description="PEM file with the certificate, followed by its chain.")
    private_key: File = Field(description="PEM file with the unencrypted private key.")


class Health(Section):
    """Health checks, without a token and for any host: 200 if lbjwt is ready, otherwise 503. lbjwt does not forward, log or count them."""

    path: Path = Field(
        description="The exact path. lbjwt answers GET and HEAD itself and other methods with 405; no route applies to this path."
    )


class Listener(Section):
    """Where clients connect."""

    address: ListenAddress = Field(
        description="`HOST:PORT`, `[IPV6]:PORT`, or `:PORT` for all addresses. Port 0 lets the kernel choose. `unix:PATH` with "
        "`mode: authorize`, for a proxy on the same machine."
    )
    socket_mode: PathMode = Field(
        default=_MODE,
        description="Permissions of `unix:PATH`, in quotes. Who may write to the path may ask: by default the user of lbjwt and the group of the "
        "path, which is that of its directory if the directory has the set-group-ID bit.",
    )
    tls: Tls | None = Field(default=None, description="Accept TLS. Without it, clients send their tokens unencrypted.")
    health: Health | None = Field(
        default=None,
        description="Answer health checks on this listener. Default: no health checks; the routes apply to all paths.",
    )
    authorize: Authorize | None = Field(default=None, description="Who asks, and how. Required with `mode: authorize`.")
    mode: Literal["proxy", "authorize"] = Field(
        default="proxy",
        validate_default=True,
        description="`proxy` forwards requests to a cluster. `authorize` forwards nothing: it answers another proxy that asks whether a request "
        "may pass, by the same issuers, routes and rules.",
    )
    http2: StrictBool = Field(
        default=True, description="Offer HTTP/2 during the TLS handshake (ALPN). Without `tls`, see `h2c`."
    )
    h2c: StrictBool = Field(
        default=False,
        validate_default=True,
        description="Accept HTTP/2 without TLS from clients that begin with it (prior knowledge, RFC 9113 §3.3), beside HTTP/1.1. Only "
        "without `tls`.",
    )

    @field_validator("mode")
    @classmethod
    def _at_a_path(cls, mode: str, info: ValidationInfo) -> str:
        address, authorize = info.data.get("address"), info.data.get("authorize")
        if address is None or not address.is_unix:
            if info.data.get("socket_mode", _MODE) != _MODE:
                raise across(
                    "socket_mode has no effect without address: unix:PATH; remove it", "socket_mode", at_key=True
                )
        elif mode != "authorize":
            raise across("only a listener with mode: authorize can be on a Unix socket; write HOST:PORT", "address")
        elif authorize is not None and "trusted_peers" in authorize.model_fields_set:
            sentence = "trusted_peers has no effect on a Unix socket, whose permissions say who may ask; remove it, and set socket_mode"
            raise across(sentence, "authorize", "trusted_peers", at_key=True)
        return mode

    @field_validator("mode")
    @classmethod
    def _asked_by_whom(cls, mode: str, info: ValidationInfo) -> str:
        if mode == "authorize" and not given(info, "authorize"):
            raise ValueError(
                "needs authorize with the profile of the proxy that asks, such as authorize: {profile: nginx}"
            )
        if mode == "proxy" and given(info, "authorize"):
            sentence = "authorize has no effect without mode: authorize; add the mode, or remove authorize"
            raise across(sentence, "authorize", at_key=True)
        if mode == "authorize" and given(info, "health"):
            sentence = "the 200 of a health check would let a request pass that is asked about by its path; use /readyz of the admin API"
            raise across(sentence, "health", at_key=True)
        return mode

    @field_validator("h2c")
    @classmethod
    def _without_tls(cls, h2c: bool, info: ValidationInfo) -> bool:
        if h2c and info.data.get("tls") is not None:
            raise ValueError(
                "h2c is HTTP/2 without TLS, and this listener has tls; remove h2c: `http2` is on by default"
            )
        authorize = info.data.get("authorize")
        speaks = h2c if info.data.get("tls") is None else info.data.get("http2")
        if authorize is not None and authorize.described_by == "check" and not speaks:
            raise across("gRPC needs HTTP/2; add h2c: true, or tls", "authorize", "profile")
        return h2c

    @property
    def path_mode(self) -> int:
        """`socket_mode` as a number."""
        return int(self.socket_mode, 8)
