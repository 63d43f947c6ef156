"""Remote keys in one process: one attempt at a time, nobody waits for ever, nothing ends the task."""

import asyncio
import json
import logging
import time

import pytest

from lbjwt.errors import LbjwtError
from lbjwt.jwks import remote
from lbjwt.jwks.errors import JWKSFetchError
from lbjwt.jwks.lifecycle import KeyLifecycle
from lbjwt.jwks.remote import RemoteKeys
from tests.unit.jwks_script import LOOPS, PLACE, Origin, Ring, Stage, runner, turns, until

HOUR = 3600.0


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop."""
    return runner(request.param)


def test_loading_is_one_attempt(run):
    """Before traffic: started, the document, settled; and a failure raises nothing."""
    stage = Stage(b'["a"]')
    run(stage.keys.load())
    assert stage.told == ["started", ["a"], "settled"]
    assert stage.lifecycle.has_keys
    assert stage.keys.ring.names == ["a"]
    assert (stage.keys.attempts, stage.keys.failures, stage.origin.fetches, stage.keys.documents) == (1, 0, 1, 1)
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
