"""What a worker knows of keys that are fetched elsewhere: refresh requests, attempts and cool-downs on the board, key sets in the feed."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from lbjwt.assembly.issuers import IssuerInstance, issuer_instances, new_verifier
from lbjwt.assembly.keys import FetchedKeys, new_feed, worker_sources
from lbjwt.assembly.sources import stored_keys
from lbjwt.keys.feed import KeyFeed, StoredKeySet
from lbjwt.keys.worker import WorkerKeys
from lbjwt.observe._board import Board
from tests.unit.assembly_cases import configuration, load
from tests.unit.test_assembly_keys import KEYS


def test_the_stored_keys_of_an_issuer_that_left_are_deleted(tmp_path: Path) -> None:
    """From the state directory, so that the next start does not trust them, and from the feed; those of the other issuer stay."""

    def instances(*names: str) -> list[IssuerInstance]:
        return issuer_instances(
            configuration(
                "\n".join(
                    f"  {name}: {{issuer: https://{name}.test, audiences: [api], remote_jwks: {{uri: 'https://{name}.test/k'}}}}"
                    for name in names
                )
            )
        )

    async def scenario() -> None:
        both = instances("stays", "leaves")
        files = [stored_keys(tmp_path, instance) for instance in both]
        feed = new_feed(both, None)
        keys = FetchedKeys(both, Board(1, 1, 2), feed, tmp_path, lambda: None)
        for instance, file in zip(both, files, strict=True):
            kept = StoredKeySet(f"https://{instance.name}.test/k", 1.0, 2.0, '{"keys": []}')
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(kept.encoded())
            feed.put(instance.index, kept)
        await keys.reload(instances("stays"))
        assert [file.exists() for file in files] == [True, False]
        assert feed.get(both[0].index) is not None
        assert feed.get(both[1].index) is None

    asyncio.run(scenario())


class Link:
    """In the place of a control process: its feed, and how often it was notified."""

    def __init__(self, feed: KeyFeed) -> None:
        self.directory: Path | None = None
        self.feed = feed
        self.notified = 0

    def notify(self) -> None:
        self.notified += 1

    def listen(self, notified: Callable[[], None]) -> None:
        pass

    def ignore(self) -> None:
        pass


class Worker:
    """Keys of a worker, and by hand what the control process writes."""

    def __init__(self) -> None:
        made = configuration(
            f"  file: {{issuer: https://f.test, audiences: [api], jwks: {orjson.dumps({'keys': [KEYS[0].jwk()]}).decode()}}}\n"
            "  main: {issuer: https://a.test, audiences: [api], remote_jwks: {uri: 'https://k.test/'}}"
        )
        self.instances = issuer_instances(made)
        self.board = Board(1, 1, 2)
        self.link = Link(new_feed(self.instances, None))
        self.verifier = new_verifier(made, self.instances)
        self.restart()

    def restart(self) -> None:
        self.keys = WorkerKeys(self.board, self.link)
        sources = worker_sources(self.instances, {}, self.verifier, self.board, self.link.feed)
        for source in sources.values():
            source.load(time.monotonic(), time.time())
        self.keys.use(sources)
        self.settled: list[tuple[int, int]] = []
        self.keys.settled = lambda issuer: self.settled.append((issuer, self.count))

    async def load(self) -> None:
        await load(self.instances, self.verifier, self.board, self.link, self.keys)

    @property
    def count(self) -> int:
        """Keys in force."""
        ring = self.verifier.keys_of(1)
        return 0 if ring is None else len(ring)

    def store(self, *keys: int) -> None:
        text = orjson.dumps({"keys": [KEYS[at].jwk() for at in keys]}).decode()
        now = time.time()
        self.link.feed.put(1, StoredKeySet("https://k.test/", now, now + 3600, text))

    def begins(self) -> None:
        self.board.add_source(1, "begun")

    def ends(self, cooldown: float = 60.0) -> None:
        self.board.add_source(1, "attempts")
        self.board.set_source_time(1, "not_before", time.monotonic() + cooldown)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_an_unknown_key_notifies_the_control_process_once_a_fetch(worker: Worker) -> None:
    """Asked for on the board and notified; while the fetch is under way others only wait for it, and in the cool-down nobody does (THREATS B4)."""
    assert worker.keys.request_refresh(1) is True
    assert (worker.board.wanted(1), worker.link.notified) == (1, 1)
    worker.begins()
    for _ in range(5):
        assert worker.keys.request_refresh(1) is True
    assert (worker.board.wanted(1), worker.link.notified) == (1, 1)
    worker.ends()
    worker.keys.notified()
    assert worker.keys.request_refresh(1) is False and worker.link.notified == 1
    worker.board.set_source_time(1, "not_before", time.monotonic() - 1)
    assert worker.keys.request_refresh(1) is True and worker.link.notified == 2


def test_a_source_of_its_own_is_never_asked_for(worker: Worker) -> None:
    """A file says what it says: no key of it is a moment away."""
    assert worker.keys.request_refresh(0) is False and worker.link.notified == 0


def test_those_who_wait_are_judged_with_the_keys_that_came(worker: Worker) -> None:
    """The keys are taken first, then the requests that wait are judged, once an attempt, whatever else the notification is for."""
    worker.begins()
    worker.store(0, 1)
    worker.keys.notified()
    assert worker.settled == [] and worker.count == 2, "the keys are there, the attempt is not over yet"
    worker.ends()
    worker.keys.notified()
    assert worker.settled == [(1, 2)]
    worker.keys.notified()
    assert worker.settled == [(1, 2)]
    worker.begins()
    worker.ends()
    worker.keys.notified()
    assert worker.settled == [(1, 2)] * 2, "also an attempt that brought nothing"


def test_b3_news_that_is_on_its_way_is_waited_for(worker: Worker) -> None:
    """The attempt is over, its cool-down has begun, the worker has not looked yet: who asks in this moment waits, and wakes nobody (THREATS B3)."""
    worker.begins()
    worker.store(0)
    worker.ends()
    assert worker.count == 0 and worker.keys.request_refresh(1) is True
    assert (worker.board.wanted(1), worker.link.notified) == (0, 0)
    worker.keys.notified()
    assert worker.settled == [(1, 1)] and worker.keys.request_refresh(1) is False


def test_what_happened_before_a_worker_is_no_news_to_it(worker: Worker) -> None:
    """One that takes the place of another in mid-life waits for no attempt that is long over."""
    for _ in range(3):
        worker.begins()
        worker.ends()
    worker.restart()
    assert worker.keys.request_refresh(1) is False
    worker.keys.notified()
    assert worker.settled == []


def test_a_worker_waits_for_the_first_attempt_of_the_control_process(worker: Worker) -> None:
    """Loading ends when the control process has tried once, with keys or without; with a key set in the feed it ends at once."""

    async def scenario() -> None:
        loading = asyncio.ensure_future(worker.load())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(loading), 0.1)
        worker.begins()
        worker.ends()
        worker.keys.notified()
        await asyncio.wait_for(loading, 5.0)

    asyncio.run(scenario())
    worker.board = Board(1, 1, 2)
    worker.store(0)
    worker.restart()
    asyncio.run(asyncio.wait_for(worker.load(), 5.0))
    assert worker.count == 1
