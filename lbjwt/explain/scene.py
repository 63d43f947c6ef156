"""
The parts that serve, put together for one question: the same verifier, router and admission that a worker would have, with the keys and the
revocations of this moment. Only what the question depends on is read and fetched.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lbjwt._compact import parse_object
from lbjwt.assembly.cluster import new_policy
from lbjwt.assembly.issuers import IssuerInstance, issuer_instances, new_verifier
from lbjwt.assembly.present import PresentKeys, present_keys
from lbjwt.assembly.revocations import new_reader, revocation_check
from lbjwt.assembly.routes import new_admission
from lbjwt.explain import _inside
from lbjwt.explain.places import Place, places_of
from lbjwt.http1._request import Parse, RequestHead, RequestPolicy

if TYPE_CHECKING:
    from lbjwt.auth.verifier import Verifier
    from lbjwt.config.model import Configuration
    from lbjwt.config.route import Route as RouteConfiguration
    from lbjwt.proxy._admission import Admission
    from lbjwt.proxy._route import Demand, Route
    from lbjwt.revocation.reader import RevocationReader
    from lbjwt.routing._router import Router

__all__ = ["Asked", "Scene", "set_scene"]


@dataclass(frozen=True, slots=True)
class Asked:
    """
    The request that is asked about.

    Attributes:
        token: "" for a request without one, or whose headers bring it.
        path: Target of the request line, with its query.
        host: Of the Host field.
        headers: Further fields.
    """

    token: str = field(default="", repr=False)
    method: str = "GET"
    path: str = "/"
    host: str = "localhost"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


class Scene:
    """
    See `set_scene`.

    Attributes:
        keys: By issuer index: those that the question depends on.
        head: Of the request, as bytes.
        place: Where the token was put; None without one.
    """

    def __init__(self, configuration: Configuration, asked: Asked, reader: RevocationReader | None) -> None:
        self.configuration = configuration
        self.asked = asked
        self.reader = reader
        self.https = configuration.listeners[0].tls is not None
        self.instances: list[IssuerInstance] = issuer_instances(configuration)
        self.verifier: Verifier = new_verifier(configuration, self.instances, revocation_check(reader))
        self.admission: Admission = new_admission(configuration, self.instances, self.verifier.gate)
        self.router: Router | None = _inside.router_of(self.admission)
        self.policy: RequestPolicy = new_policy(configuration, https=self.https)
        self.keys: dict[int, PresentKeys] = {}
        self.index = self._index()
        self.place = self._place() if asked.token else None
        self.head = self._written()

    @property
    def route(self) -> Route | None:
        """What requests like this one meet; None when no route is for it."""
        return _inside.routes_of(self.admission)[self.index] if self.index >= 0 else None

    @property
    def configured(self) -> RouteConfiguration | None:
        """The same in the configuration; None when there are no routes in it, too."""
        return self.configuration.routes[self.index] if self.index >= 0 and self.configuration.routes else None

    def issuers_of(self, demand: Demand) -> list[IssuerInstance]:
        """Whose tokens a demand looks for."""
        indexes = set().union(*(found if found is not None else self._all for found in demand.issuers))
        return [self.instances[index] for index in sorted(indexes)]

    def parsed(self) -> RequestHead | None:
        """The head of the request, read anew; None when it is refused before anything is looked for in it."""
        head = RequestHead()
        return head if head.parse_bytes(self.head, self.policy) == Parse.COMPLETE else None

    def issuer_index(self, token: bytes) -> int:
        """Of the issuer whose keys a token asks for; -1 when it names none that is known."""
        select = _inside.selection_of(self.verifier.gate)
        if select is None:
            return 0
        claims = self.claims_of(token)
        issuer = None if claims is None else claims.get("iss")
        return select(issuer) if isinstance(issuer, str) else -1

    def claims_of(self, token: bytes) -> dict[str, object] | None:
        """What the payload says, vouched for by nobody; None when it cannot be read."""
        segments = _inside.segments_of(token)
        payload = _inside.decode(segments[1], _inside.allows_padding(self.verifier.gate)) if segments else None
        return None if payload is None else parse_object(payload)

    def issuers_asked(self) -> list[int]:
        """Indexes of the issuers whose keys the answer depends on."""
        head = self.parsed()
        route = self.route
        if head is None or route is None:
            return []
        tokens = {_inside.find_token(demand, head)[1] for demand in route.demands} - {None}
        indexes = {self.issuer_index(token) for token in tokens if token is not None}
        return sorted(index for index in indexes if index >= 0)

    @property
    def _all(self) -> set[int]:
        return {instance.index for instance in self.instances}

    def _index(self) -> int:
        if self.router is None:
            return 0
        asked = self.asked
        return self.router.find(_bytes(asked.method), _bytes(asked.host), _bytes(asked.path))[0]

    def _place(self) -> Place:
        """The first place where the route looks for tokens of this issuer, or of any when it is not one of the route's."""
        route = self.route
        demands = route.demands if route is not None else ()
        wanted = [one for demand in demands for one in self.issuers_of(demand)] or self.instances
        index = self.issuer_index(_bytes(self.asked.token))
        named = [one for one in wanted if one.index == index]
        return places_of(one.issuer for one in named or wanted)[0]

    def _written(self) -> bytes:
        asked = self.asked
        target, line = asked.path, ""
        if self.place is not None:
            target, line = self.place.put(asked.token, target)
        lines = [f"{asked.method} {target} HTTP/1.1", f"Host: {asked.host}"]
        lines += [f"{name}: {value}" for name, value in asked.headers]
        return _bytes("\r\n".join([*lines, *filter(None, [line]), "", ""]))


async def set_scene(configuration: Configuration, asked: Asked, *, offline: bool, now: float) -> Scene:
    """
    Read the revocations and the keys that the answer depends on, and put everything together.

    Args:
        offline: Fetch nothing; keys that are fetched come from the state directory, or not at all.
        now: Seconds since the epoch, for the age of stored keys.

    Raises:
        ConfigurationError: The configuration cannot be put together.
        RevocationError: The revocations cannot be read.
    """
    directory: Path | None = configuration.state_directory
    reader = new_reader(configuration, directory, lambda more: None)
    if reader is not None:
        await reader.load()
    scene = Scene(configuration, asked, reader)
    indexes = scene.issuers_asked()
    found = await asyncio.gather(
        *(present_keys(scene.instances[index], directory, offline=offline, now=now) for index in indexes)
    )
    for index, keys in zip(indexes, found, strict=True):
        scene.keys[index] = keys
        if keys.ring is not None:
            scene.verifier.publish(keys.ring, index)
    return scene


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
