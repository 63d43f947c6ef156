"""Keys from several URLs, and keys that have a URL each, against a real server: what is fetched when, and what one failure does to the rest."""

import asyncio
import time
from functools import partial

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lbjwt.jose.keyring import KeyRing
from lbjwt.keys.by_id import OriginById
from lbjwt.keys.egress import Egress
from lbjwt.keys.errors import JWKSFetchError
from lbjwt.keys.feed import KeyFeed
from lbjwt.keys.parts import ring_of_sets
from lbjwt.keys.remote import KeyOrigin, RemoteKeys
from lbjwt.keys.requested import RequestedKeys
from lbjwt.keys.ring_by_id import ring_of_key, ring_of_keys
from lbjwt.keys.schedule import KeyLifecycle
from lbjwt.keys.several import SeveralOrigins
from lbjwt.keys.source import FeedKeys
from tests.harness.issuer import Issuer, http
from tests.integration.jwks_scene import GOOD, GOOD_TOKEN, LOOPS, NEW, NEW_TOKEN, Scene, runner, silence, until
from tests.unit.auth_tokens import private_key, rsa_key, token

A, B = http({"keys": [GOOD]}), http({"keys": [NEW]})


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop."""
    return runner(request.param)


def pem(key):
    """A public key as AWS load balancers publish theirs."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Parts(Scene):
    """The scene of one source with another origin and another way to make its ring."""

    def __init__(self, issuer, origin, build, *, requested=None, **times):
        super().__init__(issuer, timeout=5.0)
        self.origin = origin
        self.feed = KeyFeed({0: 1 << 20})
        self.requested = None if requested is None else RequestedKeys(partial(self.feed.request_keys, 0, 0))
        if requested is not None:
            build = partial(ring_of_keys, missing=self.requested.add)
            requested.append(partial(self.feed.take_requested, 0))
        self.source = FeedKeys(
            origin.place,
            identity=origin.identity,
            feed=self.feed,
            build=build,
            publish=self.verifier.publish,
            board=self.board,
            issuer=0,
            max_stale=86_400.0,
            requested=self.requested,
        )
        self.keys = RemoteKeys(
            origin,
            KeyLifecycle(**{"interval": 0.02, "floor": 0.02, "cooldown": 0.02, **times}),
            name="main",
            source=0,
            build=build,
            board=self.board,
            feed=self.feed,
            notify=self._notified,
        )
        self.source.begin(time.time())

    def request(self):
        """A worker met an unknown key id."""
        if self.requested is not None:
            self.requested.tell()
        return super().request()


def several(issuer, *, max_stale=86_400.0, **times):
    """Two URLs of one issuer."""
    origins = [KeyOrigin(Egress(timeout=5.0), uri=issuer.uri + path) for path in ("/a", "/b")]
    origin = SeveralOrigins(origins, KeyRing.from_jwks, max_stale)
    return Parts(issuer, origin, partial(ring_of_sets, build=KeyRing.from_jwks), **times)


def by_id(issuer, *, interval=1000.0, max_keys=100, max_stale=86_400.0, **times):
    """A URL for each key."""
    requested = []
    origin = OriginById(
        Egress(timeout=5.0),
        issuer.uri + "/keys/{kid}",
        requested=lambda: requested[0](),
        check=ring_of_key,
        interval=interval,
        max_keys=max_keys,
        max_stale=max_stale,
    )
    return Parts(issuer, origin, None, requested=requested, **{"interval": interval, **times})


def test_keys_of_all_urls_count(run):
    """A token of either set passes; another one is asked for at both."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers |= {"/a": A, "/b": B}
            async with several(issuer).running() as scene:
                await until(lambda: scene.judge(GOOD_TOKEN) == scene.judge(NEW_TOKEN) == "NONE")
                assert scene.judge(token(algorithm="RS256", key=rsa_key(), kid="x")) == "UNKNOWN_KEY"

    run(scenario())


def test_one_url_that_fails_takes_nothing_from_the_others(run):
    """Its last good keys stay, those of the others rotate; from the start on, the others alone are enough."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers |= {"/a": A, "/b": B}
            scene = several(issuer)
            async with scene.running():
                await until(lambda: scene.judge(NEW_TOKEN) == "NONE")
                for bad in (http(status=500), http("<html>"), http({"keys": []})):
                    issuer.answers["/b"] = bad
                    before = scene.keys.attempts
                    await until(lambda before=before: scene.keys.attempts > before + 2)
                    assert scene.judge(GOOD_TOKEN) == scene.judge(NEW_TOKEN) == "NONE"
                assert scene.keys.failures == 0
                issuer.answers["/a"] = http({"keys": [{**GOOD, "kid": "renamed"}]})
                await until(lambda: scene.judge(GOOD_TOKEN) == "UNKNOWN_KEY")
                assert scene.judge(NEW_TOKEN) == "NONE"
                issuer.answers["/b"] = http({"keys": [{**NEW, "kid": "renamed"}]})
                await until(lambda: scene.judge(NEW_TOKEN) == "UNKNOWN_KEY")
            issuer.answers |= {"/a": A, "/b": http(status=404)}
            async with several(issuer).running() as scene:
                await until(lambda: scene.judge(GOOD_TOKEN) == "NONE")
            issuer.answers["/a"] = http(status=500)
            async with several(issuer).running() as scene:
                assert scene.judge(GOOD_TOKEN) == "KEYS_UNAVAILABLE"
                assert "/a answered with status 500" in scene.keys.describe()["last_failure"]

    run(scenario())


def test_keys_of_a_url_that_fails_for_too_long_go_and_come_back(run):
    """`max_stale` holds for each URL by itself. Its document is then asked for anew, though it did not change; the others are fetched as before."""

    async def scenario():
        async with Issuer() as issuer:

            async def tagged(writer):
                known = issuer.requests[-1][1].get("if-none-match") == '"1"'
                writer.write(http(status=304) if known else http({"keys": [NEW]}, etag='"1"'))
                await writer.drain()

            issuer.answers |= {"/a": A, "/b": tagged}
            async with several(issuer, max_stale=0.5).running() as scene:
                await until(lambda: scene.judge(NEW_TOKEN) == "NONE")
                issuer.answers["/b"] = http(status=500)
                await until(lambda: scene.judge(NEW_TOKEN) == "UNKNOWN_KEY")
                assert scene.judge(GOOD_TOKEN) == "NONE"
                issuer.answers["/b"] = tagged
                await until(lambda: scene.judge(NEW_TOKEN) == "NONE")
                assert scene.keys.failures == 0

    run(scenario())


def test_a_stored_document_has_its_parts(run):
    """After a restart, the keys of a URL that cannot be fetched are those of the last run."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers |= {"/a": A, "/b": B}
            async with several(issuer).running() as scene:
                await until(lambda: scene.judge(NEW_TOKEN) == "NONE")
                stored = scene.feed.get(0)
            issuer.answers["/b"] = http(status=500)
            again = several(issuer)
            again.feed.put(0, stored)
            async with again.running():
                await until(lambda: again.keys.attempts > 2)
                assert again.judge(GOOD_TOKEN) == again.judge(NEW_TOKEN) == "NONE"

    run(scenario())


def test_a_key_is_fetched_when_a_token_names_it(run):
    """PEM, JWK and certificates; nothing is fetched before, and no key twice."""
    curve = token(algorithm="ES256", kid="e-1_x")

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers |= {"/keys/good": http(pem(rsa_key())), "/keys/new": http(NEW)}
            issuer.answers["/keys/e-1_x"] = http(pem(private_key("ES256")))
            async with by_id(issuer).running() as scene:
                assert issuer.requests == []
                for text in (GOOD_TOKEN, NEW_TOKEN, curve):
                    assert scene.judge(text) == "UNKNOWN_KEY"
                await until(lambda: scene.request() and scene.judge(curve) == "NONE")
                assert scene.judge(GOOD_TOKEN) == scene.judge(NEW_TOKEN) == "NONE"
                assert sorted(path for path, _ in issuer.requests) == ["/keys/e-1_x", "/keys/good", "/keys/new"]

    run(scenario())


def test_a_key_that_is_not_there_costs_one_fetch_and_leaves_nothing(run):
    """404, 403, and what is no key: refused, and the source has not failed. A key that comes later is found."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers |= {"/keys/good": http(status=403), "/keys/new": http("no key")}
            async with by_id(issuer).running() as scene:
                assert scene.judge(GOOD_TOKEN) == scene.judge(NEW_TOKEN) == "UNKNOWN_KEY"
                before = scene.keys.attempts
                await until(lambda: scene.request() and scene.keys.attempts > before)
                assert issuer.count("/keys/good") == issuer.count("/keys/new") == 1
                assert scene.judge(GOOD_TOKEN) == "UNKNOWN_KEY"
                issuer.answers["/keys/good"] = http(pem(rsa_key()))
                await until(lambda: scene.request() and scene.judge(GOOD_TOKEN) == "NONE")
                assert scene.judge(NEW_TOKEN) == "UNKNOWN_KEY"

    run(scenario())


@pytest.mark.parametrize("kid", ["../admin", "a/b", "a%2fb", "a?b=c", "a#b", "a b", "a.b", "é", "x" * 129, ""])
def test_b7_a_key_id_cannot_lead_anywhere_else(run, kid):
    """Only a word can stand in a URL; for any other key id nothing is fetched (THREATS A8)."""

    async def scenario():
        async with Issuer() as issuer, by_id(issuer).running() as scene:
            assert scene.judge(token(algorithm="RS256", key=rsa_key(), kid=kid)) == "UNKNOWN_KEY"
            before = scene.keys.attempts
            await until(lambda: scene.request() and scene.keys.attempts > before)
            assert issuer.requests == []

    run(scenario())


def test_a_withdrawn_key_goes_and_an_unreachable_one_stays(run):
    """Known keys are fetched again: 404 ends a key, 500 and 403 do not."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers |= {"/keys/good": http(pem(rsa_key())), "/keys/new": http(NEW)}
            async with by_id(issuer, interval=0.02).running() as scene:
                assert scene.judge(GOOD_TOKEN) == scene.judge(NEW_TOKEN) == "UNKNOWN_KEY"
                await until(lambda: scene.request() and scene.judge(GOOD_TOKEN) == scene.judge(NEW_TOKEN) == "NONE")
                for status in (500, 403):
                    issuer.answers["/keys/new"] = http(status=status)
                    before = issuer.count("/keys/new")
                    await until(lambda before=before: issuer.count("/keys/new") > before + 2)
                    assert scene.judge(GOOD_TOKEN) == scene.judge(NEW_TOKEN) == "NONE"
                issuer.answers["/keys/new"] = http(status=404)
                await until(lambda: scene.judge(NEW_TOKEN) == "UNKNOWN_KEY")
                assert scene.judge(GOOD_TOKEN) == "NONE"

    run(scenario())


def test_the_cooldown_holds_for_made_up_key_ids(run):
    """However many key ids are made up: one attempt in a cooldown, with eight fetches at most (THREATS B4)."""

    async def scenario():
        async with Issuer() as issuer, by_id(issuer, cooldown=1000.0).running() as scene:
            await until(lambda: scene.keys.attempts)
            scene.keys.lifecycle._ended = -1000.0
            for number in range(50):
                assert scene.judge(token(algorithm="RS256", key=rsa_key(), kid=f"made-up-{number}")) == "UNKNOWN_KEY"
            assert scene.request()
            await until(lambda: len(issuer.requests) == 8)
            for number in range(50):
                scene.judge(token(algorithm="RS256", key=rsa_key(), kid=f"another-{number}"))
                scene.request()
            await asyncio.sleep(0.05)
            assert len(issuer.requests) == 8

    run(scenario())


def test_the_newest_keys_stay_when_there_are_too_many(run):
    """`max_keys` bounds what made-up key ids of strangers, whose keys the server has too, can fill."""

    async def scenario():
        async with Issuer() as issuer:
            for number in range(4):
                issuer.answers[f"/keys/k{number}"] = http({**GOOD, "kid": f"k{number}"})
            async with by_id(issuer, max_keys=2).running() as scene:
                for number in range(4):
                    text = token(algorithm="RS256", key=rsa_key(), kid=f"k{number}")
                    await until(lambda text=text: scene.judge(text) == "NONE" or (scene.request() and False))
                assert len(scene.source.ring) == 2

    run(scenario())


def test_a_key_server_that_hangs_fails_the_attempt():
    """The attempt ends in time, and says so."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/keys/good"] = silence
            origin = OriginById(
                Egress(timeout=0.1),
                issuer.uri + "/keys/{kid}",
                requested=lambda: ["good"],
                check=ring_of_key,
                interval=1.0,
                max_keys=1,
                max_stale=1.0,
            )
            with pytest.raises(JWKSFetchError, match="did not answer"):
                await origin.ask(doubtful=True)

    asyncio.run(scenario())
