"""What a keeper does is what the configuration needs, and what changes there is told to every worker."""

import asyncio
import os
import socket
import time
from functools import partial
from pathlib import Path

import aiohttp
from aiohttp import web

from lbjwt.assembly.keys import KeeperKeys
from lbjwt.auth.revocation import Revocation
from lbjwt.config.model import Configuration
from lbjwt.observe._board import Board
from lbjwt.process.link import WorkerLink
from lbjwt.process.service import Service
from lbjwt.process.services import services
from lbjwt.process.wakeups import Wakeups
from lbjwt.revocation.tail import LogTail
from tests.unit.assembly_cases import configuration

WORKERS = 2
REMOTE = (
    "  main: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'https://k.test/'}}\n"
    "  other: {issuer: https://b.test, audiences: [api], jwks: {keys: []}}"
)


class Scene:
    """The services of one configuration, and the eventfds of its workers."""

    def __init__(self, directory: Path | None, rest: str = "") -> None:
        self.configuration: Configuration = configuration(REMOTE, rest)
        self.board = Board(WORKERS, 1, 2)
        self.wakeups = Wakeups(WORKERS)
        self.services: list[Service] = services(self.configuration, self.board, self.wakeups, directory)

    def woken(self) -> list[bool]:
        """Which workers were, since the last look."""
        return [bool(self.wakeups.take(self.wakeups.worker_fd(slot))) for slot in range(WORKERS)]


def test_only_what_is_needed_is_done(tmp_path: Path) -> None:
    """Nothing without a directory, keys with one, revocations where there are some."""
    names = [
        [type(one).__name__ for one in Scene(directory, rest).services]
        for directory, rest in ((None, ""), (tmp_path, ""), (tmp_path, "revocation: {max_entries: 7}"))
    ]
    assert names == [[], ["_Keys"], ["_Keys", "_Revocations"]]
    assert Scene(tmp_path, "revocation: {max_entries: 7}").services[1]._store.entries.max_entries == 7  # type: ignore[attr-defined]


def test_c20_what_is_posted_is_written_and_every_worker_is_woken(tmp_path: Path) -> None:
    """POST /revocations: the log that workers read has the entry, the board tells that it changed, and each worker is poked (THREATS C20)."""
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


def test_keys_are_told_to_every_worker_and_wishes_reach_them(tmp_path: Path) -> None:
    """The keys of the service poke all workers; a worker's link pokes the keeper, and it looks at the board."""
    scene = Scene(tmp_path)
    keys = scene.services[0]._keys  # type: ignore[attr-defined]
    assert isinstance(keys, KeeperKeys) and list(keys._keys) == [0]
    keys._started(0)
    keys._settled(0)
    assert scene.woken() == [True, True]
    asked: list[int] = []

    def unknown_kid() -> bool:
        asked.append(1)
        return True

    keys._keys[0].unknown_kid = unknown_kid  # type: ignore[method-assign]
    link = WorkerLink(scene.wakeups, 1, tmp_path)
    scene.board.want(0)
    link.poke()
    assert scene.wakeups.take(scene.wakeups.keeper_fd)
    scene.services[0].poked()
    assert asked == [1] and list(scene.services[0].describe()) == ["main"]


def test_a_link_wakes_its_own_worker(tmp_path: Path) -> None:
    """What is listened for is the eventfd of the slot; after `ignore` nothing is called."""
    scene = Scene(tmp_path)

    async def scenario() -> list[int]:
        called: list[int] = []
        heard = asyncio.Event()
        links = [WorkerLink(scene.wakeups, slot, tmp_path) for slot in range(WORKERS)]

        def hear(slot: int) -> None:
            called.append(slot)
            heard.set()

        for slot, link in enumerate(links):
            link.listen(partial(hear, slot))
        os.eventfd_write(scene.wakeups.worker_fd(1), 1)
        await asyncio.wait_for(heard.wait(), 60.0)
        for link in links:
            link.ignore()
        scene.wakeups.poke_workers()
        for _ in range(3):  # turns of the loop, each of which looks at what can be read
            await asyncio.sleep(0)
        return called

    assert asyncio.run(scenario()) == [1]
