"""Playbooks with endpoints that speak TLS: the connection's TLS layer on the client's side."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.playbooks.messages import OK
from tests.playbooks.stage import Stage, request, response
from tests.playbooks.test_tls import PLAYBOOKS
from tests.playbooks.tls_stage import TlsBackendStage, TlsServer, Turns


@pytest.fixture(params=["whole", "bytes"])
def stage(request: pytest.FixtureRequest, files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsBackendStage]:
    turns = Turns()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    stage = TlsBackendStage(turns, files, 1 if request.param == "bytes" else None)
    yield stage
    turns.turn()
    assert stage.totals["in_flight"] == 0, "an exchange was not finished"
    assert stage.board.endpoint_totals(0)["in_flight"] == 0, "an endpoint is charged for ever"


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda playbook: playbook.__name__.removeprefix("test_"))
def test_the_plain_playbook(stage: TlsBackendStage, playbook: Callable[[Stage], None]) -> None:
    """What holds over plain connections to endpoints holds over TLS."""
    playbook(stage)


def test_a_session_ticket_on_an_idle_connection_is_no_doubt(stage: TlsBackendStage) -> None:
    """Bytes of TLS itself are no surplus byte: the connection is used for the next request."""
    client = stage.client()
    for _ in range(2):
        client.sends(request())
        stage.server().sends(OK)
        assert client.take() == OK
        stage.server().sends(b"")
    assert len(stage.opened) == 1


def test_a_body_until_the_close_needs_a_close_notify(stage: TlsBackendStage) -> None:
    """The end of the stream by itself may be an attacker's (RFC 8446 section 6.1): such a response must not look complete."""
    for clean in (True, False):
        client = stage.client()
        client.sends(request(version="1.0"))
        server = stage.server()
        server.sends(response("200 OK", body=b"some"))
        assert isinstance(server, TlsServer)
        if clean:
            server.ends()
        else:
            server.cuts()
            server.lose()
        assert client.take().endswith(b"some") and client.transport.aborted is not clean
        client.lose()


def test_an_endpoint_of_another_name_gets_no_request(stage: TlsBackendStage) -> None:
    """The certificate has to name the endpoint; else it counts as unreachable and the client gets 503."""
    stage.client_side.context = ssl.create_default_context()
    client = stage.client()
    client.sends(request())
    with pytest.raises(ssl.SSLError):
        stage.server()
    stage.opened[0].lose()
    assert client.take().startswith(b"HTTP/1.1 503 ")
    assert stage.board.endpoint_totals(0)["failures"] == 1
    client.lose()


def test_a_request_that_left_in_part_is_not_sent_elsewhere(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks behind the first 128 KiB of a POST: they may have been processed, so the other endpoint gets none of it."""
    turns = Turns()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: turns)
    stage = TlsBackendStage(turns, files, endpoints=2)
    client = stage.client()
    for _ in range(2):
        client.sends(request())
        stage.server().sends(OK)
        assert client.take() == OK and stage.server().take()
    broken, other = stage.opened
    write = broken.transport.write

    def breaks(data: bytes) -> None:
        write(data)
        broken.transport.closed = True

    monkeypatch.setattr(broken.transport, "write", breaks)
    body = b"x" * 200_000
    client.sends(request("POST", "/", f"Content-Length: {len(body)}", body=body))
    assert broken.take() and other.take() == b""
    broken.lose(ConnectionResetError())
    assert client.take().startswith(b"HTTP/1.1 502 ") and other.take() == b"" and len(stage.opened) == 2
    client.lose()


def test_a_handshake_that_takes_too_long_is_a_failed_connect(files: Path) -> None:
    """The time for a connection includes its handshake."""
    stage = TlsBackendStage(Turns(), files, connect_timeout=0.0)
    client = stage.client()
    client.sends(request())
    silent = stage.opened[0]
    silent.side.connection_made(silent.transport)
    stage.context.expire()
    assert client.take().startswith(b"HTTP/1.1 503 ") and silent.is_gone()
    silent.lose()
    client.lose()
    assert stage.endpoints[0].pool.open == 0
