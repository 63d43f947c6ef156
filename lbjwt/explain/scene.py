"""
The parts of a worker for one question: verifier, router and admission, with the present revocations, and with the keys that the answer depends on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lbjwt._compact import parse_base64url, parse_object
from lbjwt._fastverify import DenyReason
from lbjwt.assembly.cluster import new_policy
from lbjwt.assembly.issuers import IssuerInstance, issuer_instances, new_verifier
from lbjwt.assembly.revocations import new_reader, revocation_check
from lbjwt.assembly.routes import new_admission, new_asked
from lbjwt.assembly.sources import PresentKeys, present_keys
from lbjwt.auth._places import TokenPlaces
from lbjwt.auth.decision import PROFILES
from lbjwt.config.model import TokenCache
from lbjwt.http1._request import Parse, RequestHead

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbjwt.config.model import Configuration, Issuer
    from lbjwt.proxy._route import Demand
    from lbjwt.revocation.reader import RevocationReader


@dataclass(frozen=True, slots=True)
class Place:
    """One token location. The scheme of a header is "" when its whole value is the token."""

    kind: Literal["header", "cookie", "parameter", "subprotocol"]
    name: str = ""
    scheme: str = ""

    def __str__(self) -> str:
        if self.kind == "header":
            return f"{self.name}: {self.scheme}" if self.scheme else self.name
        return "the subprotocol bearer" if self.kind == "subprotocol" else f"the {self.kind} {self.name}"

    def put(self, token: str, target: str) -> tuple[str, str]:
        """The target of a request with the token here, and the header line for it, if any."""
        if self.kind == "header":
            return target, f"{self.name}: {self.scheme} {token}" if self.scheme else f"{self.name}: {token}"
        if self.kind == "cookie":
            return target, f"Cookie: {self.name}={token}"
        if self.kind == "subprotocol":
            return target, f"Sec-WebSocket-Protocol: bearer, {token}"
        return f"{target}{'&' if '?' in target else '?'}{self.name}={token}", ""

    def look(self, head: RequestHead) -> DenyReason:
        """Search this place alone: NONE if a token is here, MISSING, or what is wrong with it."""
        places = TokenPlaces(
            headers=[(self.name, self.scheme, True)] if self.kind == "header" else (),
            cookies=[(self.name, True)] if self.kind == "cookie" else (),
            params=[(self.name, True)] if self.kind == "parameter" else (),
            subprotocol=self.kind == "subprotocol",
        )
        return places.find_in(head)[0]


def places_of(issuers: Iterable[Issuer]) -> list[Place]:
    """The places of all these issuers, each once, in the order of the configuration."""
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


@dataclass(frozen=True, slots=True)
class Asked:
    """
    The request that is asked about.

    Attributes:
        token: "" for a request without one, or if `headers` has it.
        path: Target of the request line, with its query.
        headers: Fields besides Host.
    """

    token: str = field(default="", repr=False)
    method: str = "GET"
    path: str = "/"
    host: str = "localhost"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


class Scene:
    """
    Made by `set_scene`.

    Attributes:
        asked_by, profile: The proxy that asks the first listener; None if that listener forwards requests.
        keys: By issuer index: those that the answer depends on.
        head: The request with the token in the first token location of the route.
    """

    def __init__(self, configuration: Configuration, asked: Asked, reader: RevocationReader | None, now: float) -> None:
        self.configuration = configuration
        self.asked = asked
        self.reader = reader
        self.now = now
        self.https = configuration.listeners[0].tls is not None
        self.instances: list[IssuerInstance] = issuer_instances(configuration)
        forgetful = configuration.model_copy(update={"token_cache": TokenCache(max_bytes=0, max_entries=0)})
        self.verifier = new_verifier(forgetful, self.instances, revocation_check(reader), decrypts=True)
        self.admission = new_admission(configuration, self.instances, self.verifier.gate)
        authorize = configuration.listeners[0].authorize
        self.asked_by = None if authorize is None else authorize.profile
        self.profile = None if authorize is None else PROFILES[authorize.profile]
        if self.profile is not None:
            self.admission = new_asked(configuration, self.admission)
        self.policy = new_policy(configuration, https=self.https)
        self.keys: dict[int, PresentKeys] = {}
        self.head = self._written(asked.path)
        if asked.token:
            self.head = self._written(*self._placed())

    def issuers_of(self, demand: Demand) -> list[IssuerInstance]:
        return [one for one in self.instances if any(found is None or one.index in found for found in demand.issuers)]

    def parsed(self) -> tuple[RequestHead, bool]:
        """Read the head again. The second value is false if it cannot be read; then its `problem` says why."""
        head = RequestHead()
        return head, head.parse_bytes(self.head, self.policy) == Parse.COMPLETE

    def issuers_in(self, trace: list[tuple[str, int, Any]]) -> list[int]:
        """Indexes of the issuers of the tokens."""
        return sorted({value for step, _, value in trace if step == "issuer.name" and value >= 0})

    def _placed(self) -> tuple[str, str]:
        head, complete = self.parsed()
        route = self.admission.decide(head, self.now)[0] if complete else None
        wanted = [
            one for demand in (route.demands if route else ()) for one in self.issuers_of(demand)
        ] or self.instances
        index = self.issuers_in(self.verifier.gate.trace(_bytes(self.asked.token), self.now))
        places = places_of(one.issuer for one in [one for one in wanted if one.index in index] or wanted)
        return places[0].put(self.asked.token, self.asked.path)

    def _written(self, target: str, line: str = "") -> bytes:
        asked = self.asked
        lines = [f"{asked.method} {target} HTTP/1.1", f"Host: {asked.host}"]
        lines += [f"{name}: {value}" for name, value in asked.headers]
        return _bytes("\r\n".join([*lines, *filter(None, [line]), "", ""]))


async def set_scene(configuration: Configuration, asked: Asked, *, offline: bool, now: float) -> Scene:
    """
    Read the revocations and the keys that the answer depends on, and put everything together.

    Args:
        offline: Fetch nothing; take remote keys from the state directory only.
        now: Seconds since the epoch: the time of the request.

    Raises:
        ConfigurationError: The configuration cannot be put together.
        KeySourceError: The keys of `jwe` cannot be used.
        RevocationError: The revocations cannot be read.
    """
    directory = configuration.state_directory
    reader = new_reader(configuration, directory, lambda more: None)
    if reader is not None:
        await reader.load()
    scene = Scene(configuration, asked, reader, now)
    trace: list[tuple[str, int, Any]] = []
    head, complete = scene.parsed()
    if complete:
        scene.admission.decide(head, now, trace=trace)  # without keys: which are asked for
    indexes, kids = scene.issuers_in(trace), _key_ids_in(trace)
    found = await asyncio.gather(
        *(present_keys(scene.instances[index], directory, offline=offline, now=now, kids=kids) for index in indexes)
    )
    for index, keys in zip(indexes, found, strict=True):
        scene.keys[index] = keys
        if keys.ring is not None:
            scene.verifier.publish(keys.ring, index)
    return scene


def _key_ids_in(trace: list[tuple[str, int, Any]]) -> list[str]:
    """The key ids that the tokens name, those inside encrypted tokens too."""
    tokens = [value for step, _, value in trace if step in ("place", "encryption.content") and value is not None]
    headers = [parse_object(parse_base64url(token.partition(b".")[0], True) or b"") or {} for token in tokens]
    return [kid for header in headers if isinstance(kid := header.get("kid"), str)]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
