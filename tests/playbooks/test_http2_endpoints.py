"""Exchanges with endpoints that speak HTTP/2: many on one connection, where what becomes of one leaves the others alone."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lbjwt.upstream._endpoint import Endpoint, Http2Settings
from tests.harness.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RST_STREAM,
    block,
    frame,
    frames,
    head,
)
from tests.harness.http2_endpoint import INTERNAL_ERROR, SETTINGS, goaway, reset
from tests.playbooks.http2_endpoint_stage import Http2EndpointStage, Http2Server
from tests.playbooks.http2_stage import Http2Client
from tests.playbooks.stage import TOKEN, VERIFIER
from tests.playbooks.tls_stage import Turns

OK = block([(b":status", b"200")])


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    turns = Turns()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    faults = VERIFIER.gate.faults
    yield turns
    assert VERIFIER.gate.faults == faults, VERIFIER.gate.last_fault


def settled(stage: Http2EndpointStage) -> None:
    """Nothing is counted that is not there."""
    stage.turns.turn()
    assert stage.totals["in_flight"] == stage.totals["pending"] == 0
    for at in range(len(stage.endpoints)):
        assert stage.board.endpoint_totals(at)["in_flight"] == 0, "an endpoint is charged for ever"


def headers(stream: int, payload: bytes, flags: int = 0) -> bytes:
    """A whole block, in as many frames as it takes."""
    pieces = [payload[at : at + 16000] for at in range(0, len(payload), 16000)]
    frames = [frame(CONTINUATION, 0, stream, piece) for piece in pieces[1:]]
    first = frame(HEADERS, flags if frames else flags | END_HEADERS, stream, pieces[0])
    return first + b"".join(frames[:-1]) + (frame(CONTINUATION, END_HEADERS, stream, pieces[-1]) if frames else b"")


# --- a queue ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("upload", [False, True], ids=["whole requests", "an upload under way is first"])
def test_a_queued_request_goes_out_once(turns: Turns, upload: bool) -> None:
    """One endpoint is ejected with an open connection, the other is full. When its time is over, each request that waited goes there once."""
    stage = Http2EndpointStage(turns, endpoints=2, max_connections=1, max_pending=10)
    stage.use_endpoints(*stage.endpoints, http2=Http2Settings(max_streams=2))
    client = stage.client()
    for _ in range(4):  # both get an open connection
        number = client.asks()
        for at in range(len(stage.opened)):
            for stream, _path in stage.server(at).asked():
                stage.server(at).peer.respond(stream, b"ok")
        assert client.reply(number).ended
    one, two = sorted(map(stage.server, range(2)), key=lambda server: server.endpoint.row)
    stage.board.endpoint_states.set(0, "on_trial", 1)
    stage.board.endpoint_states.set(0, "ejected_until", time.monotonic() + 60.0)
    held = [client.asks(path=f"/held/{at}") for at in range(2)]
    assert [path for _, path in two.asked()] == ["/held/0", "/held/1"]
    queued = [client.begins(head("POST", "/upload", token=TOKEN), None)] if upload else []
    queued += [client.asks(path=f"/queued/{at}") for at in range(3)]
    assert stage.totals["pending"] == len(queued) and not one.asked()
    stage.board.endpoint_states.set(0, "ejected_until", time.monotonic() - 0.02)
    stage.context.expire()
    stage.turn()
    seen = []
    for _ in range(10):
        if upload:
            client.peer.engine.send_data(queued[0], b"", end_stream=True)
            upload = False
        client.flush()
        for server in (one, two):
            for stream, path in server.asked():
                seen.append(path)
                server.peer.respond(stream, b"ok")
        stage.turn()
        if not seen or len(seen) >= len(queued):
            break
    for stream in two.peer.heads[-2:]:
        two.peer.respond(stream, b"ok")
    assert sorted(seen) == sorted({"/upload", *(f"/queued/{at}" for at in range(3))} & set(seen)) and len(seen) == len(
        queued
    )
    assert all(client.reply(number).ended for number in [*held, *queued])
    settled(stage)


# --- what one of them does ----------------------------------------------------------------------------------------------


def several(
    turns: Turns, number: int, **options: Any
) -> tuple[Http2EndpointStage, Http2Client, list[int], Http2Server]:
    """So many requests of one client on one connection to the first endpoint, which has got them. The others are drained."""
    stage = Http2EndpointStage(turns, **options)
    for other in range(1, len(stage.endpoints)):
        stage.board.endpoint_states.set(other, "service", 1)
    client = stage.client()
    numbers = [client.asks(path=f"/{at}") for at in range(number)]
    server = stage.server()
    assert [path for _, path in server.asked()] == [f"/{at}" for at in range(number)] and len(stage.opened) == 1
    return stage, client, numbers, server


def test_a_fault_of_ours_ends_the_request_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending one of three again meets a fault: 503 for that one, and the others on its connection are answered."""
    turns = Turns()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    stage, client, numbers, server = several(turns, 3, endpoints=2)
    faults = VERIFIER.gate.faults

    def fails(endpoint: Endpoint) -> Any:
        raise RuntimeError(endpoint.address)

    monkeypatch.setattr(stage, "opening", fails)
    one, two, three = server.peer.heads
    stage.board.endpoint_states.set(1, "service", 0)
    server.raw(reset(one, INTERNAL_ERROR), headers(two, OK, END_STREAM))
    assert (client.reply(numbers[0]).status, client.reply(numbers[1]).status) == (503, 200)
    server.peer.respond(three, b"ok")
    assert client.reply(numbers[2]).body == b"ok" and not server.is_gone()
    assert VERIFIER.gate.faults == faults + 1
    settled(stage)


def test_a_fault_of_ours_spares_the_other_streams_of_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of two requests in one segment meets a fault; the other one is served, and so is the next."""
    turns = Turns()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    stage = Http2EndpointStage(turns, endpoints=2)
    client = stage.client()
    opening = stage.opening
    faults = [RuntimeError()]
    monkeypatch.setattr(stage, "opening", lambda endpoint: opening(endpoint) if not faults else raises(faults.pop()))
    numbers = [client.peer.request(head(path=f"/{at}", token=TOKEN)) for at in range(2)]
    client.flush()
    server = stage.server()
    for stream, _path in server.asked():
        server.peer.respond(stream, b"ok")
    assert (client.reply(numbers[0]).status, client.reply(numbers[1]).body) == (503, b"ok")


def test_lack_of_descriptors_closes_no_connection_in_use(turns: Turns) -> None:
    """It would give none back, and the next request would open another one. An idle connection is closed."""
    stage, client, numbers, server = several(turns, 1)
    stage.context.close_unused()
    numbers.append(client.asks(path="/next"))
    assert [path for _, path in server.asked()] == ["/next"] and len(stage.opened) == 1
    for stream in server.peer.heads:
        server.peer.respond(stream, b"ok")
    assert all(client.reply(number).ended for number in numbers)
    stage.context.close_unused()
    assert server.is_gone()


@pytest.mark.parametrize("opened", [True, False])
def test_a_lost_connection_is_freed_at_once(turns: Turns, opened: bool) -> None:
    """Reference counting alone frees the connection and its engine, also if the endpoint never said that it is open."""
    gc.collect()
    gc.disable()
    try:
        stage = Http2EndpointStage(turns, settings={} if opened else None, retries=0)
        client = stage.client()
        number = client.asks()
        stage.server().lose(ConnectionResetError())
        assert client.reply(number).status == (502 if opened else 503)
        client.lose()
        del client
        del stage.server().peer  # which refers to it
        stage.opened.clear()
        turns.turn()
        kept = {"Http2Client", "Http2ClientStream", "Session"}
        assert not [found for found in gc.get_objects() if type(found).__name__ in kept]
    finally:
        gc.enable()


def test_a_silent_connection_is_asked_once(turns: Turns) -> None:
    """
    Its client left after a second of silence: a PING, and the next request goes elsewhere until it is answered. Then not again before something else
    came.
    """
    stage, client, _, server = several(turns, 1)
    number = client.asks(path="/unanswered")  # not the first: the SETTINGS of the endpoint may come a moment after that
    assert [path for _, path in server.asked()] == ["/unanswered"]
    time.sleep(1.1)
    client.takes_back(number)
    out = server.take()
    assert [kind for kind, *_ in frames(out)] == [PING, RST_STREAM]
    client.asks(path="/elsewhere")
    assert [path for _, path in stage.server().asked()] == ["/elsewhere"] and len(stage.opened) == 2
    server.sends(frame(PING, 1, 0, bytes(8)))
    number = client.asks(path="/again")
    assert [path for _, path in server.asked()] == ["/again"]
    time.sleep(1.1)
    client.takes_back(number)
    assert [kind for kind, *_ in frames(server.take())] == [RST_STREAM]


def test_settings_behind_the_last_goaway_are_no_fault(turns: Turns) -> None:
    """The connection is idle, so that it ends at once."""
    _, client, numbers, server = several(turns, 1)
    (stream,) = server.peer.heads
    server.raw(headers(stream, OK, END_STREAM), goaway(stream), frame(SETTINGS))
    assert client.reply(numbers[0]).status == 200 and server.is_gone()


def raises(fault: Exception) -> Any:
    raise fault


def test_trailers_that_are_too_large_end_their_response(turns: Turns) -> None:
    """Many clients would end the whole connection for them."""
    for trailers in ([(b"x", b"y" * 500)] * 150, [(b"x", b"")] * 300):
        stage, client, numbers, server = several(turns, 2)
        one, two = server.peer.heads
        server.raw(headers(one, OK), headers(one, block(trailers), END_STREAM))
        server.peer.respond(two, b"ok", trailers=[(b"x", b"y")])
        assert client.reply(numbers[0]).trailers is None and client.reply(numbers[0]).reset == INTERNAL_ERROR
        assert client.reply(numbers[1]).trailers == [(b"x", b"y")]
        settled(stage)


@pytest.mark.parametrize("fields", [1500, 3900])
def test_a_head_of_too_many_fields_is_502_for_its_request(turns: Turns, fields: int) -> None:
    stage, client, numbers, server = several(turns, 2)
    one, two = server.peer.heads
    server.raw(headers(one, OK + block([(b"x", b"")] * fields)))
    server.peer.respond(two, b"ok")
    assert (client.reply(numbers[0]).status, client.reply(numbers[1]).body) == (502, b"ok")
    settled(stage)


def test_s25_frames_of_responses_that_were_cancelled_use_up_no_window(turns: Turns) -> None:
    """
    Eighty requests are taken back while a DATA frame of theirs is on its way: most of it comes before that, and the rest behind it. The
    window of the connection, which all responses share, is whole again afterwards.
    """
    stage = Http2EndpointStage(turns, max_connections=1)
    stage.use_endpoints(*stage.endpoints, http2=Http2Settings(max_streams=1))
    client = stage.client()
    client.takes_back(client.asks())
    server = stage.server()
    server.asked()
    whole = server.peer.engine.remote_window_size
    for _ in range(80):
        number = client.asks()
        ((stream, _path),) = server.asked()
        data = frame(DATA, 0, stream, bytes(16384))
        server.raw(headers(stream, OK), data[:16000])
        client.takes_back(number)
        server.settle()
        server.raw(data[16000:])
    number = client.asks()
    ((stream, _path),) = server.asked()
    assert server.peer.engine.remote_window_size > whole // 2, (
        "what was taken is given back once it is half of the window"
    )
