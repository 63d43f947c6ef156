"""Each flood (`harness.http2_floods`) ends in GOAWAY with its reason in log and metrics, and other clients are served."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from lbjwt._error_reason import ErrorReason
from tests.harness.http2 import (
    DATA,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    frame,
    frames,
    head,
)
from tests.harness.http2_floods import ALL, STEPS, floods
from tests.playbooks.http2_stage import Http2Stage
from tests.playbooks.messages import OK
from tests.playbooks.stage import TOKEN, response
from tests.playbooks.tls_stage import Turns

FLOODS = floods(TOKEN)
GET = block(head(token=TOKEN))


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    turns = Turns()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    return turns


@pytest.mark.parametrize("together", [1, 50], ids=["one by one", "fifty at a time"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_its_connection(turns: Turns, caplog: pytest.LogCaptureFixture, name: str, together: int) -> None:
    """At once, with GOAWAY and ENHANCE_YOUR_CALM, one line in the log, and a count; what it began is given up, and the next client is served."""
    stage = Http2Stage(turns, max_connections=1000)
    client = stage.raw_client()
    out = b""
    with caplog.at_level(logging.WARNING, "lbjwt.service"):
        for at in range(0, STEPS, together):
            client.sends(b"".join(FLOODS[name](at + more) for more in range(together)))
            out += client.take()
            if client.transport.ended or client.is_gone():
                break
    last = [payload for kind, _, _, payload in frames(out) if kind == GOAWAY][-1]
    assert int.from_bytes(last[4:8]) == ENHANCE_YOUR_CALM
    assert client.transport.ended and stage.totals["in_flight"] == 0
    assert stage.totals["errors"][ErrorReason.FLOOD] >= 1
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["connection of 192.0.2.7 ended"]
    client.lose()
    assert stage.totals["connections"] == 0
    good = stage.client()
    number = good.asks()
    stage.server().sends(OK)
    assert good.reply(number).body == b"ok"


def test_many_floods_of_one_address_are_one_line(turns: Turns, caplog: pytest.LogCaptureFixture) -> None:
    stage = Http2Stage(turns)
    with caplog.at_level(logging.WARNING, "lbjwt.service"):
        for _ in range(5):
            client = stage.raw_client()
            client.sends(frame(PING, 0, 0, b"12345678") * 501)
            client.lose()
    assert len(caplog.records) == 1 and stage.totals["errors"][ErrorReason.FLOOD] == 5


@pytest.mark.parametrize("stalls", [False, True])
def test_a_client_that_does_not_go_is_cut_off(turns: Turns, stalls: bool) -> None:
    """What it sends after its GOAWAY is dropped; past 1 MiB, or after half a second, its connection is reset."""
    stage = Http2Stage(turns)
    client = stage.raw_client()
    client.sends(frame(PING, 0, 0, b"12345678") * 501)
    assert client.transport.ended and not client.is_gone()
    if stalls:
        turns.later.pop()()
    for _ in range(17):
        client.sends(b"x" * 65536)
    assert client.is_gone()
    client.lose()


def test_windows_of_one_byte(turns: Turns) -> None:
    """A client that takes a response byte by byte costs us a frame each: past what it may, its connection ends."""
    stage = Http2Stage(turns)
    client = stage.raw_client()
    client.sends(frame(SETTINGS, 0, 0, b"\0\4\0\0\0\1") + frame(HEADERS, ALL, 1, GET))
    stage.server().sends(response("200 OK", "Content-Length: 60000", body=b"x" * 60000))
    out = client.take()
    updates = 0
    while updates < 2000 and not client.transport.ended:
        client.sends(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"))
        out += client.take()
        updates += 1
    assert [int.from_bytes(payload[4:8]) for kind, _, _, payload in frames(out) if kind == GOAWAY] == [
        ENHANCE_YOUR_CALM
    ]
    assert updates < 700 and stage.totals["in_flight"] == 0


@pytest.mark.parametrize("size", [10, 1000, 16384])
def test_a_reader_that_gives_back_what_it_took_is_no_flood(turns: Turns, size: int) -> None:
    """For each piece that comes two updates, for stream and connection, and a PING, by which gRPC clients measure the connection."""
    stage = Http2Stage(turns)
    client = stage.raw_client()
    client.sends(frame(HEADERS, ALL, 1, GET))
    stage.server().sends(response("200 OK", "Transfer-Encoding: chunked"))
    for _ in range(3000):
        stage.server().sends(b"%x\r\n%b\r\n" % (size, b"x" * size))
        assert client.take()
        updates = frame(WINDOW_UPDATE, 0, 0, size.to_bytes(4)) + frame(WINDOW_UPDATE, 0, 1, size.to_bytes(4))
        client.sends(updates + frame(PING, 0, 0, b"12345678"))
    assert not client.transport.ended
    client.lose()


def test_a_broken_rule_of_the_connection_is_no_flood(turns: Turns) -> None:
    """GOAWAY says which (RFC 9113 section 5.4.1)."""
    stage = Http2Stage(turns)
    breaches = {
        frame(DATA, 0, 0, b"x"): 1,
        frame(HEADERS, ALL, 1, b"\xff\xff\xff\xff\xff"): 9,
        frame(PING, 0, 0, b"1"): 6,
        frame(HEADERS, ALL, 2, GET): 1,
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"): 1,
        frame(DATA, 0, 1, b"x" * 20000): 6,
    }
    for data, code in breaches.items():
        client = stage.raw_client()
        client.sends(data)
        assert [int.from_bytes(payload[4:8]) for kind, _, _, payload in frames(client.take()) if kind == GOAWAY] == [
            code
        ]
        assert client.transport.ended
        client.lose()
    assert stage.totals["errors"][ErrorReason.FLOOD] == 0


@pytest.mark.parametrize(
    "breach",
    [
        frame(DATA, 1, 1, b"shorter than its length"),
        frame(DATA, 0, 1, bytes(200)),
        frame(HEADERS, 4, 1, block([(b"x-trailer", b"1")])),
        frame(HEADERS, 5, 1, block([(b":path", b"/other")])),
        frame(HEADERS, 5, 5, block([*head(token=TOKEN), (b"connection", b"close")])),
    ],
    ids=["body too short", "body too long", "trailers without end", "pseudo trailer", "head"],
)
def test_a_broken_rule_of_a_stream_ends_that_stream(turns: Turns, tmp_path: Path, breach: bytes) -> None:
    """The other one on the connection is answered; the log has the reason."""
    stage = Http2Stage(turns, log=tmp_path / "log")
    client = stage.raw_client()
    client.sends(frame(HEADERS, 4, 1, block(head("POST", token=TOKEN, more=[(b"content-length", b"100")]))))
    client.sends(frame(HEADERS, ALL, 3, GET))
    servers = [stage.server(at) for at in range(2)]
    client.sends(breach)
    ended = [(number, payload[:4]) for kind, _, number, payload in frames(client.take()) if kind == RST_STREAM]
    assert [number for number, _ in ended] == [breach[8]]
    servers[1].sends(OK)
    assert (DATA, b"ok") in [(kind, payload) for kind, _, _, payload in frames(client.take())]
    assert stage.totals["errors"][ErrorReason.GRAMMAR] == 1 and stage.totals["bad_requests"] == (breach[8] == 5)
    client.lose()
    assert "grammar" in [record.get("reason") for record in stage.records()]


def test_heads_that_grow_are_judged_before_the_next_ones_are_read(turns: Turns) -> None:
    """One byte stands for a field of 4 KiB once HPACK has seen it: a piece of input may hold thousands of such heads, and memory some."""
    import tracemalloc

    stage = Http2Stage(turns, max_connections=1000, http2={"max_resets": 100_000})
    client = stage.raw_client()
    first = block(head()) + b"\x40\x03big" + b"\x7f\x81\x1e" + b"y" * 3968
    client.sends(frame(HEADERS, ALL, 1, first))
    client.take()
    small = block(head()) + b"\xbe" * 7
    data = b"".join(
        frame(HEADERS, ALL, 2 * at + 3, small) + frame(RST_STREAM, 0, 2 * at + 3, b"\0\0\0\x08") for at in range(500)
    )
    tracemalloc.start()
    client.sends(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not client.transport.ended
    assert peak < 2 << 20
    client.lose()
