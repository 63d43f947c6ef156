"""What the hostile tester found in revocation files and at the admin door. Strict: mending one ends its mark."""

import asyncio
import logging
import os
import socket
from pathlib import Path

import pytest

from lbjwt.admin.server import AdminServer
from lbjwt.assembly.rows import row_names
from lbjwt.observe._board import Board
from lbjwt.observe.rows import RowNumbers
from lbjwt.revocation.watched import WatchedFile
from tests.unit.assembly_cases import configuration

NOW = 1_800_000_000.0
LINE = b'{"jti":"%d","expires":1900000000}\n'


def test_a_file_that_is_added_to_while_it_is_read_is_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "revoked.jsonl"
    file.write_bytes(LINE % 0)
    watched = WatchedFile(file)
    watched.load(NOW)
    with file.open("ab") as stream:
        stream.write(LINE % 1)

    read = os.fstat
    calls = 0

    def busy(descriptor: int) -> os.stat_result:
        nonlocal calls
        calls += 1
        if calls % 2 == 0:  # the look after reading: another writer was there meanwhile
            with file.open("ab") as stream:
                stream.write(LINE % (1 + calls))
        return read(descriptor)

    monkeypatch.setattr(os, "fstat", busy)
    for _ in range(8):  # two seconds of looks
        watched.look(NOW)
    assert watched.entries.revokes("", "", {"jti": "1"}, NOW)


def test_o4_a_broken_body_at_the_admin_door_is_no_traceback(caplog: pytest.LogCaptureFixture):
    made = configuration("  main: {issuer: https://a.test, audiences: [api], jwks: {keys: []}}")

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            door = AdminServer(made, Board(1, 1), [sock], RowNumbers.in_order(row_names(made)))
            await door.start()
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
            await reader.read(64)
            await asyncio.sleep(0.2)
            writer.close()
            await door.stop()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert not [record for record in caplog.records if record.exc_info]
