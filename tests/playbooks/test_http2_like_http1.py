"""The same requests over HTTP/1 and HTTP/2: the same verdict, and the same request at the endpoint."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import pytest

from lbjwt.auth._places import TokenPlaces
from lbjwt.proxy._admission import Admission
from lbjwt.proxy._route import Demand, Route
from lbjwt.proxy.answers import route_answers
from lbjwt.routing._router import Router
from lbjwt.upstream._cluster import Cluster
from tests.harness.corpus import ACCEPTED_REQUESTS, REFUSED_REQUESTS
from tests.harness.examples import examples
from tests.harness.http2 import Fields, from_http1
from tests.playbooks.http2_stage import Http2Client, Http2Stage
from tests.playbooks.messages import OK
from tests.playbooks.stage import AUTH, TOKEN, VERIFIER
from tests.playbooks.tls_stage import Turns
from tests.unit.path_spellings import PUBLIC, ROUTES, spellings

Verdict = tuple[int, bytes | None]
"""Status, and what the endpoint saw without what differs in each request."""
OWN = re.compile(
    rb"(?m)^(x-request-id|content-length|transfer-encoding|connection|x-forwarded-proto|te): [^\r]*\r\n", re.IGNORECASE
)


def normal(seen: bytes) -> bytes:
    """Names in lower case, lines in order; ids and framing are left out."""
    head, _, _ = OWN.sub(b"", seen).partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    fields = sorted(name.lower() + b":" + value for name, _, value in (line.partition(b":") for line in lines))
    return b"\r\n".join([line, *fields])


class Both:
    """A listener that speaks both, and an endpoint."""

    def __init__(self, turns: Turns, **options: Any) -> None:
        self.stage = Http2Stage(turns, max_connections=10_000, http2={"max_resets": 1_000_000}, **options)
        self.client: Http2Client = self.stage.client()

    def endpoint(self) -> bytes | None:
        """What it saw; it answers, and its connection ends."""
        if not self.stage.opened:
            return None
        server = self.stage.server()
        seen = normal(server.take())
        server.sends(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        server.lose()
        self.stage.opened.clear()
        return seen

    def http1(self, data: bytes) -> Verdict:
        client = self.stage.plain_client()
        client.sends(data)
        seen = self.endpoint()
        status = int(client.take()[9:12] or b"0")
        client.lose()
        return status, seen

    def http2(self, fields: Fields, body: bytes) -> Verdict:
        """A stream that is reset for what its head says counts as 400."""
        number = self.client.begins(fields, body)
        seen = self.endpoint()
        reply = self.client.reply(number)
        del self.client.peer.replies[number]
        return reply.status or (400 if reply.reset == 1 else 0), seen


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    turns = Turns()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    return turns


def with_token(data: bytes) -> bytes:
    line, _, rest = data.lstrip(b"\r\n").partition(b"\r\n")
    return line + b"\r\n" + AUTH + rest


HTTP_1_ONLY = (
    *(
        "chunk",
        "coding",
        "length and chunked",
        "chunked and length",
        "two codings",
        "HTTP/",
        "RTSP",
        "ICE",
        "two spaces",
    ),
    *(
        "trailing space",
        "tab",
        "bare",
        "obs-fold",
        "folded",
        "space before",
        "no colon",
        "leading space field",
        "absolute",
    ),
    *("no Host", "two Hosts", "CONNECT", "authority form"),
)


@pytest.mark.parametrize(
    "case", [case for case in REFUSED_REQUESTS if not case[0].startswith(HTTP_1_ONLY)], ids=lambda case: case[0]
)
def test_refused_requests(turns: Turns, case: tuple[str, bytes]) -> None:
    """Those that HTTP/2 can say at all: refused with the same status, and no endpoint hears of them."""
    both = Both(turns)
    data = with_token(case[1])
    status, seen = both.http1(data)
    assert 400 <= status < 600 and seen is None
    assert both.http2(*from_http1(data)) == (status, None)


@pytest.mark.parametrize(
    "case", [case for case in ACCEPTED_REQUESTS if not case[0].startswith("absolute")], ids=lambda case: case[0]
)
def test_accepted_requests(turns: Turns, case: tuple[str, bytes]) -> None:
    both = Both(turns)
    data = with_token(case[1])
    verdict = both.http1(data)
    assert verdict[1] is not None
    assert both.http2(*from_http1(data)) == verdict


def routed(cluster: Cluster) -> Admission:
    """The routes of the path tests, each with a name; the public ones ask for no token."""
    places = TokenPlaces(headers=[("Authorization", "Bearer", True)])
    answers = route_answers("lbjwt")
    routes = [
        Route([] if at in PUBLIC else [Demand([places], [None])], answers, cluster=cluster)
        for at, _ in enumerate(ROUTES)
    ]
    return Admission(VERIFIER.gate, routes, router=Router(ROUTES))


def test_path_spellings(turns: Turns) -> None:
    """Thousands of ways to write a path that some server reads as a protected one, without a token: the same route, the same target, or 400."""
    both = Both(turns, admission=routed)
    asked = list(spellings())
    statuses = set()
    for target in random.sample(asked, examples(len(asked), plain=600)):
        data = b"GET %b HTTP/1.1\r\nHost: api.test\r\n\r\n" % target
        verdict = both.http1(data)
        assert both.http2(*from_http1(data)) == verdict, target
        statuses.add(verdict[0])
    assert {200, 400, 401} <= statuses


HOSTS = (
    *(
        "api.test",
        "API.test",
        "api.test:80",
        "api.test:443",
        "api.test:",
        "api.test.",
        "[::1]",
        "[::1]:8080",
        "127.0.0.1",
    ),
    *(
        "a_b.test",
        "a..b",
        "-",
        "~",
        "",
        " ",
        "a b",
        "a,b",
        "a/b",
        "a?b",
        "a#b",
        "u@a",
        "u:p@a",
        "a:b",
        "a:123456",
        "a:-1",
    ),
    *("[::1", "::1", "a%41", "a\\b", "a;b", "\xe9", "a\x01", "a:80:80"),
)


@pytest.mark.parametrize("host", HOSTS)
def test_hosts(turns: Turns, host: str) -> None:
    both = Both(turns)
    data = b"GET / HTTP/1.1\r\nHost: " + host.encode("latin-1") + b"\r\n" + AUTH + b"\r\n"
    assert both.http2(*from_http1(data)) == both.http1(data)


def spoofs(name: str) -> list[str]:
    """Spellings that some backend folds into the same variable."""
    words = name.split("-")
    found = {joiner.join(words) for joiner in ("-", "_", ".", "--", "-_", "_-")}
    found |= {odd.join(words) for odd in "!#$%&'*+.^`|~"} | {
        f"{name}_",
        f"_{name}",
        f"{name}.",
        f"{name}-",
        name.replace("-", ""),
    }
    return sorted(found)


@pytest.mark.parametrize("policy", ["drop", "reject", "allow"])
def test_names_like_identity_headers(turns: Turns, policy: str) -> None:
    """Dropped, refused or passed as over HTTP/1; the value of the token stays the only one."""
    both = Both(turns, header_names=policy)
    for name in [
        *spoofs("x-jwt-sub"),
        "x-forwarded-for",
        "x-forwarded-host",
        "forwarded",
        "x-real-ip",
        "proxy",
        "x-request-id",
    ]:
        data = b"GET / HTTP/1.1\r\nHost: api.test\r\n" + name.encode() + b": root\r\n" + AUTH + b"\r\n"
        verdict = both.http1(data)
        assert both.http2(*from_http1(data)) == verdict, name
        assert verdict[1] is None or name.startswith("x-f") or b"x-jwt-sub: alice" in verdict[1]


def test_tokens(turns: Turns) -> None:
    """A token with each byte changed in turn, and Authorization in odd forms."""
    both = Both(turns)
    chance = random.Random("tokens")
    tokens = [
        TOKEN[:at] + bytes([chance.choice(b"AZaz09-_.=+/ ,\x00\xff")]) + TOKEN[at + 1 :] for at in range(len(TOKEN))
    ]
    odd = (
        b"",
        b"Bearer",
        b"bearer " + TOKEN,
        b"Basic eA==",
        b"Bearer  " + TOKEN,
        b"Bearer " + TOKEN + b" x",
        b"Bearer\t" + TOKEN,
    )
    values = [
        *(b"Bearer " + token for token in tokens),
        *odd,
        TOKEN,
        b"Bearer " + TOKEN + b"," + TOKEN,
        b"Bearer " + b"a" * 9000,
    ]
    for value in values:
        data = b"GET / HTTP/1.1\r\nHost: api.test\r\nAuthorization: " + value + b"\r\n\r\n"
        assert both.http2(*from_http1(data)) == both.http1(data), value


def test_many_fields_and_long_heads(turns: Turns) -> None:
    """431 and 414 at the same limits."""
    both = Both(turns)
    for count, size in ((90, 10), (101, 10), (300, 10), (3, 9000), (4, 9000), (7, 9000)):
        lines = b"".join(b"x-%d: %b\r\n" % (at, b"v" * size) for at in range(count))
        data = b"GET / HTTP/1.1\r\nHost: api.test\r\n" + AUTH + lines + b"\r\n"
        assert both.http2(*from_http1(data)) == both.http1(data), (count, size)
    data = b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: api.test\r\n" + AUTH + b"\r\n"
    assert both.http2(*from_http1(data)) == both.http1(data)
