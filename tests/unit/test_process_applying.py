"""What a child does with the configurations that come: of several only the last, one at a time, and a failure is told."""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any

import pytest

from lbjwt.config.model import Configuration
from lbjwt.errors import ConfigurationError
from lbjwt.keys.feed import KeyFeed
from lbjwt.observe._board import Board
from lbjwt.observe.rows import RowNumbers
from lbjwt.process.applying import Applier
from lbjwt.process.channel import Channel, sealed_memory
from lbjwt.process.generation import GENERATION, Generation, packed


def configuration(realm: str) -> Configuration:
    return Configuration.model_validate(
        {
            "listeners": [{"address": "127.0.0.1:0"}],
            "issuers": {"main": {"any_issuer": True, "any_audience": True, "jwks_file": "unused.json"}},
            "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:1"}]}},
            "realm": realm,
        }
    )


class Stage:
    """A child with one slot, and the supervisor's end of its channel."""

    def __init__(self) -> None:
        self.ours, theirs = Channel.pair()
        self.board, self.feed = Board(1, 1), KeyFeed({})
        self.applied: list[str] = []
        self.others: list[tuple[str, bytes]] = []
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.error: BaseException | None = None
        log = logging.getLogger("lbjwt.worker")
        self.applier = Applier(theirs, self.board, self.feed, self.apply, log, lambda *said: self.others.append(said))
        self.applier.start()
        self._theirs = theirs

    async def close(self) -> None:
        await self.applier.stop()
        self.ours.close()
        self._theirs.close()

    async def apply(self, generation: Generation) -> None:
        self.begun.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        assert generation.configuration is not None
        self.applied.append(generation.configuration.realm)

    def send(self, number: int, realm: str, feeds: list[tuple[dict[int, int], int]] = []) -> None:  # noqa: B006
        body = packed(configuration(realm), None, RowNumbers({}, {"main": 3}, {}))
        facts = {"number": number, "sockets": [], "feeds": [longest for longest, _ in feeds]}
        assert self.ours.send(GENERATION, facts, body=body, descriptors=[fd for _, fd in feeds])
        os.close(body)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.005)


def test_catching_up_ends_when_what_came_before_is_in_force():
    """Also when nothing came, and when it could not be applied."""

    async def scenario() -> list[int]:
        stage = Stage()
        await stage.applier.catch_up()
        stage.send(1, "one")
        catching_up = asyncio.ensure_future(stage.applier.catch_up())
        await stage.begun.wait()
        assert not catching_up.done()
        stage.go.set()
        await catching_up
        found = [stage.board.generation(0)]
        stage.error = ConfigurationError("no")
        stage.send(2, "two")
        await stage.applier.catch_up()
        await stage.close()
        return [*found, stage.board.failed_generation(0)]

    assert asyncio.run(scenario()) == [1, 2]


def test_of_several_the_last_is_applied():
    """What came while one was being applied waits, and only the last of it counts."""

    async def scenario() -> Stage:
        stage = Stage()
        stage.send(1, "one")
        await stage.begun.wait()
        for number, realm in ((2, "two"), (3, "three"), (4, "four")):
            stage.send(number, realm)
        assert stage.ours.send("other", {})
        await stage.until(lambda: stage.others)
        assert stage.board.generation(0) == 0
        stage.go.set()
        await stage.until(lambda: stage.board.generation(0) == 4)
        await stage.close()
        return stage

    assert asyncio.run(scenario()).applied == ["one", "four"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigurationError("no rows are left"), "no rows are left"),
        (OSError(24, "Too many open files"), "Too many open files"),
        (RuntimeError("a fault"), "RuntimeError: a fault"),
    ],
)
def test_a_failure_is_on_the_board_and_in_the_log(error: Exception, told: str, caplog: pytest.LogCaptureFixture):
    """The old configuration stays in force; the next one is applied."""

    async def scenario() -> Stage:
        stage = Stage()
        stage.go.set()
        stage.error = error
        stage.send(1, "one")
        await stage.until(lambda: stage.board.failed_generation(0) == 1)
        assert stage.board.generation(0) == 0
        stage.error = None
        stage.send(2, "two")
        await stage.until(lambda: stage.board.generation(0) == 2)
        await stage.close()
        return stage

    assert asyncio.run(scenario()).applied == ["two"]
    assert told in caplog.text


def test_memory_for_keys_is_attached_even_when_its_configuration_is_skipped():
    """It is sent once, and the last configuration needs it too."""

    async def scenario() -> bool:
        stage, supervisor = Stage(), KeyFeed({})
        stage.send(1, "one")
        await stage.begun.wait()
        fd = supervisor.add({5: 1000})
        stage.send(2, "two", [({5: 1000}, fd)])
        stage.send(3, "three")
        os.close(fd)
        stage.go.set()
        await stage.until(lambda: stage.board.generation(0) == 3)
        await stage.close()
        assert stage.applied == ["one", "three"]
        return 5 in stage.feed

    assert asyncio.run(scenario())


def test_other_messages_bring_their_body():
    """As the answer to a reload that the control process asked for."""

    async def scenario() -> list[tuple[str, bytes]]:
        stage = Stage()
        body = sealed_memory(b"answer")
        assert stage.ours.send("reloaded", {}, body=body)
        os.close(body)
        await stage.until(lambda: stage.others)
        await stage.close()
        return stage.others

    assert asyncio.run(scenario()) == [("reloaded", b"answer")]
