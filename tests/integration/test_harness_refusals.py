"""The rigs of the bars about tokens, each with a planted fault: what they are for, they find."""

from __future__ import annotations

import random
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.proof.pipeline import answers
from bench.proof.refusals import Asked, faults
from bench.proof.token_edits import edited
from tests.harness.client import Client, request
from tests.harness.deny import denials
from tests.harness.flood import KINDS, Flood
from tests.harness.house import Denial, House, get
from tests.harness.tokens import TokenFactory

REFUSED = (
    b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm="lbjwt", error="invalid_token"\r\n'
    b"Cache-Control: no-store\r\nContent-Length: 13\r\n\r\nunauthorized\n"
)
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server(socketserver.ThreadingTCPServer):
    """Answers each request by its path: /good, /bad, /close (an answer, then the end), /drop (the end)."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.paths: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class Handler(socketserver.StreamRequestHandler):
    """One connection."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            path = line.split(b" ")[1].decode()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            assert isinstance(self.server, Server)
            self.server.paths[path] += 1
            if path == "/drop":
                return
            self.wfile.write(GOOD if path == "/good" else REFUSED)
            if path == "/close":
                return


@pytest.fixture
def server() -> Iterator[Server]:
    """A server in a thread."""
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_a_pipeline_gives_each_request_its_own_answer(server: Server) -> None:
    """In order, over connections that end with an answer or without one; nothing behind such an end is lost or skipped."""
    paths = ["/good", "/bad", "/close", "/good", "/drop", "/bad", *["/good"] * 200, "/drop"]
    asked = {path: request(path) for path in paths}
    got = list(answers(server.port, [asked[path] for path in paths]))
    wanted = {"/good": 200, "/bad": 401, "/close": 401, "/drop": 0}
    assert got == [(asked[path], wanted[path]) for path in paths]


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_flood_sends_what_it_says_and_counts_what_comes_back(server: Server, kind: str) -> None:
    """As many requests as asked for at about that rate, every answer counted by its status."""
    with Flood(server.port, kind, 500.0, 1.0, TokenFactory().mint("ES256")) as flood:
        pass
    result = flood.result
    assert result["sent"] == 500
    assert result["statuses"] == {"401": 500}
    assert result["lost"] == 0
    assert server.paths == {"/flood": 500}


def test_one_edit_is_one_edit() -> None:
    """No edit is the token, and none is far from it: at most two characters differ in length or place, or the end is cut off."""
    token = TokenFactory().mint("ES256").encode()
    chance = random.Random(1)
    kinds: Counter[str] = Counter()
    for _ in range(5000):
        made = edited(token, chance)
        assert made.strip(b" \t") != token
        start = next((at for at, pair in enumerate(zip(token, made, strict=False)) if pair[0] != pair[1]), len(made))
        if made == token[: len(made)]:
            kinds["cut"] += 1
            continue
        edits = {
            "added": made[start + 1 :] == token[start:],
            "taken": made[start:] == token[start + 1 :],
            "replaced": made[start + 1 :] == token[start + 1 :],
            "swapped": made[start + 2 :] == token[start + 2 :],
        }
        kinds[next(name for name, fits in edits.items() if fits)] += 1
    assert min(kinds.values()) > 100
    assert len(kinds) == 5


def test_the_corpus_is_large_and_has_every_answer(tmp_path: Path) -> None:
    """At least 400 cases over all statuses and nearly all reasons."""
    cases = denials(House(tmp_path))
    assert len(cases) >= 400
    assert {case.status for case in cases} == {400, 401, 403, 503}
    assert len({case.reason for case in cases}) >= 24


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ((b"401 Unauthorized", b"200 OK"), "status"),
        ((b', error="invalid_token"', b""), "challenge"),
        ((b"invalid_token", b"insufficient_scope"), "challenge"),
        ((b'error="invalid_token"', b'error="invalid_token", error_description="expired"'), "challenge"),
        ((b"WWW-Authenticate", b"X-Other"), "challenge"),
        ((b"no-store", b"no-cache"), "Cache-Control"),
        ((b"unauthorized\n", b"token expired"), "body"),
        ((b"Cache-Control", b"X-Reason: expired\r\nCache-Control"), "the reason"),
        ((b"Cache-Control", b"Retry-After: 5\r\nCache-Control"), "Retry-After"),
    ],
)
def test_an_answer_that_is_not_exact_is_found(change: tuple[bytes, bytes], fault: str) -> None:
    """The answer as it must be has no fault; with one change it has the one that is named."""
    case = Denial("a token of yesterday", "expired", get("x"))

    def judged(data: bytes) -> list[str]:
        with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler, bind_and_activate=False) as one:
            one.server_bind()
            one.server_activate()
            with Client(one.server_address[1]) as client:
                client.send(case.data)
                peer, _ = one.get_request()
                with peer:
                    peer.sendall(data)
                    return faults(Asked(case, "x", client.response()))

    assert judged(REFUSED) == []
    assert REFUSED.count(change[0]) == 1
    found = judged(REFUSED.replace(*change))
    assert any(line.startswith(fault) for line in found), found
