"""Key sources: what was good stays in force through every failure, and new keys come without a restart."""

import asyncio
import contextlib
import json
import logging
import os

import pytest

from lbjwt.errors import LbjwtError
from lbjwt.jose.keyring import KeyRing
from lbjwt.jwks import fetch, source
from lbjwt.jwks.fetch import JWKSFetchError
from lbjwt.jwks.refresh import RefreshSchedule
from lbjwt.jwks.source import FileKeySource, KeySourceError, RemoteKeySource
from lbjwt.observe._board import READY, Board


class Ring:
    """As much of a key ring as a source needs: built from a JSON list of names."""

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


class Stage:
    """A board, the rings that were published, and a source over them."""

    def __init__(self):
        self.board = Board(1, 0)
        self.board.set_state(READY)
        self.published = []
        self.options = {"build": Ring, "publish": lambda ring: self.published.append(ring.names), "board": self.board}

    def file(self, path):
        return FileKeySource(path, check=0.02, **self.options)

    def remote(self, uri="https://issuer.example/jwks?key=hush", interval=0.05):
        return RemoteKeySource(
            uri, timeout=1.0, max_bytes=1000, allow_http=False, schedule=RefreshSchedule(interval), **self.options
        )

    @property
    def fetches(self):
        totals = self.board.totals()
        return totals["key_fetches"], totals["key_fetch_failures"]


@pytest.fixture
def stage():
    return Stage()


async def until(condition):
    """Wait for a condition, two seconds at most."""
    async with asyncio.timeout(2.0):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(source):
    source.start()
    try:
        yield
    finally:
        await source.stop()


def test_a_file_is_read_at_the_start(stage, tmp_path):
    """`load` publishes one ring and tells the board its size and age."""
    path = tmp_path / "jwks.json"
    path.write_text('["a", "b"]')
    asyncio.run(stage.file(path).load())
    assert stage.published == [["a", "b"]]
    assert stage.board.totals()["keys"] == 2
    assert stage.board.totals()["keys_fetched_at"] > 0
    assert stage.board.ready
    assert stage.fetches == (1, 0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No such file"),
        ("{", "not a key set"),
        ("[]", "no usable key"),
        ("x" * (source.MAX_FILE_BYTES + 1), "longer than"),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_start(stage, tmp_path, content, sentence):
    """A missing, broken, empty or endless file is a KeySourceError that names the file and the cause."""
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KeySourceError, match=f"jwks.json: .*{sentence}"):
        asyncio.run(stage.file(path).load())
    assert stage.published == []
    assert not stage.board.ready


@pytest.mark.parametrize("replace", [True, False])
def test_a_new_file_is_seen(stage, tmp_path, replace):
    """A file renamed into place and one written in place are both published without a restart."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')

    async def scenario():
        keys = stage.file(path)
        await keys.load()
        async with running(keys):
            if replace:
                (tmp_path / "new").write_text('["b"]')
                (tmp_path / "new").rename(path)
            else:
                path.write_text('["b"]')
            await until(lambda: len(stage.published) == 2)

    asyncio.run(scenario())
    assert stage.published == [["a"], ["b"]]


def test_an_unchanged_file_is_not_read_again_but_its_age_stays_young(stage, tmp_path):
    """Looking is cheap: no read, no ring, no counted fetch, and the keys count as fresh."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')

    async def scenario():
        keys = stage.file(path)
        await keys.load()
        first = stage.board.totals()["keys_fetched_at"]
        async with running(keys):
            await until(lambda: stage.board.totals()["keys_fetched_at"] > first)

    asyncio.run(scenario())
    assert stage.published == [["a"]]
    assert stage.fetches == (1, 0)


def test_the_same_bytes_are_no_new_ring(stage, tmp_path):
    """A touched file is read and compared; verified tokens are not thrown away for it."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')

    async def scenario():
        keys = stage.file(path)
        await keys.load()
        async with running(keys):
            os.utime(path, (1, 1))
            await until(lambda: stage.fetches == (2, 0))

    asyncio.run(scenario())
    assert stage.published == [["a"]]


def test_a_file_that_went_bad_keeps_the_last_good_keys(stage, tmp_path, caplog):
    """Deleted, broken and empty files change nothing and are logged once each; the mended file is published."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')

    async def scenario():
        keys = stage.file(path)
        await keys.load()
        async with running(keys):
            path.unlink()
            await until(lambda: stage.fetches[1] >= 2)
            path.write_text("{")
            await until(lambda: "not a key set" in caplog.text)
            assert stage.board.totals()["keys"] == 1
            assert stage.board.ready
            path.write_text('["b"]')
            await until(lambda: len(stage.published) == 2)

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert stage.published == [["a"], ["b"]]
    messages = [record.message for record in caplog.records]
    assert sum("No such file" in message for message in messages) == 1
    assert "stay" in messages[0]
    assert "can be read again" in messages[-1]


def answering(monkeypatch, *answers):
    """Replace the fetcher by a row of answers (the last one for ever); returns the list of URIs asked."""
    asked = []

    async def answer(uri, **options):
        result = answers[min(len(asked), len(answers) - 1)]
        asked.append(uri)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(fetch, "fetch", answer)
    return asked


def test_a_url_that_cannot_be_reached_at_the_start_is_no_start_error(stage, monkeypatch, caplog):
    """Without any key the service starts, is not ready, says so without the URL's query, and has the keys a second after they can be had (K5)."""
    asked = answering(monkeypatch, JWKSFetchError("nobody there"), b'["a"]')

    async def scenario():
        keys = stage.remote()
        await keys.load()
        assert not stage.board.ready
        async with running(keys):
            await until(lambda: stage.published)

    asyncio.run(scenario())
    assert stage.published == [["a"]]
    assert len(asked) >= 2
    assert asked[0].endswith("?key=hush")
    assert "hush" not in caplog.text
    assert "503" in caplog.text


@pytest.mark.parametrize(
    "failure",
    [
        JWKSFetchError("x"),
        b"<html>",
        b"[]",
        b"\xff\xfe",
        RecursionError("deep"),
        ValueError("secret-value"),
        KeyError("crv"),
    ],
    ids=repr,
)
def test_no_failure_takes_keys_away_or_ends_the_task(stage, monkeypatch, caplog, failure):
    """Twelve failures of any kind in a row leave the last good ring in force, and the next good document is published (B2, K1, K6)."""
    asked = answering(monkeypatch, b'["a"]', *[failure] * 12, b'["b"]')

    async def scenario():
        keys = stage.remote(interval=0.01)
        await keys.load()
        async with running(keys):
            await until(lambda: len(asked) > 5)
            assert stage.published == [["a"]]
            assert stage.board.ready
            await until(lambda: len(stage.published) == 2)

    asyncio.run(scenario())
    assert stage.published == [["a"], ["b"]]
    assert stage.board.totals()["keys"] == 1
    assert stage.fetches[1] == 12
    assert "secret-value" not in caplog.text


def test_a_refresh_with_the_same_keys_publishes_nothing(stage, monkeypatch):
    """The same document a hundred times is one ring."""
    asked = answering(monkeypatch, b'["a"]')

    async def scenario():
        keys = stage.remote(interval=0.001)
        await keys.load()
        async with running(keys):
            await until(lambda: len(asked) >= 20)

    asyncio.run(scenario())
    assert stage.published == [["a"]]


def test_stopping_ends_a_fetch_under_way(stage, monkeypatch):
    """`stop` does not wait for a server that hangs."""
    started = asyncio.Event()

    async def hang(uri, **options):
        started.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(fetch, "fetch", hang)

    async def scenario():
        keys = stage.remote()
        keys.start()
        await started.wait()
        async with asyncio.timeout(1.0):
            await keys.stop()
            await keys.stop()

    asyncio.run(scenario())


def test_a_secret_file_gives_one_key(tmp_path):
    """The bytes of a secret file, all of them, are the HMAC key; a short one is refused without being shown."""
    rings = []
    path = tmp_path / "secret"

    def secret():
        return FileKeySource(
            path,
            build=lambda secret: KeyRing.from_secret(secret, algorithms=("HS256",)),
            publish=rings.append,
            board=Board(1, 0),
        )

    path.write_bytes(b"k" * 32)
    asyncio.run(secret().load())
    assert len(rings[0]) == 1
    path.write_bytes(b"hush-hush")
    with pytest.raises(KeySourceError, match="32") as caught:
        asyncio.run(secret().load())
    assert "hush" not in str(caught.value)
