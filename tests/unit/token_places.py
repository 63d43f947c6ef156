"""Requests by their lists, the places a token may stand in, and what is found and goes on: tools of the tests of token places."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import Any

from lbjwt._fastverify import DenyReason
from lbjwt.auth._places import TokenPlaces
from lbjwt.http1._request import Parse, RequestHead, RequestPolicy
from tests.corpus.http1_requests import WEBSOCKET
from tests.unit.http1_readers import request_by_httptools

TOKEN = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl-_w"
OTHER = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJiIn0.c2lnbmF0dXJl-_w"
PREFIXES = (b"base64url.bearer.authorization.k8s.io.", b"base64url.bearer.")
POLICY = RequestPolicy()
ALLOWING = RequestPolicy(header_names="allow")
MISSING, MULTIPLE, MALFORMED = DenyReason.MISSING, DenyReason.MULTIPLE_TOKENS, DenyReason.MALFORMED_CREDENTIALS


def encoded(token: bytes, prefix: bytes = PREFIXES[0]) -> bytes:
    return prefix + base64.urlsafe_b64encode(token).rstrip(b"=")


@dataclass
class Request:
    """A request by its lists; a list that is empty leaves its field or query out."""

    params: list[bytes] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    cookies: list[bytes] = field(default_factory=list)
    subprotocols: list[bytes] = field(default_factory=list)

    def wire(self) -> bytes:
        target = b"/a/b" + (b"?" + b"&".join(self.params) if self.params else b"")
        lines = [b"GET " + target + b" HTTP/1.1", b"Host: example.com", *WEBSOCKET, *self.lines]
        if self.cookies:
            lines.append(b"Cookie: " + b"; ".join(self.cookies))
        if self.subprotocols:
            lines.append(b"Sec-WebSocket-Protocol: " + b", ".join(self.subprotocols))
        return b"\r\n".join([*lines, b"Accept: */*", b"", b""])

    def having(self, place: Carrier, token: bytes, at: int = 0) -> Request:
        """The same with the token in a place, before the `at`-th of the others."""
        pieces = list(getattr(self, place.where))
        pieces[at:at] = place.pieces(token)
        return replace(self, **{place.where: pieces})


@dataclass(frozen=True)
class Carrier:
    """One place, by how it is configured and how a client fills it."""

    name: str
    kind: str  # header, cookie, param or subprotocol
    where: str  # the list of Request
    texts: tuple[bytes, ...]  # what a client writes; {} is the token

    def pieces(self, token: bytes) -> list[bytes]:
        sent = encoded(token) if self.name == "encoded" else token
        return [text.replace(b"{}", sent) for text in self.texts]

    def options(self, forward: bool = False) -> dict[str, Any]:
        """What configures it."""
        options: dict[str, dict[str, Any]] = {
            "bearer": {"headers": [("Authorization", "Bearer", forward)]},
            "scheme": {"headers": [("X-Auth", "Token", forward)]},
            "whole": {"headers": [("X-Api-Token", "", forward)]},
            "cookie": {"cookies": [("__Host-jwt", forward)]},
            "second cookie": {"cookies": [("session", forward)]},
            "param": {"params": [("access_token", forward)]},
            "second param": {"params": [("jwt", forward)]},
            "subprotocol": {"subprotocol": True},
            "encoded": {"subprotocol": True},
        }
        return options[self.name]


CARRIERS = (
    Carrier("bearer", "header", "lines", (b"Authorization: Bearer {}",)),
    Carrier("scheme", "header", "lines", (b"x-auth: token  {}",)),
    Carrier("whole", "header", "lines", (b"x-API-token:{}",)),
    Carrier("cookie", "cookie", "cookies", (b"__Host-jwt={}",)),
    Carrier("second cookie", "cookie", "cookies", (b"session={}",)),
    Carrier("param", "param", "params", (b"access_token={}",)),
    Carrier("second param", "param", "params", (b"jwt={}",)),
    Carrier("subprotocol", "subprotocol", "subprotocols", (b"bearer", b"{}")),
    Carrier("encoded", "subprotocol", "subprotocols", (b"{}",)),
)
BY_NAME = {carrier.name: carrier for carrier in CARRIERS}
FORWARDABLE = [carrier for carrier in CARRIERS if carrier.kind != "subprotocol"]
OTHERS = Request(
    params=[b"a=1", b"", b"access_token2=x", b"Access_Token=y", b"b=%20"],
    lines=[b"X-Other: 1", b"Referer: https://example.com/x?y"],
    cookies=[b"a=1", b"JWT=no", b"session2=x", b'q="1"'],
    subprotocols=[b"chat", b"superchat"],
)


def name_of(carrier: object) -> str | None:
    """For the names of parametrized tests."""
    return carrier.name if isinstance(carrier, Carrier) else None


def places(*carriers: Carrier, forward: bool = False) -> TokenPlaces:
    options: dict[str, Any] = {}
    for carrier in carriers:
        for key, value in carrier.options(forward).items():
            options[key] = value if key == "subprotocol" else [*options.get(key, []), *value]
    return TokenPlaces(**options)


EVERYWHERE = places(*CARRIERS)


def parse(wire: bytes, policy: RequestPolicy = POLICY) -> RequestHead:
    head = RequestHead()
    assert head.parse_bytes(wire, policy) == Parse.COMPLETE, head.problem
    return head


def find(where: TokenPlaces, wire: bytes, policy: RequestPolicy = POLICY) -> tuple[DenyReason, bytes | None]:
    return where.find_in(parse(wire, policy))


def found(where: TokenPlaces, wire: bytes, policy: RequestPolicy = POLICY) -> DenyReason:
    return find(where, wire, policy)[0]


def as_it_came(wire: bytes, policy: RequestPolicy = POLICY) -> bytes:
    """What goes on of a head that nothing was taken out of."""
    return parse(wire, policy).write_bytes(policy)


def stripped(where: TokenPlaces, wire: bytes, policy: RequestPolicy = POLICY) -> bytes:
    """What goes on of a head once the places were emptied; the client's bytes have to be what they were."""
    kept = bytes(bytearray(wire))
    head = parse(wire, policy)
    where.strip(head)
    assert wire == kept
    written = head.write_bytes(policy)
    assert request_by_httptools(written)[0] == b"GET"
    return written


def get(*lines: bytes, target: bytes = b"/") -> bytes:
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: example.com", *lines, b"", b""])
