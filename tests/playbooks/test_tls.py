"""The playbooks once more under TLS: whole, byte by byte on the wire, and with every byte in a record of its own."""

import asyncio
import gc
import inspect
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lbjwt.proxy._server_connection import ServerConnection
from tests.playbooks import test_exchange as plain
from tests.playbooks.messages import OK, SWITCH, UPGRADE, bodies
from tests.playbooks.stage import request, response
from tests.playbooks.tls_stage import Forge, TlsStage, Turns

PLAYBOOKS = [
    function
    for name, function in vars(plain).items()
    if name.startswith("test_") and list(inspect.signature(function).parameters) == ["stage"]
]


@pytest.fixture(params=["whole", "bytes", "records"])
def stage(request: pytest.FixtureRequest, files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsStage]:
    turns = Turns()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    pieces = 1 if request.param == "bytes" else None
    stage = TlsStage(turns, files, pieces, small_records=request.param == "records")
    yield stage
    turns.turn()
    assert stage.totals["in_flight"] == 0, "an exchange was not finished"
    assert stage.board.endpoint_totals(0)["in_flight"] == 0, "an endpoint is charged for ever"


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda playbook: playbook.__name__.removeprefix("test_"))
def test_the_plain_playbook(stage: TlsStage, playbook: Callable[[TlsStage], None]) -> None:
    """What holds without TLS holds with it."""
    playbook(stage)


def test_half_close_by_close_notify_then_fin_gets_the_answer(stage: TlsStage) -> None:
    """A FIN behind a close_notify tells nothing new: the exchange goes on, and the answer ends with our close_notify."""
    stage.reload(allow_half_close=True)
    client = stage.client()
    client.sends(request())
    client.says_goodbye()
    client.cuts()
    assert not client.is_gone()
    stage.server().sends(OK)
    assert b"\r\nConnection: close\r\n" in client.take() and client.is_gone() and client.got_goodbye()
    client.lose()


def test_nothing_counts_behind_a_close_notify(stage: TlsStage) -> None:
    """Bytes behind the client's close_notify are dropped, however many, and disturb nothing."""
    stage.reload(allow_half_close=True)
    client = stage.client()
    client.sends(request())
    client.says_goodbye()
    client.sends_raw(b"no record at all" * 100)
    assert not client.is_gone()
    stage.server().sends(OK)
    assert client.take().endswith(b"\r\n\r\nok")
    client.lose()


def test_a_close_notify_ends_the_request(stage: TlsStage) -> None:
    """Without allow_half_close a client that says it will send no more has given up: its endpoint connection is closed at once."""
    client = stage.client()
    client.sends(request())
    server = stage.server()
    client.says_goodbye()
    assert server.transport.aborted and stage.totals["in_flight"] == 0
    client.lose()


def test_a_fin_without_close_notify_is_a_truncation(stage: TlsStage) -> None:
    """RFC 8446 section 6.1: the request is given up, and its endpoint connection is reset."""
    client = stage.client()
    client.sends(request())
    server = stage.server()
    client.cuts()
    assert client.is_gone()
    client.lose()
    assert server.transport.aborted


def test_an_upload_that_ends_with_its_close_notify_while_reading_is_paused(stage: TlsStage) -> None:
    """The close_notify waits behind the body it follows."""
    stage.reload(allow_half_close=True)
    client = stage.client()
    client.sends(request("POST", "/", "Content-Length: 30", body=b"a" * 10))
    server = stage.server()
    server.side.pause_writing()
    client.sends(b"b" * 20)
    client.says_goodbye()
    assert client.is_paused() and not client.is_gone()
    server.side.resume_writing()
    stage.turns.turn()
    assert server.take().endswith(b"\r\n\r\n" + b"a" * 10 + b"b" * 20)
    server.sends(OK)
    assert client.take().endswith(b"ok") and client.is_gone()
    client.lose()


def test_a_cut_response_carries_no_close_notify(stage: TlsStage) -> None:
    """A client that checks for close_notify sees a truncation, whatever the framing."""
    for framing in ("Content-Length: 10", "Transfer-Encoding: chunked", "X-Until: close"):
        client = stage.client()
        client.sends(request(version="1.0"))
        stage.server().sends(response("200 OK", framing, body=b"5\r\nhello\r\n"[:8]))
        if framing.startswith("X"):
            stage.server().lose(ConnectionResetError())
        else:
            stage.server().ends()
        client.take()
        assert client.transport.aborted and not client.got_goodbye()
        client.lose()


def test_a_broken_record_ends_the_exchange(stage: TlsStage) -> None:
    """The client gets an alert, the endpoint's connection is reset, the counters return at once, and what still comes is dropped."""
    client = stage.client()
    client.sends(request("POST", "/", "Content-Length: 1000", body=b"begin"))
    server = stage.server()
    client.sends_raw(b"\x17\x03\x03\x00\x30" + b"x" * 48)
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        client.take()
    assert client.transport.ended and not client.transport.closed
    assert server.transport.aborted and stage.totals["in_flight"] == 0
    client.sends_raw(b"more")
    client.cuts()
    assert client.is_gone()
    client.lose()


def test_a_broken_record_behind_a_pause(stage: TlsStage) -> None:
    """An error found when reading goes on ends the connection like any other."""
    client = stage.client()
    client.sends(request("POST", "/", "Content-Length: 1000", body=b"a"))
    server = stage.server()
    server.side.pause_writing()
    client.sends(b"b")
    client.sends_raw(b"\x17\x03\x03\x00\x30" + b"x" * 48)
    server.side.resume_writing()
    stage.turns.turn()
    assert server.transport.aborted and client.transport.ended
    client.lose()


def test_a_lost_connection_is_freed_at_once(stage: TlsStage) -> None:
    """Reference counting alone frees the client side and its TLS, the loop of protocol and transport notwithstanding."""
    gc.collect()
    gc.disable()
    try:
        client = stage.client()
        vars(client.transport)["protocol"] = client.side
        client.sends(request())
        stage.server().sends(OK)
        client.take()
        client.lose()
        del client
        assert not [found for found in gc.get_objects() if isinstance(found, ServerConnection)]
    finally:
        gc.enable()


def test_reading_on_after_the_connection_was_lost(stage: TlsStage) -> None:
    """What was scheduled when reading went on finds the connection gone and does nothing."""
    client = stage.client()
    client.sends(request("POST", "/", "Content-Length: 1000", body=b"a"))
    server = stage.server()
    server.side.pause_writing()
    client.sends(b"b")
    client.sends(b"c")
    server.side.resume_writing()
    client.lose()
    stage.turns.turn()
    assert server.transport.aborted


@pytest.mark.parametrize("body", [16384, 16385, 65536, 200_000])
def test_bodies_around_the_record_size(stage: TlsStage, body: int) -> None:
    """Nothing is lost or moved where bodies, records and buffers end at different places."""
    stage.pieces, stage.small_records = (997 if stage.pieces else None), False
    content = bytes(range(251)) * (body // 251 + 1)
    content = content[:body]
    client = stage.client()
    client.sends(request("POST", "/", f"Content-Length: {body}", body=content[:5]))
    server = stage.server()
    client.sends(content[5:])
    assert server.take().endswith(b"\r\n\r\n" + content)
    server.sends(response("200 OK", f"Content-Length: {body}", body=content))
    assert client.take().endswith(b"\r\n\r\n" + content)
    client.sends(request())
    server.take()
    server.sends(response("200 OK", "Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (body, content)))
    assert bodies(client.take()) == content


def test_a_tunnel_whose_endpoint_ends_first(stage: TlsStage) -> None:
    """Our close_notify ends one direction: what the client had sent, even behind a pause, and still sends arrives."""
    client = stage.client()
    client.sends(request("GET", "/ws", *UPGRADE))
    server = stage.server()
    server.sends(SWITCH)
    client.take()
    server.take()
    server.side.pause_writing()
    client.sends(b"a")
    client.sends(b"behind the pause")
    assert server.side.eof_received()
    assert client.take() == b"" and client.got_goodbye() and client.transport.ended and not client.is_gone()
    server.side.resume_writing()
    stage.turns.turn()
    client.sends(b" and after")
    assert server.take() == b"abehind the pause and after"
    client.says_goodbye()
    assert client.is_gone()
    client.lose()
    server.lose()


def test_a_tunnel_whose_client_ends_first(stage: TlsStage) -> None:
    """The client's close_notify ends the endpoint's input only; the endpoint's last words arrive before our close_notify."""
    client = stage.client()
    client.sends(request("GET", "/ws", *UPGRADE))
    server = stage.server()
    server.sends(SWITCH)
    client.take()
    client.ends()
    assert server.transport.ended and not client.is_gone()
    server.sends(b"last words")
    assert client.take() == b"last words" and not client.got_goodbye()
    server.ends()
    client.take()
    assert client.got_goodbye() and client.is_gone()
    client.lose()


def test_garbage_for_a_hello(stage: TlsStage) -> None:
    """Plain HTTP or noise on a TLS port ends the connection behind an alert, and nothing was begun."""
    for noise in (request(), b"\x16\x03\x01\x00\x05hello", b"\x00" * 50):
        client = stage.client()
        fresh = type(client)(stage)
        fresh.side.connection_made(fresh.transport)
        fresh.sends_raw(noise)
        assert fresh.transport.ended
        fresh.lose()
        client.lose()
    assert stage.totals["connections"] == 0


def test_key_updates_between_and_inside_requests(stage: TlsStage, tmp_path: Path) -> None:
    """The client changes its keys and asks for new ones of ours, its message whole or cut; the answers go on (RFC 8446 section 4.6.3)."""
    stage.client_side.keylog_filename = str(tmp_path / "keys")
    client = stage.client()
    forge = Forge(tmp_path / "keys")
    for parts in ((), (slice(0, 1), slice(1, 4), slice(4, 5))):
        head = request()
        client.sends_raw(forge.record(23, head[:20]) + forge.new_keys(*parts) + forge.record(23, head[20:]))
        stage.server().sends(OK)
        client.sends_raw(forge.new_keys(*parts))
        assert client.take() == OK
    client.cuts()
    client.lose()


def test_key_updates_of_a_client_that_reads_nothing(stage: TlsStage, tmp_path: Path) -> None:
    """Each asks for an answer: while the client does not read those, nothing more is read of it."""
    stage.client_side.keylog_filename = str(tmp_path / "keys")
    client = stage.client()
    forge = Forge(tmp_path / "keys")
    client.side.pause_writing()
    client.sends_raw(forge.new_keys() + forge.new_keys())
    assert client.is_paused()
    client.sends_raw(b"".join(forge.new_keys() for _ in range(100)))
    assert len(client.transport.sent) < 100
    client.side.resume_writing()
    assert not client.is_paused()
    client.lose()
