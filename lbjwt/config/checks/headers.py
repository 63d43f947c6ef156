"""What endpoints are told, and whom the balancer believes about clients: identity headers, forwarded tokens, trusted proxies."""

from collections.abc import Iterator
from typing import Final

from lbjwt.config.checks.issuers import audience_unchecked
from lbjwt.config.checks.words import warning
from lbjwt.config.claim_header import ClaimHeader
from lbjwt.config.model import Configuration
from lbjwt.config.problems import Problem

__all__ = ["check_headers"]

_WIDEST_PROXY_NETWORK: Final = 1 << 16  # addresses of a public network that could all be proxies of one operator
_LARGE_HEADERS: Final = 16 << 10


def check_headers(configuration: Configuration) -> Iterator[Problem]:
    """Headers to endpoints and about clients."""
    if configuration.header_names == "allow":
        yield warning(
            ("header_names",),
            "header-names-allow",
            "some backends read X_Jwt_Sub as X-Jwt-Sub: clients can then speak with the balancer's voice",
        )
    if configuration.forward_token and any(audience_unchecked(configuration)):
        yield warning(
            ("forward_token",),
            "forward-any-audience",
            "endpoints receive tokens made for other services and could use them there",
        )
    yield from _identity(configuration)
    yield from _trust(configuration)


def _identity(configuration: Configuration) -> Iterator[Problem]:
    pairs = configuration.claim_to_headers
    for at, pair in enumerate(pairs):
        if (
            pair.claim == ("sub",)
            and _is_of_several(configuration, pair)
            and not any(_tells_issuer(other, pair) for other in pairs)
        ):
            yield warning(
                ("claim_to_headers", at),
                "identity-without-issuer",
                "a sub is somebody only beside its issuer (RFC 7519 §4.1.2): pass iss on as well, or two people are one",
                at_key=True,
            )
        if pair.payload and _is_forwarded(configuration, pair):
            yield warning(
                ("claim_to_headers", at, "payload"),
                "payload-with-token",
                "endpoints get the token, too, which says the same once more",
            )
    if configuration.limits.max_identity_headers > _LARGE_HEADERS:
        yield warning(
            ("limits", "max_identity_headers"),
            "identity-limit-large",
            "many servers refuse a head as large as this with 431 or 400",
        )


def _is_of_several(configuration: Configuration, pair: ClaimHeader) -> bool:
    """True when the tokens that a header comes from have more than one issuer."""
    of = [issuer for label, issuer in configuration.issuers.items() if pair.issuer in (None, label)]
    tenants = [issuer.tenants for issuer in of if issuer.tenants is not None]
    many = any(tenant.names is None or len(tenant.names) > 1 for tenant in tenants)
    return len(of) > 1 or many or any(issuer.any_issuer for issuer in of)


def _is_forwarded(configuration: Configuration, pair: ClaimHeader) -> bool:
    """True when a token that a header comes from goes on to endpoints itself."""
    of = [issuer for label, issuer in configuration.issuers.items() if pair.issuer in (None, label)]
    said = [place.forward for issuer in of for place in issuer.headers]
    said += [place.forward for issuer in of for place in issuer.from_cookies]
    said += [place.forward for issuer in of for place in issuer.from_params]
    return any(configuration.forward_token if forward is None else forward for forward in said)


def _tells_issuer(pair: ClaimHeader, about: ClaimHeader) -> bool:
    return (pair.payload or pair.claim == ("iss",)) and pair.issuer in (None, about.issuer)


def _trust(configuration: Configuration) -> Iterator[Problem]:
    for index, network in enumerate(configuration.trusted_proxies):
        place = ("trusted_proxies", index)
        if network.prefixlen == 0:
            yield warning(
                place, "trust-everyone", "everybody's X-Forwarded-For is believed: client addresses mean nothing"
            )
        elif not network.is_private and network.version == 4 and network.num_addresses > _WIDEST_PROXY_NETWORK:
            yield warning(place, "trust-wide", "a public network this large holds more than your proxies")
