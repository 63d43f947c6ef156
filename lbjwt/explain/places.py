"""Where a token may stand in a request, by the names of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lbjwt._fastverify import DenyReason
from lbjwt.auth._places import TokenPlaces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbjwt.config.model import Issuer
    from lbjwt.http1._request import RequestHead


@dataclass(frozen=True, slots=True)
class Place:
    """One header (with a scheme, or "" when its whole value is the token), cookie or parameter of this name, or the subprotocol."""

    kind: Literal["header", "cookie", "parameter", "subprotocol"]
    name: str = ""
    scheme: str = ""

    def __str__(self) -> str:
        if self.kind == "header":
            return f"{self.name}: {self.scheme}" if self.scheme else self.name
        return "the subprotocol bearer" if self.kind == "subprotocol" else f"the {self.kind} {self.name}"

    def put(self, token: str, target: str) -> tuple[str, str]:
        """The target of a request that holds the token here, and the header line for it; "" when the target has it."""
        if self.kind == "header":
            return target, f"{self.name}: {self.scheme} {token}" if self.scheme else f"{self.name}: {token}"
        if self.kind == "cookie":
            return target, f"Cookie: {self.name}={token}"
        if self.kind == "subprotocol":
            return target, f"Sec-WebSocket-Protocol: bearer, {token}"
        return f"{target}{'&' if '?' in target else '?'}{self.name}={token}", ""

    def look(self, head: RequestHead) -> DenyReason:
        """What a search of this place alone comes to: NONE, MISSING, or what is wrong with what stands here."""
        places = TokenPlaces(
            headers=[(self.name, self.scheme, True)] if self.kind == "header" else (),
            cookies=[(self.name, True)] if self.kind == "cookie" else (),
            params=[(self.name, True)] if self.kind == "parameter" else (),
            subprotocol=self.kind == "subprotocol",
        )
        return places.find_in(head)[0]


def places_of(issuers: Iterable[Issuer]) -> list[Place]:
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
    return list(found.values())
