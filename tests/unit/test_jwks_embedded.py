"""Keys that one process fetches and verifies with."""

import asyncio

import pytest

from lbjwt.jwks.embedded import RemoteKeySource
from lbjwt.jwks.errors import JWKSFetchError
from lbjwt.jwks.lifecycle import KeyLifecycle
from tests.unit.jwks_script import LOOPS, Origin, Ring, runner, until


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop."""
    return runner(request.param)


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
