"""Where a token may stand in a request, place by place: how each is called, how a request with a token there is written, and whether one is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lbjwt.auth._places import TokenPlaces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbjwt._fastverify import DenyReason
    from lbjwt.config.model import Issuer
    from lbjwt.http1._request import RequestHead

__all__ = ["Place", "places_of"]


@dataclass(frozen=True, slots=True)
class Place:
    """
    One place.

    Attributes:
        name: Of the field, cookie or parameter; "" for the subprotocol.
        scheme: Of a field; "" when the whole value is the token.
    """

    kind: Literal["header", "cookie", "parameter", "subprotocol"]
    name: str = ""
    scheme: str = ""

    def __str__(self) -> str:
        if self.kind == "header":
            return f"{self.name}: {self.scheme}" if self.scheme else self.name
        return "the subprotocol bearer" if self.kind == "subprotocol" else f"the {self.kind} {self.name}"

    def put(self, token: str, target: str) -> tuple[str, str]:
        """
        The target of a request that holds the token here, and the header line for it.

        Returns:
            The line is "" for a token in the target.
        """
        if self.kind == "header":
            return target, f"{self.name}: {self.scheme} {token}" if self.scheme else f"{self.name}: {token}"
        if self.kind == "cookie":
            return target, f"Cookie: {self.name}={token}"
        if self.kind == "subprotocol":
            return target, f"Sec-WebSocket-Protocol: bearer, {token}"
        return f"{target}{'&' if '?' in target else '?'}{self.name}={token}", ""

    def look(self, head: RequestHead) -> tuple[DenyReason, bytes | None]:
        """What a search of this place alone finds; see `TokenPlaces.find_in`."""
        if self.kind == "header":
            places = TokenPlaces(headers=[(self.name, self.scheme, True)])
        elif self.kind == "cookie":
            places = TokenPlaces(cookies=[(self.name, True)])
        elif self.kind == "parameter":
            places = TokenPlaces(params=[(self.name, True)])
        else:
            places = TokenPlaces(subprotocol=True)
        return places.find_in(head)


def places_of(issuers: Iterable[Issuer]) -> tuple[Place, ...]:
    """The places of all these issuers, each once, in the order of the configuration; header names count once in any case."""
    found: dict[tuple[str, str, str], Place] = {}
    for issuer in issuers:
        places = [Place("header", at.name, at.scheme) for at in issuer.headers]
        places += [Place("cookie", at.name) for at in issuer.from_cookies]
        places += [Place("parameter", at.name) for at in issuer.from_params]
        places += [Place("subprotocol")] * issuer.from_subprotocol
        for place in places:
            name = place.name.lower() if place.kind == "header" else place.name
            found.setdefault((place.kind, name, place.scheme.lower()), place)
    return tuple(found.values())
