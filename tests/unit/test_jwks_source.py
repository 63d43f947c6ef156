"""Key sources of the process that verifies: what was good stays in force through every failure, and new keys come without a restart."""

import asyncio
import contextlib
import json
import logging
import os
import time

import pytest
import uvloop

from lbjwt.errors import LbjwtError
from lbjwt.jose.keyring import KeyRing
from lbjwt.jwks import source
from lbjwt.jwks.source import (
    FileKeySource,
    KeySourceError,
    StaticKeySource,
    StoredKeySource,
    secret_from_environment,
)
from lbjwt.jwks.store import Envelope, write

PLACE = "https://issuer.example/jwks?sha256=00"


class Ring:
    """As much of a key ring as a source needs: built from a JSON list of names."""

    def __init__(self, document):
        try:
            self.names = json.loads(document)
        except ValueError:
            raise LbjwtError("not a key set") from None
        if not self.names:
            raise LbjwtError("no usable key")
        self.warnings = ("key 1 was left out: odd",) if "odd" in self.names else ()

    def __len__(self):
        return len(self.names)


class Stage:
    """What a source told: the rings that were published, reads, and keys in force."""

    def __init__(self):
        self.published = []
        self.reads = []
        self.keys = []
        self.options = {
            "build": Ring,
            "publish": lambda ring: self.published.append(ring and ring.names),
            "on_read": self.reads.append,
            "on_keys": lambda count, fetched_at: self.keys.append((count, fetched_at)),
        }

    def file(self, path):
        return FileKeySource(path, check=0.02, **self.options)

    def static(self, document):
        return StaticKeySource("issuers.main.jwks", document, **self.options)

    def stored(self, path, **options):
        return StoredKeySource(path, **{"place": PLACE, "check": 0.02, **self.options, **options})


@pytest.fixture
def stage():
    return Stage()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop."""

    def run(scenario):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(scenario)

    return run


async def until(condition):
    """Wait for a condition, five seconds at most."""
    async with asyncio.timeout(5.0):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(keys):
    keys.start()
    try:
        yield
    finally:
        await keys.stop()


def store(path, document='["a"]', *, age=0.0, place=PLACE, good_for=86_400.0):
    """What another process would have stored `age` seconds ago."""
    fetched_at = time.time() - age
    write(path, Envelope(place, fetched_at, fetched_at + good_for, document))


# -- files ---------------------------------------------------------------------------------------------------------------------


def test_a_file_is_read_at_the_start(stage, tmp_path, run):
    """`load` publishes one ring and tells its size and age."""
    path = tmp_path / "jwks.json"
    path.write_text('["a", "b"]')
    keys = stage.file(path)
    assert not keys.loaded
    run(keys.load())
    assert keys.loaded
    assert stage.published == [["a", "b"]]
    assert stage.reads == [True]
    ((count, fetched_at),) = stage.keys
    assert count == 2
    assert abs(fetched_at - time.time()) < 60


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
    assert stage.reads == [False]
    assert stage.keys == []


def test_files_are_looked_at_every_second():
    """A new key in a file is usable a second later (K3)."""
    assert source.FILE_CHECK == 1.0


@pytest.mark.parametrize("replace", [True, False])
def test_a_new_file_is_seen(stage, tmp_path, replace, run):
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

    run(scenario())
    assert stage.published == [["a"], ["b"]]


def test_an_unchanged_file_is_not_read_again_but_its_age_stays_young(stage, tmp_path):
    """Looking is cheap: no read, no ring, and the keys count as fresh."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')

    async def scenario():
        keys = stage.file(path)
        await keys.load()
        async with running(keys):
            await until(lambda: stage.keys[-1][1] > stage.keys[0][1])

    asyncio.run(scenario())
    assert stage.published == [["a"]]
    assert stage.reads == [True]


def test_the_same_bytes_are_no_new_ring(stage, tmp_path):
    """A touched file is read and compared; verified tokens are not thrown away for it."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')

    async def scenario():
        keys = stage.file(path)
        await keys.load()
        async with running(keys):
            os.utime(path, (1, 1))
            await until(lambda: stage.reads == [True, True])

    asyncio.run(scenario())
    assert stage.published == [["a"]]


def test_b2_a_file_that_went_bad_keeps_the_last_good_keys(stage, tmp_path, caplog):
    """Deleted, broken and empty files change nothing and are logged once each; the mended file is published."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')

    async def scenario():
        keys = stage.file(path)
        await keys.load()
        async with running(keys):
            path.unlink()
            await until(lambda: stage.reads.count(False) >= 2)
            path.write_text("{")
            await until(lambda: "not a key set" in caplog.text)
            assert keys.loaded
            path.write_text('["b", "odd"]')
            await until(lambda: len(stage.published) == 2)

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert stage.published == [["a"], ["b", "odd"]]
    messages = [record.message for record in caplog.records]
    assert sum("No such file" in message for message in messages) == 1
    assert "stay" in messages[0]
    assert "can be read again" in messages[-2]
    assert "was left out" in messages[-1]


def test_a_ring_that_could_not_be_published_is_published_later(stage, tmp_path):
    """What goes wrong on the other side ends no task, and the document does not count as taken, at the start or later."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')
    left = {"a": 2, "b": 2}

    def publish(ring):
        if left[ring.names[0]]:
            left[ring.names[0]] -= 1
            raise RuntimeError("no")
        stage.published.append(ring.names)

    async def scenario():
        keys = FileKeySource(path, check=0.01, **{**stage.options, "publish": publish})
        with pytest.raises(KeySourceError, match="cannot be used"):
            await keys.load()
        async with running(keys):
            await until(lambda: stage.published)
            path.write_text('["b"]')
            await until(lambda: len(stage.published) == 2)

    asyncio.run(scenario())
    assert stage.published == [["a"], ["b"]]


def test_a_counter_that_fails_ends_no_task(stage, tmp_path, caplog):
    """The task that keeps the keys current survives whatever a callback raises, and hides what it said."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')
    calls = []

    def on_keys(count, fetched_at):
        calls.append(count)
        if len(calls) in (2, 3):
            raise ValueError("hush")

    async def scenario():
        keys = FileKeySource(path, check=0.01, **{**stage.options, "on_keys": on_keys})
        await keys.load()
        async with running(keys):
            await until(lambda: len(calls) > 4)

    asyncio.run(scenario())
    assert "ValueError" in caplog.text
    assert "hush" not in caplog.text


def test_a_secret_file_gives_one_key(tmp_path):
    """The bytes of a secret file, all of them, are the HMAC key; a short one is refused without being shown."""
    rings = []
    path = tmp_path / "secret"

    def secret():
        return FileKeySource(
            path, build=lambda secret: KeyRing.from_secret(secret, algorithms=("HS256",)), publish=rings.append
        )

    path.write_bytes(b"k" * 32)
    asyncio.run(secret().load())
    assert len(rings[0]) == 1
    path.write_bytes(b"hush-hush")
    with pytest.raises(KeySourceError, match="32") as caught:
        asyncio.run(secret().load())
    assert "hush" not in str(caught.value)


# -- the configuration itself ---------------------------------------------------------------------------------------------------


def test_keys_of_the_configuration_are_right_or_wrong_at_the_start(stage, caplog, run):
    """One ring, once, with its warnings; nothing runs."""

    async def scenario():
        keys = stage.static(b'["a", "odd"]')
        await keys.load()
        keys.start()
        await keys.stop()
        assert keys.loaded

    run(scenario())
    assert stage.published == [["a", "odd"]]
    assert stage.reads == [True]
    assert stage.keys[0][0] == 2
    assert "keys from issuers.main.jwks: key 1 was left out" in caplog.text


@pytest.mark.parametrize("document", [b"{", b"[]", b"\xff"])
def test_wrong_keys_of_the_configuration_end_the_start(stage, document):
    """A KeySourceError with the place and the cause."""
    with pytest.raises(KeySourceError, match=r"no keys from issuers\.main\.jwks: "):
        asyncio.run(stage.static(document).load())
    assert stage.published == []
    assert stage.reads == [False]


def test_a5_an_empty_secret_of_the_environment_ends_the_start(monkeypatch):
    """Not set and empty are the same mistake; what is there is taken to the byte."""
    with pytest.raises(KeySourceError, match="LBJWT_TEST_SECRET is not set, or empty"):
        secret_from_environment("LBJWT_TEST_SECRET")
    monkeypatch.setenv("LBJWT_TEST_SECRET", "")
    with pytest.raises(KeySourceError, match="LBJWT_TEST_SECRET is not set, or empty"):
        secret_from_environment("LBJWT_TEST_SECRET")
    monkeypatch.setitem(os.environb, b"LBJWT_TEST_SECRET", b"\xff key\n")
    assert secret_from_environment("LBJWT_TEST_SECRET") == b"\xff key\n"


# -- what another process fetched ------------------------------------------------------------------------------------------------


def test_a_stored_document_is_read_at_the_start(stage, tmp_path, run):
    """`load` publishes it with the age it has, and no file at all is no error."""
    path = tmp_path / "main.json"
    run(stage.stored(path).load())
    assert stage.published == stage.reads == []
    store(path, age=50.0)
    keys = stage.stored(path)
    run(keys.load())
    assert stage.published == [["a"]]
    assert stage.keys[0] == (1, pytest.approx(time.time() - 50, abs=30))
    assert keys.place == "https://issuer.example/jwks"


def test_a_poke_is_read_at_once(stage, tmp_path):
    """No waiting for the next look: when `poke` returns the new ring is in force, and the same document is none."""
    path = tmp_path / "main.json"
    store(path)
    keys = stage.stored(path)
    keys.poke()
    store(path)
    keys.poke()
    assert stage.published == [["a"]]
    assert stage.reads == [True, True]
    store(path, '["b"]')
    keys.poke()
    keys.poke()
    assert stage.published == [["a"], ["b"]]
    assert stage.reads == [True, True, True]


def test_a_new_document_is_seen_without_a_poke(stage, tmp_path, run):
    """A lost poke costs one interval, no more; a file that comes late is seen too."""
    path = tmp_path / "main.json"

    async def scenario():
        keys = stage.stored(path)
        await keys.load()
        async with running(keys):
            store(path)
            await until(lambda: len(stage.published) == 1)
            store(path, '["b"]')
            await until(lambda: len(stage.published) == 2)

    run(scenario())
    assert stage.published == [["a"], ["b"]]


def damage_truncated(path):
    text = path.read_bytes()
    path.unlink()
    path.write_bytes(text[:-9])
    path.chmod(0o600)


def damage_writable(path):
    store(path, '["evil"]')
    path.chmod(0o666)


def damage_link(path):
    store(path.with_name("elsewhere"), '["evil"]')
    path.unlink()
    path.symlink_to(path.with_name("elsewhere"))


DAMAGE = {
    "truncated": damage_truncated,
    "writable by others": damage_writable,
    "another place": lambda path: store(path, '["evil"]', place="https://issuer.example/jwks?sha256=01"),
    "too old": lambda path: store(path, '["evil"]', age=90_000.0),
    "past good_until": lambda path: store(path, '["evil"]', age=100.0, good_for=99.0),
    "from the future": lambda path: store(path, '["evil"]', age=-90_000.0),
    "no key set": lambda path: store(path, "<html>"),
    "gone": lambda path: path.unlink(),
    "a link": damage_link,
    "not a text": lambda path: store(path, '["\\ud800"'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_b2_a_damaged_copy_keeps_the_ring_in_force(stage, tmp_path, damage, caplog):
    """Whatever became of the file: the keys stay, the log says so once, and the next good copy is taken."""
    path = tmp_path / "main.json"
    store(path)
    keys = stage.stored(path)
    keys.poke()
    DAMAGE[damage](path)
    keys.poke()
    keys.poke()
    assert stage.published == [["a"]]
    assert keys.loaded
    assert len(caplog.records) == (damage != "gone")
    assert "stay" in caplog.text or damage == "gone"
    path.unlink(missing_ok=True)
    store(path, '["b"]')
    keys.poke()
    assert stage.published == [["a"], ["b"]]


@pytest.mark.parametrize("damage", DAMAGE)
def test_b1_a_damaged_copy_is_no_key(stage, tmp_path, damage):
    """At the start it is as if there were none: 503, and nothing raised."""
    path = tmp_path / "main.json"
    store(path)
    DAMAGE[damage](path)
    asyncio.run(stage.stored(path).load())
    assert stage.published == []


def test_a_read_that_failed_is_tried_again(stage, tmp_path, monkeypatch):
    """Out of descriptors for a moment: the file did not change, and is read all the same when it can be."""
    path = tmp_path / "main.json"
    store(path)
    keys = stage.stored(path)
    with monkeypatch.context() as patch:
        patch.setattr(
            source.store, "read", lambda path, max_bytes: (_ for _ in ()).throw(OSError(24, "Too many open files"))
        )
        keys.poke()
    assert stage.reads == [False]
    keys.poke()
    assert stage.published == [["a"]]


def test_keys_that_nobody_confirms_are_withdrawn(stage, tmp_path, run, caplog):
    """The process that fetches died: its document is believed to the end of its time and not longer; a new one brings the keys back."""
    path = tmp_path / "main.json"
    store(path, good_for=0.3)

    async def scenario():
        keys = stage.stored(path, check=60.0)
        await keys.load()
        assert stage.published == [["a"]]
        async with running(keys):
            await until(lambda: len(stage.published) == 2)
            assert not keys.loaded
            store(path)
            keys.poke()

    run(scenario())
    assert stage.published == [["a"], None, ["a"]]
    assert [count for count, _ in stage.keys] == [1, 0, 1]
    assert "withdrawn" in caplog.text


def test_a_confirmation_lengthens_the_time(stage, tmp_path, monkeypatch):
    """The same document with a later time is no new ring, and is believed to that time."""
    path = tmp_path / "main.json"
    store(path, good_for=50.0)
    keys = stage.stored(path)
    keys.poke()
    store(path, good_for=100.0)
    keys.poke()
    steady = time.monotonic
    monkeypatch.setattr(source.time, "monotonic", lambda: steady() + 75.0)
    keys.poke()
    assert stage.published == [["a"]]


def test_the_shorter_of_two_times_counts(stage, tmp_path):
    """`max_stale` of this process bounds what an envelope of another configuration says."""
    path = tmp_path / "main.json"
    store(path, age=50.0)
    stage.stored(path, max_stale=49.0).poke()
    assert stage.published == []
    stage.stored(path, max_stale=60.0).poke()
    assert stage.published == [["a"]]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_k13_a_set_clock_withdraws_nothing(stage, tmp_path, monkeypatch, jump):
    """The wall clock jumps by an hour: a document that is believed for ten minutes stays for ten minutes."""
    path = tmp_path / "main.json"
    store(path, good_for=600.0)
    keys = stage.stored(path)
    keys.poke()
    real, steady, passed = time.time, time.monotonic, [0.0]
    monkeypatch.setattr(source.time, "time", lambda: real() + jump + passed[0])
    monkeypatch.setattr(source.time, "monotonic", lambda: steady() + passed[0])
    passed[0] = 500.0
    keys.poke()
    assert stage.published == [["a"]]
    passed[0] = 601.0
    keys.poke()
    assert stage.published == [["a"], None]


def test_a_withdrawal_that_could_not_be_told_is_told_later(stage, tmp_path, monkeypatch, caplog):
    """Keys that are too old do not stay in force because a callback failed once."""
    path = tmp_path / "main.json"
    store(path, good_for=100.0)
    left = [RuntimeError("no")]

    def publish(ring):
        if ring is None and left:
            raise left.pop()
        stage.published.append(ring and ring.names)

    keys = stage.stored(path, publish=publish)
    keys.poke()
    steady = time.monotonic
    monkeypatch.setattr(source.time, "monotonic", lambda: steady() + 101.0)
    keys.poke()
    assert stage.published == [["a"]]
    assert "RuntimeError" in caplog.text
    keys.poke()
    assert stage.published == [["a"], None]


def test_stopping_twice_and_starting_twice(stage, tmp_path, run):
    """One task however often it is started; nothing is left when it is stopped."""
    path = tmp_path / "main.json"

    async def scenario():
        keys = stage.stored(path)
        keys.start()
        keys.start()
        assert sum("keys from" in task.get_name() for task in asyncio.all_tasks()) == 1
        await keys.stop()
        await keys.stop()
        assert len(asyncio.all_tasks()) == 1

    run(scenario())
