"""Remote keys in one process: one attempt at a time, nobody waits for ever, nothing ends the task."""

import asyncio
import json
import logging
import time

import pytest

from lbjwt.errors import LbjwtError
from lbjwt.keys import remote
from lbjwt.keys.errors import JWKSFetchError
from tests.unit.jwks_script import LOOPS, PLACE, Stage, runner, turns, until

HOUR = 3600.0


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop."""
    return runner(request.param)


def test_the_first_attempt_begins_at_the_start(run):
    """Started, the document, settled, and the board has the numbers; a failure settles, too."""

    async def scenario(stage):
        async with stage.running():
            return stage.board.source_words(0), stage.told[:], stage.lifecycle.has_keys

    words, told, has_keys = run(scenario(Stage(b'["a"]', interval=100.0)))
    assert (told, has_keys) == (["started", ["a"], "settled"], True)
    assert (words["begun"], words["attempts"], words["fetches"], words["failures"]) == (1, 1, 1, 0)
    assert abs(words["last_success"] - time.time()) < 60
    words, told, has_keys = run(scenario(Stage(JWKSFetchError("nobody there"), interval=100.0)))
    assert (told, has_keys) == (["started", "settled"], False)
    assert (words["begun"], words["attempts"], words["fetches"], words["failures"]) == (1, 1, 1, 1)


def test_b3_keys_come_within_a_second_of_the_issuer(run, caplog):
    """Without any key it is asked again and again, and the log says once that requests get 503 meanwhile."""
    stage = Stage(*[JWKSFetchError("nobody there")] * 2, b'["a"]')

    async def scenario():
        async with stage.running():
            await until(lambda: ["a"] in stage.told)

    with caplog.at_level(logging.INFO):
        run(scenario())
    assert [record.message for record in caplog.records] == [
        f"no keys from {PLACE}: nobody there; requests get 503 until a fetch succeeds",
        f"lbjwt can read the keys from {PLACE} again",
    ]


def test_b19_keys_are_refreshed_without_traffic(run):
    """Nobody asks for anything; a rotation arrives, and the same document is told again as confirmed."""
    stage = Stage(b'["a"]', b'["a"]', b'["b"]')

    async def scenario():
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
    assert "the current keys stay in force" in caplog.text


def test_b4_a_thousand_unknown_key_ids_are_one_attempt(run):
    """All of them find the same attempt under way and learn of its end; no task is made for any."""
    stage = Stage(b'["a"]', b'["b"]', interval=100.0)

    async def scenario():
        async with stage.running() as keys:
            tasks = len(asyncio.all_tasks())
            assert all(stage.request() for _ in range(1000))
            assert len(asyncio.all_tasks()) == tasks
            await until(lambda: keys.attempts == 2)
            assert not keys.lifecycle.under_way

    run(scenario())
    assert stage.told == ["started", ["a"], "settled", "started", ["b"], "settled"]
    assert stage.origin.doubts == [False, True]
    assert stage.origin.most == 1


def test_b4_inside_the_cooldown_nobody_waits(run):
    """After any attempt unknown key ids start no other; the workers learn at once that nothing comes, and until when (THREATS B4)."""
    stage = Stage(b'["a"]', interval=100.0, cooldown=50.0)

    async def scenario():
        async with stage.running():
            before = time.monotonic()
            notified = stage.notified
            assert not any(stage.request() for _ in range(1000))
            assert stage.notified == notified + 1000
            words = stage.board.source_words(0)
            assert 40 < words["not_before"] - before <= 50
            assert words["begun"] == words["attempts"] and words["fetches"] == 1
            await turns()

    run(scenario())
    assert stage.origin.fetches == 1


def test_a_notification_without_a_request_starts_nothing(run):
    """Each request is one attempt at most, however often it is looked at."""
    stage = Stage(b'["a"]', interval=100.0)

    async def scenario():
        async with stage.running() as keys:
            keys.notified()
            await turns()
            assert stage.request()
            keys.notified()
            await until(lambda: keys.attempts == 2)
            keys.notified()
            await turns()

    run(scenario())
    assert stage.origin.fetches == 2


def test_what_a_dead_process_began_ends_with_the_next_attempt(run):
    """Two attempts were begun and never ended: after the next one nothing is under way, and fetches count what was made."""
    stage = Stage(b'["a"]', interval=100.0)
    stage.board.add_source(0, "begun", 2)

    async def scenario():
        async with stage.running():
            return stage.board.source_words(0)

    words = run(scenario())
    assert (words["begun"], words["attempts"], words["fetches"]) == (3, 3, 1)


def test_b4_an_attempt_that_failed_is_forgotten_with_the_key_id(run):
    """A key id that came during a failure is fetched for again after the cool-down: nothing was recorded against it."""
    stage = Stage(b'["a"]', JWKSFetchError("x"), b'["a", "new"]', interval=100.0)

    async def scenario():
        async with stage.running() as keys:
            assert stage.request()
            await until(lambda: keys.failures == 1)
            assert stage.request()
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
        async with stage.running() as keys:
            await until(lambda: keys.lifecycle.under_way)
            stage.origin.max_age = 100.0
            settled = stage.told.count("settled")
            assert stage.request()
            assert stage.board.source_words(0)["not_before"] <= time.monotonic()
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
        assert not stage.request()
        async with stage.running():
            pass
        assert not stage.request()

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
        async with stage.running():
            begun = stage.board.source_words(0)["begun"]
            assert stage.request()
        words = stage.board.source_words(0)
        assert words["begun"] == words["attempts"] == begun

    run(scenario())
    assert not stage.lifecycle.under_way


def test_a_document_that_could_not_be_handed_on_is_a_failure(run, caplog):
    """The text of a fault of our own is not logged; the document is tried again."""
    stage = Stage(b'["a"]', interval=0.01)
    faults = [ValueError("hush"), ValueError("hush")]
    put = stage.feed.put

    def fail(source, stored):
        if faults:
            raise faults.pop()
        put(source, stored)

    stage.feed.put = fail

    async def scenario():
        async with stage.running():
            await until(lambda: ["a"] in stage.told)

    run(scenario())
    assert stage.keys.failures == 2
    assert "hush" not in caplog.text
    assert "ValueError" in caplog.text


# -- too old ------------------------------------------------------------------------------------------------------------------------


def test_keys_that_cannot_be_confirmed_are_withdrawn_and_come_back(run, caplog):
    """After `max_stale` of failures they are withdrawn, once; the first good document brings them back, be it the same."""
    stage = Stage(b'["a"]', JWKSFetchError("x"), interval=0.02, max_stale=0.1)

    async def scenario():
        async with stage.running():
            await until(lambda: stage.keys.withdrawals)
            assert not stage.lifecycle.has_keys
            stage.origin.answers = [b'["a"]']
            await until(lambda: stage.told[-2:] == [["a"], "settled"])

    run(scenario())
    assert stage.keys.withdrawals == 1
    assert "withdrawn" in caplog.text


def test_keys_are_withdrawn_while_an_attempt_is_not_due(run):
    """The end of their time is a time to wake of its own."""
    stage = Stage(b'["a"]', interval=100.0, max_stale=1000.0)

    async def scenario():
        async with stage.running():
            pass
        stage.lifecycle.shelf_life = stage.lifecycle.shelf_life.of(time.monotonic(), time.time(), time.time(), 0.05)
        stage.origin.answers = [JWKSFetchError("x")]
        async with stage.running():
            await until(lambda: stage.keys.withdrawals)

    run(scenario())


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_k13_a_set_clock_loses_no_keys_and_moves_no_timer(run, monkeypatch, jump):
    """The wall clock jumps by an hour and back while the issuer is down and keys are believed for half an hour."""
    stage = Stage(b'["a"]', JWKSFetchError("x"), interval=0.05, max_stale=1800.0)
    real = time.time
    shift = [0.0]
    monkeypatch.setattr(remote.time, "time", lambda: real() + shift[0])

    async def scenario():
        async with stage.running() as keys:
            shift[0] = jump
            await until(lambda: keys.failures >= 3)
            shift[0] = 0.0
            await until(lambda: keys.failures >= 5)
            assert keys.lifecycle.has_keys

    run(scenario())
    assert not stage.keys.withdrawals


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
