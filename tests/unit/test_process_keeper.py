"""What the control process does is what the configuration needs, and every worker is notified of what changes there."""

import asyncio
import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.keys import new_feed
from lbjwt.assembly.rows import row_names
from lbjwt.auth.revocation import Revocation
from lbjwt.keys.feed import KeyFeed
from lbjwt.observe._board import Board
from lbjwt.observe.rows import RowNumbers
from lbjwt.process import keeper
from lbjwt.process.bindings import Bindings
from lbjwt.process.shared import Shared
from lbjwt.process.wakeups import Wakeups, WorkerLink
from lbjwt.revocation.tail import LogTail
from tests.harness.waiting import eventually
from tests.unit.assembly_cases import configuration

WORKERS = 2
REMOTE = (
    "  main: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'http://127.0.0.1:1/jwks'}}\n"
    "  other: {issuer: https://b.test, audiences: [api], jwks: {keys: []}}"
)
ADMIN = "admin: {address: '127.0.0.1:0'}\n"


class Scene:
    """A control process of one configuration, and the eventfds of its workers."""

    def __init__(self, directory: Path | None, rest: str = "") -> None:
        made = configuration(REMOTE, ADMIN + rest)
        self.wakeups = Wakeups(WORKERS)
        self.board = Board(WORKERS, 1, 2)
        self.admin = socket.create_server(("127.0.0.1", 0))
        feed = new_feed(issuer_instances(made), None)
        self.shared = Shared(
            made,
            Bindings([], [self.admin]),
            self.board,
            RowNumbers.in_order(row_names(made)),
            wakeups=self.wakeups,
            directory=directory,
            feed=feed,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """The real process, which ends as it is told."""
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                self.board.attach(WORKERS)
                code = keeper.main(self.shared)
            finally:
                os._exit(code)
        try:
            yield
            os.kill(pid, signal.SIGUSR2)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            pid = 0
        finally:
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            self.admin.close()

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        """Status and members of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin.getsockname()[1], timeout=60)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        found = response.status, json.loads(response.read())
        connection.close()
        return found

    def woken(self) -> list[bool]:
        """Which workers were, since the last look."""
        return [bool(self.wakeups.take(self.wakeups.worker_fd(slot))) for slot in range(WORKERS)]


def test_c20_what_is_posted_is_written_and_every_worker_is_woken(tmp_path: Path) -> None:
    """POST /revocations: the log that workers read has the entry, the board tells that it changed, and each worker is notified (THREATS C20)."""
    scene = Scene(tmp_path, "revocation: {}")
    with scene.running():
        assert eventually(lambda: scene.board.source_words(0)["attempts"])  # its end woke them, too
        assert eventually(lambda: all(scene.woken()))
        assert scene.ask("POST", "/revocations", '{"jti": "j"}')[0] == 200
        assert scene.woken() == [True, True]
    tail = LogTail(tmp_path / "revocations.jsonl")
    tail.look(time.time())
    assert [(entry.kind, entry.value) for entry in tail.entries] == [("jti", "j")]
    assert tail.entries.covers(Revocation("jti", "j", time.time() + 1))


def test_a_refresh_request_starts_an_attempt_and_its_end_notifies_every_worker() -> None:
    """The first attempt and that for the request fail, for nobody listens there; both wake all workers, and `/status` tells of them."""
    scene = Scene(None)
    assert scene.shared.feed is not None
    link = WorkerLink(scene.wakeups, 1, None, scene.shared.feed)
    with scene.running():
        assert eventually(lambda: scene.board.source_words(0)["attempts"])
        assert eventually(lambda: all(scene.woken()))
        scene.board.attach(1)
        scene.board.want(0)
        link.notify()
        assert eventually(lambda: scene.board.source_words(0)["attempts"] == 2)
        assert eventually(lambda: all(scene.woken()))
        source = scene.ask("GET", "/status")[1]["issuers"][0]["source"]
    assert (source["place"], source["failures"] >= 1) == ("http://127.0.0.1:1/jwks", True)


def test_a_link_wakes_its_own_worker(tmp_path: Path) -> None:
    """What is listened for is the eventfd of the slot; after `ignore` nothing is called."""
    wakeups = Wakeups(WORKERS)

    async def scenario() -> list[int]:
        called: list[int] = []
        heard = asyncio.Event()
        links = [WorkerLink(wakeups, slot, tmp_path, KeyFeed({})) for slot in range(WORKERS)]

        def hear(slot: int) -> None:
            called.append(slot)
            heard.set()

        for slot, link in enumerate(links):
            link.listen(partial(hear, slot))
        os.eventfd_write(wakeups.worker_fd(1), 1)
        await asyncio.wait_for(heard.wait(), 60.0)
        for link in links:
            link.ignore()
        wakeups.notify_workers()
        for _ in range(3):  # turns of the loop, each of which looks at what can be read
            await asyncio.sleep(0)
        return called

    assert asyncio.run(scenario()) == [1]
