"""The stored copy around remote keys: written before it is told, read before anybody is asked, believed when it is ours."""

import asyncio
import gc
import os
import threading
import time

import pytest

from lbjwt.jwks import remote, store
from lbjwt.jwks.errors import JWKSFetchError, StoreError
from lbjwt.jwks.lifecycle import KeyLifecycle
from lbjwt.jwks.remote import RemoteKeys
from lbjwt.jwks.store import Envelope
from tests.unit.jwks_script import LOOPS, PLACE, Origin, Ring, Stage, runner, until


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop."""
    return runner(request.param)


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
