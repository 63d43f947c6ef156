"""What the control process does is what the configuration needs, and every worker is notified of what changes there."""

import asyncio
import os
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.keys import new_feed
from lbjwt.auth.revocation import Revocation
from lbjwt.keys.feed import KeyFeed
from lbjwt.observe._board import Board
from lbjwt.process.services import Service, services
from lbjwt.process.shared import Shared
from lbjwt.process.wakeups import Wakeups, WorkerLink
from lbjwt.revocation.tail import LogTail
from tests.unit.assembly_cases import configuration

WORKERS = 2
REMOTE = (
    "  main: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'http://127.0.0.1:1/jwks'}}\n"
    "  other: {issuer: https://b.test, audiences: [api], jwks: {keys: []}}"
)


class Scene:
    """The services of one configuration, and the eventfds of its workers."""

    def __init__(self, directory: Path | None, rest: str = "") -> None:
        made = configuration(REMOTE, rest)
        self.wakeups = Wakeups(WORKERS)
        self.shared = Shared(
            made,
            None,  # type: ignore[arg-type]
            Board(WORKERS, 1, 2),
            wakeups=self.wakeups,
            directory=directory,
            feed=new_feed(issuer_instances(made), None),
        )
        self.services: list[Service] = services(self.shared)

    def woken(self) -> list[bool]:
        """Which workers were, since the last look."""
        return [bool(self.wakeups.take(self.wakeups.worker_fd(slot))) for slot in range(WORKERS)]


def test_c20_what_is_posted_is_written_and_every_worker_is_woken(tmp_path: Path) -> None:
    """POST /revocations: the log that workers read has the entry, the board tells that it changed, and each worker is notified (THREATS C20)."""
    scene = Scene(tmp_path, "revocation: {}")
    service = scene.services[1]

    async def scenario(sock: socket.socket) -> int:
        await service.start()
        application = web.Application()
        service.extend(application)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.SockSite(runner, sock).start()
            url = f"http://127.0.0.1:{sock.getsockname()[1]}/revocations"
            async with aiohttp.ClientSession() as session, session.post(url, json={"jti": "j"}) as response:
                return response.status
        finally:
            await runner.cleanup()
            await service.stop()

    assert scene.woken() == [False, False]
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert asyncio.run(scenario(sock)) == 200
    assert scene.woken() == [True, True]
    tail = LogTail(tmp_path / "revocations.jsonl")
    tail.look(time.time())
    assert [(entry.kind, entry.value) for entry in tail.entries] == [("jti", "j")]
    assert tail.entries.covers(Revocation("jti", "j", time.time() + 1))


def test_a_refresh_request_starts_an_attempt_and_its_end_notifies_every_worker() -> None:
    """The first attempt and that for the request fail, for nobody listens there; both wake all workers, and `describe` tells of them."""
    scene = Scene(None)
    (keys,) = scene.services
    board = scene.shared.board
    assert scene.shared.feed is not None
    link = WorkerLink(scene.wakeups, 1, None, scene.shared.feed)

    async def ended(attempts: int) -> None:
        async with asyncio.timeout(10.0):
            while board.source_words(0)["attempts"] < attempts:
                await asyncio.sleep(0.01)

    async def scenario() -> dict[str, Any]:
        await keys.start()
        try:
            await ended(1)
            assert scene.woken() == [True, True]
            board.want(0)
            link.notify()
            assert scene.wakeups.take(scene.wakeups.control_fd)
            keys.notified()
            await ended(2)
            assert scene.woken() == [True, True]
            return dict(keys.describe()["main"])
        finally:
            await keys.stop()

    told = asyncio.run(scenario())
    assert (told["place"], told["failures"] >= 1) == ("http://127.0.0.1:1/jwks", True)


def test_a_link_wakes_its_own_worker(tmp_path: Path) -> None:
    """What is listened for is the eventfd of the slot; after `ignore` nothing is called."""
    scene = Scene(tmp_path)

    async def scenario() -> list[int]:
        called: list[int] = []
        heard = asyncio.Event()
        links = [WorkerLink(scene.wakeups, slot, tmp_path, KeyFeed({})) for slot in range(WORKERS)]

        def hear(slot: int) -> None:
            called.append(slot)
            heard.set()

        for slot, link in enumerate(links):
            link.listen(partial(hear, slot))
        os.eventfd_write(scene.wakeups.worker_fd(1), 1)
        await asyncio.wait_for(heard.wait(), 60.0)
        for link in links:
            link.ignore()
        scene.wakeups.notify_workers()
        for _ in range(3):  # turns of the loop, each of which looks at what can be read
            await asyncio.sleep(0)
        return called

    assert asyncio.run(scenario()) == [1]
