"""Key sources of the process that verifies: what was good stays in force through every failure, and new keys come without a restart."""

import json
import logging
import os

import pytest

from lbjwt.errors import LbjwtError
from lbjwt.jose.keyring import KeyRing
from lbjwt.keys import source
from lbjwt.keys.errors import KeySourceError
from lbjwt.keys.feed import KeyFeed, StoredKeySet
from lbjwt.keys.source import FeedKeys, LocalKeys, secret_from_environment
from lbjwt.observe._board import READY, Board

PLACE = "https://issuer.example/jwks"
NOW, WALL = 5000.0, 1_700_000_000.0


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
    """A source, the rings that it published, its numbers on the board, and a clock."""

    def __init__(self):
        self.published = []
        self.board = Board(1, 1)
        self.board.set_state(READY)
        self.feed = KeyFeed({0: 1000})
        self.passed = 0.0
        self.options = {"build": Ring, "publish": self.publish, "board": self.board, "issuer": 0}

    def publish(self, ring):
        self.published.append(ring and ring.names)

    def file(self, path, **options):
        return LocalKeys(str(path), paths=[path], **{**self.options, **options})

    def given(self, document):
        return LocalKeys("issuers.main.jwks", given=document, **self.options)

    def fed(self, **options):
        return FeedKeys(PLACE, identity=PLACE, feed=self.feed, **{"max_stale": 86_400.0, **self.options, **options})

    def put(self, document='["a"]', *, age=0.0, good_for=86_400.0):
        """Of the process that fetches: a document fetched `age` seconds ago."""
        fetched_at = WALL + self.passed - age
        self.feed.put(0, StoredKeySet(PLACE, fetched_at, fetched_at + good_for, document))

    def load(self, keys):
        keys.load(NOW + self.passed, WALL + self.passed)
        keys.begin(WALL + self.passed)

    def look(self, keys):
        return keys.look(NOW + self.passed, WALL + self.passed)

    @property
    def reads(self):
        totals = self.board.issuer_totals(0)
        return totals["key_fetches"], totals["key_fetch_failures"]

    @property
    def keys(self):
        """How many are in force, and their age."""
        totals = self.board.issuer_totals(0)
        return totals["keys"], WALL + self.passed - totals["keys_fetched_at"]


@pytest.fixture
def stage():
    return Stage()


# -- files ---------------------------------------------------------------------------------------------------------------------


def test_a_file_is_read_at_the_start(stage, tmp_path):
    """One ring is published, its size and age are on the board."""
    path = tmp_path / "jwks.json"
    path.write_text('["a", "b"]')
    stage.load(stage.file(path))
    assert stage.published == [["a", "b"]]
    assert (stage.reads, stage.keys) == ((1, 0), (2, 0.0))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No such file"),
        ("{", "not a key set"),
        ("[]", "no usable key"),
        ("x" * (source.MAX_FILE_BYTES + 1), "larger than"),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_start(stage, tmp_path, content, sentence):
    """A missing, broken, empty or endless file is a KeySourceError that names the file and the cause."""
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KeySourceError, match=f"jwks.json: .*{sentence}"):
        stage.load(stage.file(path))
    assert (stage.published, stage.reads) == ([], (1, 1))


def test_a_process_that_takes_anothers_place_begins_with_its_keys(stage, tmp_path, caplog):
    """Also when the file is broken by then. That is logged, and the file is used once it is mended."""
    path = tmp_path / "jwks.json"
    path.write_text("{")
    keys = stage.file(path, kept=lambda paths: [b'["a"]'] if paths == (path,) else [])
    stage.load(keys)
    assert stage.published == [["a"]] and keys.contents == (b'["a"]',)
    stage.look(keys)
    (message,) = caplog.messages
    assert "not a key set" in message and "the current keys stay in force" in message
    path.write_text('["b"]')
    stage.look(keys)
    assert stage.published == [["a"], ["b"]] and keys.contents == (b'["b"]',)


@pytest.mark.parametrize("replace", [True, False])
def test_a_new_file_is_seen(stage, tmp_path, replace):
    """A file renamed into place and one written in place are both published without a restart."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')
    keys = stage.file(path)
    stage.load(keys)
    if replace:
        (tmp_path / "new").write_text('["bc"]')
        (tmp_path / "new").rename(path)
    else:
        path.write_text('["bc"]')
    stage.look(keys)
    assert stage.published == [["a"], ["bc"]]


def test_an_unchanged_file_is_not_read_again_but_its_age_stays_young(stage, tmp_path):
    """Looking is cheap: no read, no ring, and the keys count as fresh."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')
    keys = stage.file(path)
    stage.load(keys)
    stage.passed = 100.0
    stage.look(keys)
    assert (stage.published, stage.reads, stage.keys) == ([["a"]], (1, 0), (1, 0.0))


def test_the_same_bytes_are_no_new_ring(stage, tmp_path):
    """A touched file is read and compared; verified tokens are not thrown away for it."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')
    keys = stage.file(path)
    stage.load(keys)
    os.utime(path, (1, 1))
    stage.look(keys)
    assert (stage.published, stage.reads) == ([["a"]], (2, 0))


def test_b2_a_file_that_went_bad_keeps_the_last_good_keys(stage, tmp_path, caplog):
    """Deleted, broken and empty files change nothing and are logged once each; the mended file is published."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')
    keys = stage.file(path)
    with caplog.at_level(logging.INFO):
        stage.load(keys)
        path.unlink()
        stage.look(keys)
        stage.look(keys)
        path.write_text("{")
        stage.look(keys)
        path.write_text('["b", "odd"]')
        stage.look(keys)
    assert stage.published == [["a"], ["b", "odd"]]
    assert stage.reads == (5, 3)
    messages = [record.message for record in caplog.records]
    assert [("No such file" in message, "not a key set" in message) for message in messages[:2]] == [
        (True, False),
        (False, True),
    ]
    assert all("stay" in message for message in messages[:2])
    assert {message.partition(": ")[2] or message for message in messages[2:]} == {
        "key 1 was left out: odd",
        f"lbjwt can read the keys from {path} again",
    }


def test_a_ring_that_could_not_be_published_is_published_later(stage, tmp_path):
    """The ring stays due, at the start or later."""
    path = tmp_path / "jwks.json"
    path.write_text('["a"]')
    left = [RuntimeError("no"), RuntimeError("no")]

    def publish(ring):
        if left:
            raise left.pop()
        stage.publish(ring)

    keys = stage.file(path, publish=publish)
    with pytest.raises(RuntimeError):
        stage.load(keys)
    stage.look(keys)
    assert stage.published == []
    stage.look(keys)
    assert stage.published == [["a"]]


def test_a_secret_file_gives_one_key(stage, tmp_path):
    """The bytes of a secret file, all of them, are the HMAC key; a short one is refused without being shown."""
    rings = []
    path = tmp_path / "secret"

    def load():
        build = {"build": lambda secret: KeyRing.from_secret(secret, algorithms=("HS256",)), "publish": rings.append}
        stage.load(stage.file(path, **build))

    path.write_bytes(b"k" * 32)
    load()
    assert len(rings[0]) == 1
    path.write_bytes(b"hush-hush")
    with pytest.raises(KeySourceError, match="32") as caught:
        load()
    assert "hush" not in str(caught.value)


# -- the configuration itself ---------------------------------------------------------------------------------------------------


def test_keys_of_the_configuration_are_read_once(stage, caplog):
    """One ring with its warnings; later looks find nothing to do."""
    keys = stage.given(b'["a", "odd"]')
    stage.load(keys)
    stage.look(keys)
    assert (stage.published, stage.reads, stage.keys[0]) == ([["a", "odd"]], (1, 0), 2)
    assert "keys from issuers.main.jwks: key 1 was left out" in caplog.text


@pytest.mark.parametrize("document", [b"{", b"[]", b"\xff"])
def test_wrong_keys_of_the_configuration_end_the_start(stage, document):
    """A KeySourceError with the place and the cause."""
    with pytest.raises(KeySourceError, match=r"no keys from issuers\.main\.jwks: "):
        stage.load(stage.given(document))
    assert (stage.published, stage.reads) == ([], (1, 1))


def test_a5_an_empty_secret_of_the_environment_ends_the_start(monkeypatch):
    """Not set and empty are the same mistake; what is there is taken to the byte."""
    with pytest.raises(KeySourceError, match="LBJWT_TEST_SECRET is not set, or is empty"):
        secret_from_environment("LBJWT_TEST_SECRET")
    monkeypatch.setenv("LBJWT_TEST_SECRET", "")
    with pytest.raises(KeySourceError, match="LBJWT_TEST_SECRET is not set, or is empty"):
        secret_from_environment("LBJWT_TEST_SECRET")
    monkeypatch.setitem(os.environb, b"LBJWT_TEST_SECRET", b"\xff key\n")
    assert secret_from_environment("LBJWT_TEST_SECRET") == b"\xff key\n"


# -- what another process fetched ------------------------------------------------------------------------------------------------


def test_what_is_in_the_feed_is_taken_at_the_start(stage):
    """With the age it has; nothing there is no error, and a late key set is taken at the next look."""
    keys = stage.fed()
    stage.load(keys)
    assert (stage.published, keys.loaded) == ([], False)
    stage.put(age=50.0)
    stage.look(keys)
    assert (stage.published, stage.keys, keys.loaded) == ([["a"]], (1, 50.0), True)


def test_only_another_document_is_a_new_ring(stage):
    """The same one confirmed has a new age and no new ring; a look without anything new does nothing."""
    keys = stage.fed()
    stage.put()
    stage.load(keys)
    stage.passed = 100.0
    stage.look(keys)
    assert stage.keys == (1, 100.0)
    stage.put()
    stage.look(keys)
    assert (stage.published, stage.keys) == ([["a"]], (1, 0.0))
    stage.put('["b", "c"]')
    stage.look(keys)
    assert (stage.published, stage.keys) == ([["a"], ["b", "c"]], (2, 0.0))


BAD = {
    "too old": {"age": 90_000.0},
    "past good_until": {"age": 100.0, "good_for": 99.0},
    "from the future": {"age": -90_000.0},
    "no key set": {"document": "<html>"},
    "not a text": {"document": '["\\ud800"'},
}


@pytest.mark.parametrize("why", BAD)
def test_b2_what_cannot_be_used_keeps_the_ring_in_force(stage, why, caplog):
    """The keys stay, the log says so once, and the next good key set is taken; at the start there are none (THREATS B1)."""
    keys, later = stage.fed(), stage.fed()
    stage.put()
    stage.load(keys)
    stage.put(**BAD[why])
    stage.look(keys)
    stage.look(keys)
    assert stage.published == [["a"]] and keys.loaded
    assert len(caplog.records) == 1 and "stay" in caplog.text
    stage.load(later)
    assert stage.published == [["a"]] and not later.loaded
    stage.put('["b"]')
    stage.look(keys)
    assert stage.published == [["a"], ["b"]]


def test_keys_that_nobody_confirms_are_withdrawn(stage, caplog):
    """The process that fetches died: its document is believed to the end of its time and not longer; a new one brings the keys back."""
    keys = stage.fed()
    stage.put(good_for=300.0)
    stage.load(keys)
    assert stage.look(keys) == 300.0
    stage.passed = 299.0
    assert stage.look(keys) == 1.0 and keys.loaded
    stage.passed = 300.0
    stage.look(keys)
    stage.look(keys)
    assert stage.published == [["a"], None] and not keys.loaded
    assert stage.keys[0] == 0
    assert "withdrawn" in caplog.text
    stage.put()
    stage.look(keys)
    assert stage.published == [["a"], None, ["a"]]


def test_a_confirmation_lengthens_the_time(stage):
    """The same document with a later time is no new ring, and is believed to that time."""
    keys = stage.fed()
    stage.put(good_for=50.0)
    stage.load(keys)
    stage.put(good_for=100.0)
    stage.look(keys)
    stage.passed = 75.0
    stage.look(keys)
    assert stage.published == [["a"]]


def test_the_shorter_of_two_times_counts(stage):
    """`max_stale` of this process bounds what a key set says that was stored under another configuration."""
    stage.put(age=50.0)
    stage.load(stage.fed(max_stale=49.0))
    assert stage.published == []
    stage.load(stage.fed(max_stale=60.0))
    assert stage.published == [["a"]]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_k13_a_set_clock_withdraws_nothing(stage, jump):
    """The wall clock jumps by an hour: a document that is believed for ten minutes stays for ten minutes."""
    keys = stage.fed()
    stage.put(good_for=600.0)
    stage.load(keys)
    keys.look(NOW + 500.0, WALL + 500.0 + jump)
    assert stage.published == [["a"]]
    keys.look(NOW + 601.0, WALL + 601.0 + jump)
    assert stage.published == [["a"], None]


def test_a_withdrawal_that_could_not_be_told_is_told_later(stage):
    """Keys that are too old do not stay in force because publishing failed once."""
    left = [RuntimeError("no")]

    def publish(ring):
        if ring is None and left:
            raise left.pop()
        stage.publish(ring)

    keys = stage.fed(publish=publish)
    stage.put(good_for=100.0)
    stage.load(keys)
    stage.passed = 101.0
    with pytest.raises(RuntimeError):
        stage.look(keys)
    assert stage.published == [["a"]]
    stage.look(keys)
    assert stage.published == [["a"], None]
