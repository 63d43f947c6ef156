"""What outlives the process that fetches: the key set in the feed, which the next one takes up, and the copy on disk for a cold start."""

import asyncio
import gc
import threading
import time

import pytest

from lbjwt.keys import remote, store
from lbjwt.keys.errors import JWKSFetchError, StoreError
from lbjwt.keys.feed import StoredKeySet
from tests.unit.jwks_script import LOOPS, PLACE, Ring, Stage, runner, until


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop."""
    return runner(request.param)


def read(path):
    return store.read(path, place=PLACE, max_stale=86_400.0, max_bytes=10_000, wall=time.time())


def stored(document='["old"]', *, age=60.0):
    fetched_at = time.time() - age
    return StoredKeySet(PLACE, fetched_at, fetched_at + 86_400.0, document, '"tag"')


def test_a_good_document_is_stored_with_its_times(run, tmp_path):
    """Workers have it before the disk does; a confirmation moves the times."""
    path = tmp_path / "main.json"
    stage = Stage(b'["a"]', path=path, interval=0.01, max_stale=1000.0)

    async def scenario():
        async with stage.running():
            await until(path.exists)
            first = read(path)
            await until(lambda: read(path).fetched_at > first.fetched_at)
            return first

    first = run(scenario())
    assert (first.place, first.document) == (PLACE, '["a"]')
    assert first.good_until == first.fetched_at + 1000.0


def test_a_bad_document_is_not_stored(run, tmp_path):
    """The copy of the last good one survives every bad one (K6)."""
    path = tmp_path / "main.json"
    stage = Stage(b'["a"]', b"<html>", b"[]", JWKSFetchError("x"), path=path, interval=0.01)

    async def scenario():
        async with stage.running() as keys:
            await until(lambda: keys.failures >= 3)

    run(scenario())
    assert read(path).document == stage.feed.get(0).document == '["a"]'


def test_a_start_takes_up_what_is_in_the_feed_and_asks_at_once(run):
    """The issuer hangs: keys are there all the same, with the age they have; the first thing after the start is to ask."""

    async def hang():
        await asyncio.sleep(3600)

    stage = Stage(hang, stored=stored())

    async def scenario():
        async with stage.running(first=False):
            assert stage.lifecycle.has_keys and stage.origin.fetches == 0
            assert stage.origin.heard == [("restored", '"tag"')]
            assert abs(time.time() - 60 - stage.keys.last_success) < 30
            assert stage.board.source_words(0)["last_success"] == stage.keys.last_success
            await until(lambda: stage.origin.running)
            assert stage.request()

    run(scenario())


def test_what_was_taken_up_is_replaced_by_what_is_fetched(run, tmp_path):
    """A new document is a new ring, the same one is none."""
    path = tmp_path / "main.json"
    stage = Stage(b'["old"]', b'["new"]', path=path, stored=stored())

    async def scenario():
        async with stage.running():
            await until(lambda: ["new"] in stage.told)
            await until(lambda: read(path).document == '["new"]')

    run(scenario())
    assert stage.keys.documents == 1


@pytest.mark.parametrize("kept", [stored(age=90_000.0), stored(age=-90_000.0), stored("<html>"), stored("[]")])
def test_b1_what_must_not_be_used_is_no_key(run, kept):
    """Too old, from the future, no key set: without the issuer there are no keys then."""
    stage = Stage(JWKSFetchError("nobody there"), stored=kept)

    async def scenario():
        async with stage.running():
            assert not stage.lifecycle.has_keys

    run(scenario())


def test_a_full_disk_takes_no_keys_away(run, tmp_path, monkeypatch, caplog):
    """The workers have the keys, those who wait are told, and the file comes when it can."""
    path = tmp_path / "gone" / "main.json"
    monkeypatch.setattr(remote, "STORE_RETRY", 0.02)
    stage = Stage(b'["a"]', path=path, interval=100.0)

    async def scenario():
        async with stage.running() as keys:
            await until(lambda: keys.store_failures >= 3)
            path.parent.mkdir()
            await until(path.exists)

    run(scenario())
    assert stage.told == ["started", ["a"], "settled"]
    assert read(path).document == '["a"]'
    assert stage.origin.fetches == 1
    assert sum("cannot store the keys" in record.message for record in caplog.records) == 1


def test_stopping_waits_for_the_disk(run, tmp_path, monkeypatch):
    """The copy is written to its end: the next writer of the file, in whatever process, does not meet a late one."""
    path = tmp_path / "main.json"
    go, entered, write = threading.Event(), threading.Event(), store.write

    def slow(path, stored):
        entered.set()
        go.wait(5.0)
        write(path, stored)

    monkeypatch.setattr(store, "write", slow)
    stage = Stage(b'["a"]', path=path)

    async def scenario():
        stage.keys.start()
        await until(entered.is_set)
        asyncio.get_running_loop().call_later(0.02, go.set)
        await stage.keys.stop()
        assert read(path).document == '["a"]'

    run(scenario())
    assert stage.told == ["started", ["a"], "settled"]


def test_stopping_during_a_write_that_fails_is_quiet(run, tmp_path, monkeypatch, caplog):
    """The failure of a copy that nobody needs any more is nobody's business."""
    go, entered = threading.Event(), threading.Event()

    def slow(path, stored):
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


def test_a_hundred_odd_keys_are_a_few_lines(run, caplog, monkeypatch):
    """Warnings about one document are bounded; the rest is counted."""
    monkeypatch.setattr(Ring, "warnings", tuple(f"key {number} was left out" for number in range(100)))
    stage = Stage(b'["a"]', interval=100.0)

    async def scenario():
        async with stage.running():
            pass

    run(scenario())
    assert len(caplog.records) == 11
    assert caplog.records[-1].message == f"keys from {PLACE}: and 90 more warnings"
