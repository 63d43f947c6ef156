"""Remote keys in one process: one attempt at a time, nobody waits for ever, nothing ends the task. The origin is a script here."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import threading
import time

import pytest
import uvloop

from lbjwt.errors import LbjwtError
from lbjwt.jwks import remote, store
from lbjwt.jwks.embedded import RemoteKeySource
from lbjwt.jwks.errors import JWKSFetchError, StoreError
from lbjwt.jwks.fetch import Fetched
from lbjwt.jwks.lifecycle import KeyLifecycle
from lbjwt.jwks.remote import RemoteKeys
from lbjwt.jwks.store import Envelope

PLACE = "https://issuer.example/jwks"
HOUR = 3600.0


class Ring:
    """As much of a key ring as is needed: built from a JSON list of names."""

    warnings = ()

    def __init__(self, document):
        try:
            self.names = json.loads(document)
        except ValueError:
            raise LbjwtError("not a key set") from None
        if not self.names:
            raise LbjwtError("no usable key")

    def __len__(self):
        return len(self.names)


class Origin:
    """Answers from a row, the last one for ever. An answer is a document, an exception, or something to wait for first."""

    identity = place = PLACE
    uri = PLACE
    max_bytes = 1000
    tag = None

    def __init__(self, *answers, max_age=None):
        self.answers = list(answers)
        self.fetches = self.discoveries = 0
        self.doubts = []
        self.heard = []
        self.max_age = max_age
        self.running = self.most = 0

    async def ask(self, *, doubtful=False):
        answer = self.answers[min(self.fetches, len(self.answers) - 1)]
        self.fetches += 1
        self.doubts.append(doubtful)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if callable(answer):
                answer = await answer()
            await asyncio.sleep(0)
        finally:
            self.running -= 1
        if isinstance(answer, BaseException):
            raise answer
        return Fetched(answer, max_age=self.max_age)

    def accepted(self, fetched):
        self.heard.append("accepted")

    def restored(self, etag):
        self.heard.append(("restored", etag))

    def refused(self):
        self.heard.append("refused")


class Stage:
    """Remote keys over a script, and what they told in order."""

    def __init__(self, *answers, path=None, max_age=None, **times):
        times = {"interval": 0.05, "floor": 0.01, "cooldown": 0.0, **times}
        self.origin = Origin(*answers, max_age=max_age)
        self.told = []
        self.lifecycle = KeyLifecycle(**times)
        self.keys = RemoteKeys(
            self.origin,
            self.lifecycle,
            check=Ring,
            path=path,
            on_started=lambda: self.told.append("started"),
            on_document=lambda envelope: self.told.append(json.loads(envelope.document)),
            on_withdrawn=lambda: self.told.append("withdrawn"),
            on_settled=lambda: self.told.append("settled"),
        )

    @contextlib.asynccontextmanager
    async def running(self):
        self.keys.start()
        try:
            yield self.keys
        finally:
            await self.keys.stop()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop; what is left running at its end fails the test."""

    def run(scenario):
        async def whole():
            result = await scenario
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return result

        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(whole())

    return run


async def until(condition):
    """Wait for a condition, five seconds at most."""
    async with asyncio.timeout(5.0):
        while not condition():
            await asyncio.sleep(0.002)


async def turns():
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_loading_is_one_attempt(run):
    """Before traffic: started, the document, settled; and a failure raises nothing."""
    stage = Stage(b'["a"]')
    run(stage.keys.load())
    assert stage.told == ["started", ["a"], "settled"]
    assert stage.lifecycle.has_keys
    assert stage.keys.ring.names == ["a"]
    assert (stage.keys.attempts, stage.keys.failures, stage.keys.fetches, stage.keys.documents) == (1, 0, 1, 1)
    stage = Stage(JWKSFetchError("nobody there"))
    run(stage.keys.load())
    assert stage.told == ["started", "settled"]
    assert not stage.lifecycle.has_keys
    assert (stage.keys.attempts, stage.keys.failures) == (1, 1)


def test_b3_keys_come_within_a_second_of_the_issuer(run, caplog):
    """Without any key it is asked again and again, and the log says once that requests get 503 meanwhile."""
    stage = Stage(*[JWKSFetchError("nobody there")] * 2, b'["a"]')

    async def scenario():
        await stage.keys.load()
        async with stage.running():
            await until(lambda: ["a"] in stage.told)

    with caplog.at_level(logging.INFO):
        run(scenario())
    assert [record.message for record in caplog.records] == [
        f"no keys from {PLACE}: nobody there; requests are answered with 503 until there are some",
        f"the keys from {PLACE} can be read again",
    ]


def test_b19_keys_are_refreshed_without_traffic(run):
    """Nobody asks for anything; a rotation arrives, and the same document is told again as confirmed."""
    stage = Stage(b'["a"]', b'["a"]', b'["b"]')

    async def scenario():
        await stage.keys.load()
        async with stage.running():
            await until(lambda: ["b"] in stage.told)

    run(scenario())
    documents = [told for told in stage.told if isinstance(told, list)]
    assert documents[:3] == [["a"], ["a"], ["b"]]
    assert stage.keys.documents == 2
    assert not any(stage.origin.doubts)


@pytest.mark.parametrize(
    "failure",
    [
        JWKSFetchError("x"),
        LbjwtError(""),
        b"<html>",
        b"[]",
        b"\xff\xfe",
        RecursionError("deep"),
        ValueError("hush"),
        KeyError("hush"),
        MemoryError(),
        OSError("hush"),
        asyncio.CancelledError(),
        TimeoutError(),
    ],
    ids=repr,
)
def test_b2_no_failure_takes_keys_away_or_ends_the_task(run, caplog, failure):
    """Whatever goes wrong, and be it a cancellation that nobody asked for: the last good keys stay, and the next good document is taken (K1)."""
    stage = Stage(b'["a"]', failure, failure, b'["b"]', interval=0.01)

    async def scenario():
        await stage.keys.load()
        async with stage.running():
            await until(lambda: stage.keys.failures)
            assert stage.lifecycle.has_keys
            await until(lambda: ["b"] in stage.told)

    run(scenario())
    assert stage.told[:3] == ["started", ["a"], "settled"]
    assert stage.told[3:7] == ["started", "settled", "started", "settled"]
    assert stage.origin.heard[:4] == ["accepted", "refused", "refused", "accepted"]
    assert stage.keys.failures == 2
    assert "hush" not in caplog.text
    assert "the keys in force stay" in caplog.text


def test_b4_a_thousand_unknown_key_ids_are_one_attempt(run):
    """All of them find the same attempt under way and learn of its end; no task is made for any."""
    stage = Stage(b'["a"]', b'["b"]', interval=100.0)

    async def scenario():
        await stage.keys.load()
        async with stage.running() as keys:
            tasks = len(asyncio.all_tasks())
            assert all(keys.unknown_kid() for _ in range(1000))
            assert len(asyncio.all_tasks()) == tasks
            await until(lambda: keys.attempts == 2)
            assert not keys.lifecycle.under_way

    run(scenario())
    assert stage.told == ["started", ["a"], "settled", "started", ["b"], "settled"]
    assert stage.origin.doubts == [False, True]
    assert stage.origin.most == 1


def test_b4_inside_the_cooldown_nobody_waits(run):
    """After any attempt unknown key ids start no other, whatever they are called; the time after which they do is told."""
    stage = Stage(b'["a"]', interval=100.0, cooldown=50.0)

    async def scenario():
        await stage.keys.load()
        async with stage.running() as keys:
            before = time.monotonic()
            assert not any(keys.unknown_kid() for _ in range(1000))
            assert 40 < keys.not_before - before <= 50
            await turns()

    run(scenario())
    assert stage.origin.fetches == 1


def test_b4_an_attempt_that_failed_is_forgotten_with_the_key_id(run):
    """A key id that came during a failure is fetched for again after the cool-down: nothing was recorded against it."""
    stage = Stage(b'["a"]', JWKSFetchError("x"), b'["a", "new"]', interval=100.0)

    async def scenario():
        await stage.keys.load()
        async with stage.running() as keys:
            assert keys.unknown_kid()
            await until(lambda: keys.failures == 1)
            assert keys.unknown_kid()
            await until(lambda: ["a", "new"] in stage.told)

    run(scenario())
    assert stage.origin.doubts == [False, True, True]


def test_a_refresh_that_happens_anyway_settles_those_who_wait(run):
    """An unknown key id during a scheduled attempt starts none of its own and is told of that one's end."""
    gate = asyncio.Event()

    async def slow():
        await gate.wait()
        return b'["b"]'

    stage = Stage(b'["a"]', slow, b'["c"]', interval=0.01, ceiling=100.0)
    stage.origin.max_age = None

    async def scenario():
        await stage.keys.load()
        async with stage.running() as keys:
            await until(lambda: keys.lifecycle.under_way)
            stage.origin.max_age = 100.0
            settled = stage.told.count("settled")
            assert keys.unknown_kid()
            assert keys.not_before <= time.monotonic()
            assert stage.told.count("settled") == settled
            gate.set()
            await until(lambda: stage.told.count("settled") == settled + 1)
            await turns()

    run(scenario())
    assert stage.told[-3:] == ["started", ["b"], "settled"]
    assert stage.origin.doubts == [False, False]


def test_before_the_start_and_after_the_stop_nobody_waits(run):
    """Nothing would settle them."""
    stage = Stage(b'["a"]')

    async def scenario():
        assert not stage.keys.unknown_kid()
        async with stage.running() as keys:
            await until(lambda: keys.attempts)
        assert not keys.unknown_kid()

    run(scenario())


def test_stopping_ends_an_attempt_under_way_and_tells_those_who_wait(run):
    """`stop` does not wait for a server that hangs, and may be called again; so may `start`."""

    async def hang():
        await asyncio.sleep(3600)

    stage = Stage(hang, b'["a"]')

    async def scenario():
        stage.keys.start()
        stage.keys.start()
        await until(lambda: stage.origin.running)
        async with asyncio.timeout(2.0):
            await stage.keys.stop()
            await stage.keys.stop()
        assert stage.told == ["started", "settled"]
        assert not stage.lifecycle.under_way
        assert stage.keys.attempts == 0
        async with stage.running():
            await until(lambda: ["a"] in stage.told)

    run(scenario())


def test_stopping_before_an_attempt_was_made_tells_those_who_wait(run):
    """Asked for and stopped in the same moment."""
    stage = Stage(b'["a"]', interval=100.0)

    async def scenario():
        await stage.keys.load()
        stage.keys.start()
        await asyncio.sleep(0)
        assert stage.keys.unknown_kid()
        await stage.keys.stop()

    run(scenario())
    assert stage.told == ["started", ["a"], "settled", "settled"]
    assert not stage.lifecycle.under_way


def test_a_load_that_is_cancelled_leaves_no_attempt_behind(run):
    """A start that is given up while the issuer hangs."""

    async def hang():
        await asyncio.sleep(3600)

    stage = Stage(hang, b'["a"]')

    async def scenario():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await stage.keys.load()
        assert not stage.lifecycle.under_way
        await stage.keys.load()

    run(scenario())
    assert stage.told[-2:] == [["a"], "settled"]


def test_callbacks_that_fail_end_nothing(run, caplog):
    """The other side's mistakes are logged without their text; a document that could not be told is a failure and told again."""
    calls = []

    def fail(name):
        def callback(*arguments):
            calls.append(name)
            if calls.count(name) < 3:
                raise ValueError("hush")

        return callback

    origin = Origin(b'["a"]')
    keys = RemoteKeys(
        origin,
        KeyLifecycle(interval=0.01, floor=0.01),
        check=Ring,
        on_started=fail("started"),
        on_document=fail("document"),
        on_settled=fail("settled"),
    )

    async def scenario():
        keys.start()
        await until(lambda: calls.count("document") >= 3)
        await keys.stop()

    run(scenario())
    assert keys.failures == 2
    assert "hush" not in caplog.text
    assert "ValueError" in caplog.text


# -- too old ------------------------------------------------------------------------------------------------------------------------


def test_keys_that_cannot_be_confirmed_are_withdrawn_and_come_back(run, caplog):
    """After `max_stale` of failures they are withdrawn, once; the first good document brings them back, be it the same."""
    stage = Stage(b'["a"]', JWKSFetchError("x"), interval=0.02, max_stale=0.1)

    async def scenario():
        await stage.keys.load()
        async with stage.running():
            await until(lambda: "withdrawn" in stage.told)
            assert not stage.lifecycle.has_keys
            stage.origin.answers = [b'["a"]']
            await until(lambda: stage.told[-2:] == [["a"], "settled"])

    run(scenario())
    assert stage.told.count("withdrawn") == stage.keys.withdrawals == 1
    assert "withdrawn" in caplog.text


def test_keys_are_withdrawn_while_an_attempt_is_not_due(run):
    """The end of their time is a time to wake of its own."""
    stage = Stage(b'["a"]', interval=100.0, max_stale=1000.0)

    async def scenario():
        await stage.keys.load()
        stage.lifecycle.shelf_life = stage.lifecycle.shelf_life.of(time.monotonic(), time.time(), time.time(), 0.05)
        stage.origin.answers = [JWKSFetchError("x")]
        async with stage.running():
            await until(lambda: "withdrawn" in stage.told)

    run(scenario())


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_k13_a_set_clock_loses_no_keys_and_moves_no_timer(run, monkeypatch, jump):
    """The wall clock jumps by an hour and back while the issuer is down and keys are believed for half an hour."""
    stage = Stage(b'["a"]', JWKSFetchError("x"), interval=0.05, max_stale=1800.0)
    real = time.time
    shift = [0.0]
    monkeypatch.setattr(remote.time, "time", lambda: real() + shift[0])

    async def scenario():
        await stage.keys.load()
        async with stage.running() as keys:
            shift[0] = jump
            await until(lambda: keys.failures >= 3)
            shift[0] = 0.0
            await until(lambda: keys.failures >= 5)
            assert keys.lifecycle.has_keys

    run(scenario())
    assert "withdrawn" not in stage.told


# -- the stored copy ------------------------------------------------------------------------------------------------------------------


def stored(path, document='["old"]', *, age=60.0, place=PLACE, good_for=86_400.0):
    fetched_at = time.time() - age
    store.write(path, Envelope(place, fetched_at, fetched_at + good_for, document, '"tag"'))


def test_a_good_document_is_stored_before_it_is_told(run, tmp_path):
    """Whoever is told reads the file and finds it there, with its times; a confirmation moves them."""
    path = tmp_path / "main.json"
    seen = []
    origin = Origin(b'["a"]')
    keys = RemoteKeys(
        origin,
        KeyLifecycle(interval=0.01, floor=0.01, max_stale=1000.0),
        check=Ring,
        path=path,
        on_document=lambda envelope: seen.append((envelope, store.read(path))),
    )

    async def scenario():
        await keys.load()
        keys.start()
        await until(lambda: len(seen) >= 2)
        await keys.stop()

    run(scenario())
    assert all(told == found for told, found in seen)
    first, second = seen[0][1], seen[1][1]
    assert (first.place, first.document) == (PLACE, '["a"]')
    assert first.good_until == first.fetched_at + 1000.0
    assert second.fetched_at > first.fetched_at


def test_a_bad_document_is_not_stored(run, tmp_path):
    """The copy of the last good one survives every bad one (K6)."""
    path = tmp_path / "main.json"
    stage = Stage(b'["a"]', b"<html>", b"[]", JWKSFetchError("x"), path=path, interval=0.01)

    async def scenario():
        await stage.keys.load()
        async with stage.running() as keys:
            await until(lambda: keys.failures >= 3)

    run(scenario())
    assert store.read(path).document == '["a"]'


def test_a_start_from_the_copy_asks_nobody_and_then_asks_at_once(run, tmp_path):
    """The issuer hangs: keys are there all the same, with the age they have; the first thing after the start is to ask."""
    path = tmp_path / "main.json"
    stored(path)

    async def hang():
        await asyncio.sleep(3600)

    stage = Stage(hang, path=path)

    async def scenario():
        async with asyncio.timeout(2.0):
            await stage.keys.load()
        assert stage.told == [["old"]]
        assert stage.origin.fetches == 0
        assert stage.origin.heard == [("restored", '"tag"')]
        assert abs(time.time() - 60 - stage.keys.last_success) < 30
        async with stage.running():
            await until(lambda: stage.origin.running)
            assert stage.keys.unknown_kid()

    run(scenario())


def test_the_copy_is_replaced_by_what_was_fetched(run, tmp_path):
    """A new document after a start from the copy is a new ring, the same one is none."""
    path = tmp_path / "main.json"
    stored(path)
    stage = Stage(b'["old"]', b'["new"]', path=path)

    async def scenario():
        await stage.keys.load()
        async with stage.running():
            await until(lambda: ["new"] in stage.told)

    run(scenario())
    assert stage.keys.documents == 1
    assert store.read(path).document == '["new"]'


UNUSABLE = {
    "another place": {"place": "https://evil.example/jwks"},
    "too old": {"age": 90_000.0},
    "past good_until": {"age": 100.0, "good_for": 99.0},
    "from the future": {"age": -90_000.0},
    "no key set": {"document": "<html>"},
}


@pytest.mark.parametrize("why", [*UNUSABLE, "truncated", "writable by others"])
def test_b1_a_copy_that_must_not_be_used_is_no_key(run, tmp_path, why, caplog):
    """Without the issuer there are no keys then, and the log says why."""
    path = tmp_path / "main.json"
    stored(path, **UNUSABLE.get(why, {}))
    if why == "truncated":
        os.truncate(path, 50)
    if why == "writable by others":
        path.chmod(0o666)
    stage = Stage(JWKSFetchError("nobody there"), path=path)
    run(stage.keys.load())
    assert stage.told == ["started", "settled"]
    assert not stage.lifecycle.has_keys
    assert "no stored keys" in caplog.text


def test_a_full_disk_takes_no_keys_away(run, tmp_path, monkeypatch, caplog):
    """The process has its keys, the file comes when it can, and those who read it are told again then."""
    path = tmp_path / "gone" / "main.json"
    monkeypatch.setattr(remote, "STORE_RETRY", 0.02)
    stage = Stage(b'["a"]', path=path, interval=100.0)

    async def scenario():
        await stage.keys.load()
        assert stage.told == ["started", ["a"], "settled"]
        assert stage.keys.store_failures == 1
        async with stage.running() as keys:
            await until(lambda: keys.store_failures >= 3)
            path.parent.mkdir()
            await until(lambda: stage.told[-1] == ["a"])
            assert store.read(path).document == '["a"]'

    run(scenario())
    assert stage.origin.fetches == 1
    assert sum("are not stored" in record.message for record in caplog.records) == 1


def test_stopping_waits_for_the_disk(run, tmp_path, monkeypatch):
    """The copy is written to its end: the next writer of the file, in whatever process, does not meet a late one."""
    path = tmp_path / "main.json"
    go, entered, write = threading.Event(), threading.Event(), store.write

    def slow(path, envelope):
        entered.set()
        go.wait(5.0)
        write(path, envelope)

    monkeypatch.setattr(store, "write", slow)
    stage = Stage(b'["a"]', path=path)

    async def scenario():
        stage.keys.start()
        await until(entered.is_set)
        asyncio.get_running_loop().call_later(0.02, go.set)
        await stage.keys.stop()
        assert store.read(path).document == '["a"]'

    run(scenario())
    assert stage.told == ["started", "settled"]


def test_stopping_during_a_write_that_fails_is_quiet(run, tmp_path, monkeypatch, caplog):
    """The failure of a copy that nobody needs any more is nobody's business."""
    go, entered = threading.Event(), threading.Event()

    def slow(path, envelope):
        entered.set()
        go.wait(5.0)
        raise StoreError("full")

    monkeypatch.setattr(store, "write", slow)
    stage = Stage(b'["a"]', path=tmp_path / "main.json")

    async def scenario():
        stage.keys.start()
        await until(entered.is_set)
        asyncio.get_running_loop().call_later(0.02, go.set)
        await stage.keys.stop()
        gc.collect()

    run(scenario())
    assert caplog.records == []


def test_a_hundred_odd_keys_are_a_few_lines(run, caplog):
    """Warnings about one document are bounded; the rest is counted."""
    stage = Stage(b'["a"]')
    ring = Ring(b'["a"]')
    ring.warnings = tuple(f"key {number} was left out" for number in range(100))
    stage.keys._check = lambda document: ring
    run(stage.keys.load())
    assert len(caplog.records) == 11
    assert caplog.records[-1].message == f"keys from {PLACE}: and 90 more such"


# -- for people ---------------------------------------------------------------------------------------------------------------------


def test_the_description_says_how_it_is(run):
    """JSON, with the last failure in words and no key id; what is not known is null."""
    stage = Stage(b'["kid-1"]', JWKSFetchError("nobody there"), interval=0.02)
    fresh = stage.keys.describe()
    assert (fresh["state"], fresh["last_success"], fresh["last_failure"], fresh["good_until"]) == (
        "none",
        None,
        None,
        None,
    )

    async def scenario():
        await stage.keys.load()
        async with stage.running() as keys:
            await until(lambda: keys.failures)
            return keys.describe()

    told = run(scenario())
    assert json.loads(json.dumps(told)) == told
    assert "kid-1" not in json.dumps(told)
    assert (told["place"], told["keys_from"]) == (PLACE, PLACE)
    assert (told["state"], told["last_failure"], told["attempts"], told["failures"]) == (
        "stale",
        "nobody there",
        2,
        1,
    )
    assert abs(told["last_success"] - time.time()) < 60
    assert told["good_until"] == told["last_success"] + 86_400.0
    assert 0 < told["next_fetch"] < 2


# -- in the process that verifies ------------------------------------------------------------------------------------------------------


class Embedded:
    def __init__(self, *answers, **times):
        self.origin = Origin(*answers)
        self.published = []
        self.reads = []
        self.keys = []
        self.settled = 0
        self.source = RemoteKeySource(
            self.origin,
            KeyLifecycle(**{"interval": 0.02, "floor": 0.01, "cooldown": 0.0, **times}),
            build=Ring,
            publish=lambda ring: self.published.append(ring and ring.names),
            on_read=self.reads.append,
            on_keys=lambda count, fetched_at: self.keys.append(count),
            on_settled=self._count,
        )

    def _count(self):
        self.settled += 1


def test_an_embedded_source_publishes_what_is_new(run):
    """One ring a document, the gauges at every success, reads by their result."""
    stage = Embedded(b'["a"]', b'["a"]', JWKSFetchError("x"), b'["b", "c"]', interval=0.01)

    async def scenario():
        source = stage.source
        assert not source.loaded
        await source.load()
        assert source.loaded
        source.start()
        await until(lambda: len(stage.published) == 2)
        await source.stop()

    run(scenario())
    assert stage.published == [["a"], ["b", "c"]]
    assert stage.reads[:3] == [True, True, False]
    assert stage.keys[:3] == [1, 1, 2]
    assert stage.settled >= 3


def test_an_attempt_that_was_given_up_is_no_read(run):
    """Stopped while the issuer hangs: who waits is told, and nothing is counted."""

    async def hang():
        await asyncio.sleep(3600)

    stage = Embedded(b'["a"]', hang)

    async def scenario():
        await stage.source.load()
        stage.source.start()
        await until(lambda: stage.origin.running)
        await stage.source.stop()

    run(scenario())
    assert stage.settled == 2
    assert stage.reads == [True]


def test_an_embedded_source_withdraws_and_fetches_for_unknown_key_ids(run):
    """None is published when the keys are too old, and the same document is published again afterwards."""
    stage = Embedded(b'["a"]', JWKSFetchError("x"), max_stale=0.05)

    async def scenario():
        await stage.source.load()
        stage.source.start()
        await until(lambda: len(stage.published) == 2)
        assert not stage.source.loaded
        stage.origin.answers = [b'["a"]']
        assert stage.source.unknown_kid() in (True, False)
        await until(lambda: len(stage.published) >= 3)
        await stage.source.stop()

    run(scenario())
    assert stage.published[:3] == [["a"], None, ["a"]]
    assert stage.keys[:2] == [1, 0]
