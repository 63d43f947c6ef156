"""How a worker and its keeper talk about keys that are not there: wishes, attempts and cool-downs on the board, documents on disk."""

import asyncio
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from lbjwt.assembly.issuers import issuer_instances, new_verifier
from lbjwt.assembly.keys import KeeperKeys, SharedKeys, stored_keys
from lbjwt.jwks.store import Envelope, write
from lbjwt.observe._board import Board
from tests.unit.assembly_cases import configuration
from tests.unit.test_assembly_keys import KEYS, Link, remote


class Worker:
    """Keys of a worker, and by hand what its keeper writes."""

    def __init__(self, directory: Path) -> None:
        (directory / "keys").mkdir(exist_ok=True)
        made = configuration(
            f"  file: {{issuer: https://f.test, audiences: [api], jwks: {orjson.dumps({'keys': [KEYS[0].jwk()]}).decode()}}}\n"
            "  main: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'https://k.test/'}}"
        )
        self.instances = issuer_instances(made)
        self.board = Board(1, 1, 2)
        self.link = Link(directory)
        self.verifier = new_verifier(made, self.instances)
        self.restart()

    def restart(self) -> None:
        self.keys = SharedKeys(self.instances, self.verifier, self.board, self.link)
        self.settled: list[tuple[int, int]] = []
        self.keys.settled = lambda issuer: self.settled.append((issuer, self.count))

    @property
    def count(self) -> int:
        """Keys in force."""
        ring = self.verifier.keys_of(1)
        return 0 if ring is None else len(ring)

    def store(self, *keys: int) -> None:
        text = orjson.dumps({"keys": [KEYS[at].jwk() for at in keys]}).decode()
        now = time.time()
        place = "https://k.test/"
        write(stored_keys(self.link.directory, self.instances[1]), Envelope(place, now, now + 3600, text))

    def begins(self) -> None:
        self.board.add_source(1, "begun")

    def ends(self, cooldown: float = 60.0) -> None:
        self.board.add_source(1, "attempts")
        self.board.set_source_time(1, "not_before", time.monotonic() + cooldown)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def test_an_unknown_key_wakes_the_keeper_once_a_fetch(worker: Worker) -> None:
    """Asked for on the board and poked; while the fetch is under way others only wait for it, and in the cool-down nobody does (THREATS B4)."""
    assert worker.keys.ask(1) is True
    assert (worker.board.wanted(1), worker.link.pokes) == (1, 1)
    worker.begins()
    for _ in range(5):
        assert worker.keys.ask(1) is True
    assert (worker.board.wanted(1), worker.link.pokes) == (1, 1)
    worker.ends()
    worker.keys.poked()
    assert worker.keys.ask(1) is False and worker.link.pokes == 1
    worker.board.set_source_time(1, "not_before", time.monotonic() - 1)
    assert worker.keys.ask(1) is True and worker.link.pokes == 2


def test_a_source_of_its_own_is_never_asked_for(worker: Worker) -> None:
    """A file says what it says: no key of it is a moment away."""
    assert worker.keys.ask(0) is False and worker.link.pokes == 0


def test_those_who_wait_are_judged_with_the_keys_that_came(worker: Worker) -> None:
    """When the keeper pokes, the file is read first, then they are told, once an attempt, whatever else it pokes for."""
    worker.begins()
    worker.store(0, 1)
    worker.keys.poked()
    assert worker.settled == [] and worker.count == 2, "the keys are there, the attempt is not over yet"
    worker.ends()
    worker.keys.poked()
    assert worker.settled == [(1, 2)]
    worker.keys.poked()
    assert worker.settled == [(1, 2)]
    worker.begins()
    worker.ends()
    worker.keys.poked()
    assert worker.settled == [(1, 2)] * 2, "also an attempt that brought nothing"


def test_b3_news_that_is_on_its_way_is_waited_for(worker: Worker) -> None:
    """The attempt is over, its cool-down has begun, the worker has not looked yet: who asks in this moment waits, and wakes nobody (THREATS B3)."""
    worker.begins()
    worker.store(0)
    worker.ends()
    assert worker.count == 0 and worker.keys.ask(1) is True
    assert (worker.board.wanted(1), worker.link.pokes) == (0, 0)
    worker.keys.poked()
    assert worker.settled == [(1, 1)] and worker.keys.ask(1) is False


def test_what_happened_before_a_worker_is_no_news_to_it(worker: Worker) -> None:
    """One that takes the place of another in mid-life waits for no attempt that is long over."""
    for _ in range(3):
        worker.begins()
        worker.ends()
    worker.restart()
    assert worker.keys.ask(1) is False
    worker.keys.poked()
    assert worker.settled == []


def test_a_worker_waits_for_the_first_attempt_of_its_keeper(worker: Worker) -> None:
    """Loading ends when the keeper has tried once, with keys or without; with a stored copy it ends at once."""

    async def scenario() -> None:
        loading = asyncio.ensure_future(worker.keys.load())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(loading), 0.1)
        worker.begins()
        worker.ends()
        worker.keys.poked()
        await asyncio.wait_for(loading, 5.0)

    asyncio.run(scenario())
    worker.board = Board(1, 1, 2)
    worker.store(0)
    worker.restart()
    asyncio.run(asyncio.wait_for(worker.keys.load(), 5.0))
    assert worker.count == 1


class Fetches:
    """A keeper's keys whose attempts are ended by hand."""

    def __init__(self, tmp_path: Path) -> None:
        self.board = Board(2, 1, 1)
        self.told = 0
        made = remote()
        self.keeper = KeeperKeys(issuer_instances(made), self.board, tmp_path, self._tell)
        self.remote = self.keeper._keys[0]
        self.answers: list[bool] = []
        self.remote.unknown_kid = lambda: self.answers.pop(0)  # type: ignore[method-assign]

    def _tell(self) -> None:
        self.told += 1

    def want(self, slot: int) -> None:
        self.board.attach(slot)
        self.board.want(0)
        self.board.attach(2)

    @property
    def words(self) -> dict[str, Any]:
        return self.board.source_words(0)


def test_wishes_of_all_workers_are_one_question(tmp_path: Path) -> None:
    """However many wished since the last look, the source is asked once; without a wish never; workers see the end of what began."""
    made = Fetches(tmp_path)
    made.answers = [True]
    for slot in (0, 1, 0):
        made.want(slot)
    made.keeper.poked()
    made.keeper.poked()
    assert made.answers == [] and made.told == 0
    made.keeper._started(0)
    assert (made.words["begun"], made.words["attempts"]) == (1, 0)
    made.keeper._settled(0)
    assert (made.words["begun"], made.words["attempts"], made.words["fetches"], made.told) == (1, 1, 1, 1)


def test_b4_a_wish_in_the_cool_down_is_answered_at_once(tmp_path: Path) -> None:
    """The worker could not know; whoever waits is told that it is over, and no fetch is counted (THREATS B4)."""
    made = Fetches(tmp_path)
    made.answers = [False]
    made.want(1)
    made.keeper.poked()
    assert (made.words["begun"], made.words["attempts"], made.words["fetches"], made.told) == (1, 1, 0, 1)


def test_what_a_dead_keeper_began_ends_with_the_next_attempt(tmp_path: Path) -> None:
    """Two attempts were begun and never ended: after the next one nothing is under way, and fetches count what was made."""
    made = Fetches(tmp_path)
    for _ in range(3):
        made.keeper._started(0)
    made.keeper._settled(0)
    assert (made.words["begun"], made.words["attempts"], made.words["fetches"]) == (3, 3, 1)


def test_wishes_of_before_are_not_those_of_now(tmp_path: Path) -> None:
    """A keeper that takes the place of another asks for no key that somebody wanted long ago."""
    made = Fetches(tmp_path)
    made.want(0)
    again = KeeperKeys(issuer_instances(remote()), made.board, tmp_path, made._tell)
    again._keys[0].unknown_kid = lambda: pytest.fail("asked")  # type: ignore[method-assign]
    again.poked()
