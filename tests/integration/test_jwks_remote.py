"""Remote keys against real servers: honest, broken, hostile and moved ones. What was good stays good (SCOREBOARD K1, K6, K12)."""

import asyncio
import contextlib
import gzip
import json
import tracemalloc

import pytest
import uvloop

from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verifier import Verifier
from lbjwt.jose.keyring import KeyRing
from lbjwt.jwks import remote, store
from lbjwt.jwks.embedded import RemoteKeySource
from lbjwt.jwks.lifecycle import KeyLifecycle
from lbjwt.jwks.origin import KeyOrigin
from tests.harness.issuer import Issuer, http
from tests.unit.auth_tokens import ISSUER, NOW, b64, judged, jwk_of, private_key, rsa_key, token

GOOD = jwk_of(rsa_key(), kid="good")
NEW = jwk_of(rsa_key(1), kid="new")
KEYS = {"keys": [GOOD]}
ROTATED = {"keys": [GOOD, NEW]}
GOOD_TOKEN = token(algorithm="RS256", key=rsa_key(), kid="good")
NEW_TOKEN = token(algorithm="RS256", key=rsa_key(1), kid="new")
OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


class Scene:
    """An issuer and a verifier that has its keys from there."""

    def __init__(self, issuer, *, origin=None, path=None, timeout=1.0, **times):
        self.issuer = issuer
        self.verifier = Verifier(None, IssuerPolicy(issuer=ISSUER, audiences=("api",)))
        self.source = RemoteKeySource(
            KeyOrigin(timeout=timeout, **(origin or {"uri": issuer.uri + "/jwks"})),
            KeyLifecycle(**{"interval": 0.02, "floor": 0.02, "cooldown": 0.05, **times}),
            build=KeyRing.from_jwks,
            publish=self.verifier.publish,
            path=path,
        )
        self.keys = self.source.keys

    def judge(self, text):
        return judged(self.verifier.verify(text, NOW))

    @contextlib.asynccontextmanager
    async def running(self):
        await self.source.load()
        self.source.start()
        try:
            yield self
        finally:
            await self.source.stop()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop."""

    def run(scenario):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(scenario)

    return run


async def until(condition):
    """Wait for a condition, ten seconds at most."""
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0.005)


def tagged(document, tag, **fields):
    """A server that answers 304 to its own entity tag."""

    def answers(issuer):
        async def answer(writer):
            known = issuer.requests[-1][1].get("if-none-match") == tag
            writer.write(http(status=304, etag=tag, **fields) if known else http(document, etag=tag, **fields))

        return answer

    return answers


def test_a_rotation_arrives_by_itself(run):
    """K3 without any request: a new key is usable a refresh later, a removed one is refused (K4, THREATS B18)."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(KEYS)
            async with Scene(issuer).running() as scene:
                assert scene.judge(GOOD_TOKEN) == "NONE"
                assert scene.judge(NEW_TOKEN) == "UNKNOWN_KEY"
                issuer.answers["/jwks"] = http(ROTATED)
                await until(lambda: scene.judge(NEW_TOKEN) == "NONE")
                assert scene.judge(GOOD_TOKEN) == "NONE"
                issuer.answers["/jwks"] = http({"keys": [NEW]})
                await until(lambda: scene.judge(GOOD_TOKEN) == "UNKNOWN_KEY")
                assert scene.judge(NEW_TOKEN) == "NONE"

    run(scenario())


def test_the_freshness_of_the_response_sets_the_pace(run):
    """`max-age` of an hour: nothing is asked for again; `max-age=0`: as often as the floor allows."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(KEYS, cache_control="max-age=3600", age="600")
            async with Scene(issuer).running() as scene:
                assert 2600 < scene.keys.describe()["next_fetch"] < 3400
            issuer.answers["/jwks"] = http(KEYS, cache_control="max-age=0, no-store")
            async with Scene(issuer, interval=1000.0).running() as scene:
                await until(lambda: scene.keys.attempts > 3)

    run(scenario())


def test_an_unchanged_set_is_asked_for_with_its_tag(run):
    """304 confirms the keys; an unknown key id asks without a tag and past caches, for a cache may be behind."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = tagged(KEYS, '"one"')(issuer)
            async with Scene(issuer).running() as scene:
                await until(lambda: scene.keys.attempts > 3)
                assert scene.keys.documents == 1
                assert scene.keys.failures == 0
                tags = [fields.get("if-none-match") for _, fields in issuer.requests]
                assert tags[:4] == [None, '"one"', '"one"', '"one"']
            scene = Scene(issuer, interval=1000.0)
            issuer.requests.clear()
            async with scene.running():
                await until(scene.source.unknown_kid)
                await until(lambda: scene.keys.attempts == 2)
                assert [fields.get("if-none-match") for _, fields in issuer.requests] == [None, None]
                assert issuer.requests[1][1]["cache-control"] == "no-cache"

    run(scenario())


def test_the_tag_of_a_bad_document_is_not_believed(run):
    """A poisoned answer with a tag of its own, then 304 for that tag: the tag that is sent stays that of the good document."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(KEYS, etag='"good"')
            async with Scene(issuer).running() as scene:
                issuer.answers["/jwks"] = http("<html>", etag='"bad"')
                await until(lambda: scene.keys.failures >= 2)
                assert '"bad"' not in [fields.get("if-none-match") for _, fields in issuer.requests]
                issuer.answers["/jwks"] = http(ROTATED)
                await until(lambda: scene.judge(NEW_TOKEN) == "NONE")
                count = len(issuer.requests)
                await until(lambda: len(issuer.requests) > count + 1)
                assert "if-none-match" not in issuer.requests[-1][1]

    run(scenario())


def test_b3_an_outage_refuses_nobody(run):
    """Twelve refresh periods and more with the issuer down: every known token is accepted all the time (K1)."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(KEYS)
            async with Scene(issuer).running() as scene:
                issuer.down = True
                while scene.keys.failures < 15:
                    assert scene.judge(GOOD_TOKEN) == "NONE"
                    await asyncio.sleep(0.005)
                issuer.down = False
                issuer.answers["/jwks"] = http(ROTATED)
                await until(lambda: scene.judge(NEW_TOKEN) == "NONE")

    run(scenario())


def test_b1_without_the_issuer_there_is_no_key(run):
    """Down from the start: no token is accepted, least of all one signed with nothing; keys are there a second after the issuer is (K5, K10)."""
    forged = [
        token(algorithm="HS256", key=key, kid=kid)
        for key in (b"", b"secret", b"your-256-bit-secret", json.dumps(GOOD).encode())
        for kid in ("good", None)
    ]

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(KEYS)
            issuer.down = True
            async with Scene(issuer).running() as scene:
                await until(lambda: scene.keys.failures >= 2)
                assert {scene.judge(text) for text in [GOOD_TOKEN, *forged]} == {"KEYS_UNAVAILABLE"}
                issuer.down = False
                await until(lambda: scene.judge(GOOD_TOKEN) == "NONE")
                assert "NONE" not in {scene.judge(text) for text in forged}

    run(scenario())


def test_b5_a_server_that_closes_idle_connections(run):
    """A hundred refreshes, each answered with a promise to keep the connection and its end: none fails (K12)."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.linger = False
            issuer.answers["/jwks"] = http(KEYS, connection="keep-alive", keep_alive="timeout=60")
            async with Scene(issuer, interval=0.005, floor=0.005).running() as scene:
                await until(lambda: scene.keys.attempts >= 100)
                assert scene.keys.failures == 0
                assert scene.judge(GOOD_TOKEN) == "NONE"

    run(scenario())


def test_b6_callbacks_that_ask_again(run):
    """Who waits asks again from within the news that an attempt failed, hundreds of times: nothing nests, and it ends when asked to (THREATS B6)."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(KEYS)
            scene = Scene(issuer, interval=1000.0, cooldown=0.0)
            settled = []

            def again():
                settled.append(len(asyncio.all_tasks()))
                scene.source.unknown_kid()
                scene.source.unknown_kid()

            scene.source._told = again
            issuer.answers["/jwks"] = http(status=500)
            async with scene.running():
                await until(lambda: len(settled) > 300)
            assert scene.keys.failures == scene.keys.attempts
            assert max(settled) - min(settled) < 10

    run(scenario())


def test_b4_a_flood_of_random_key_ids(run):
    """Key ids as fast as they come for ten cool-downs: one fetch in each, and the good token is accepted all the time (THREATS B2)."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(KEYS)
            async with Scene(issuer, interval=1000.0, cooldown=0.1).running() as scene:
                loop = asyncio.get_running_loop()
                start = loop.time()
                asked = 0
                while loop.time() < start + 1.0:
                    scene.source.unknown_kid()
                    assert scene.judge(token(algorithm="RS256", key=rsa_key(), kid=f"r{asked}")) == "UNKNOWN_KEY"
                    assert scene.judge(GOOD_TOKEN) == "NONE"
                    asked += 1
                    await asyncio.sleep(0)
                cooldowns = (loop.time() - start) / 0.1
                assert asked > 100
                assert 2 <= issuer.count("/jwks") <= 1 + cooldowns + 1

    run(scenario())


# -- K6: poisoned documents -----------------------------------------------------------------------------------------------------------


def endless(piece, head=b"HTTP/1.1 200 OK\r\n\r\n", pause=0.0):
    async def answer(writer):
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


async def silence(writer):
    await asyncio.sleep(3600)


SECRET = b64(b"s" * 64)
POISON = {
    "HTML": http("<html><h1>It works</h1></html>", content_type="text/html"),
    "no keys": http({"keys": []}),
    "no member keys": http({}),
    "keys null": http({"keys": None}),
    "keys an object": http({"keys": {"good": GOOD}}),
    "an array": http("[]"),
    "nothing": http(b""),
    "a number": http("17"),
    "truncated JSON": http(json.dumps(KEYS)[:-20]),
    "truncated body": http(json.dumps(KEYS))[:-20],
    "UTF-16": http(json.dumps(KEYS).encode("utf-16")),
    "byte order mark": http(b"\xef\xbb\xbf" + json.dumps(KEYS).encode()),
    "named twice": http('{"keys": [], "keys": ' + json.dumps([GOOD]) + "}"),
    "a tower": http('{"keys": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "a great number": http('{"keys": [1' + "0" * 100_000 + "]}"),
    "ten thousand keys": http({"keys": [{"kty": "x"}] * 10_000}),
    "one key id twice": http({"keys": [GOOD, {**NEW, "kid": "good"}]}),
    "only secrets": http({"keys": [{"kty": "oct", "k": SECRET, "kid": "good", "alg": "HS256"}]}),
    "unknown types": http({"keys": [{"kty": "XYZ", "kid": "good"}, {"kty": None}, 5, "key", []]}),
    "weak keys": http({"keys": [{"kty": "RSA", "kid": "good", "n": "AQAB", "e": "AQ"}]}),
    "only for encryption": http({"keys": [{**GOOD, "use": "enc"}]}),
    "compressed": http(gzip.compress(json.dumps(KEYS).encode()), content_encoding="gzip"),
    "a bomb": http(gzip.compress(bytes(10_000_000)), content_encoding="gzip"),
    "10 MiB announced": endless(b"x" * 65536, b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n"),
    "endless": endless(b" " * 65536),
    "endless chunks": endless(
        b"10000\r\n" + b" " * 65536 + b"\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "a drip": endless(b" ", pause=0.02),
    "an endless head": endless(b"a" * 1000, b"HTTP/1.1 200 OK\r\nX-A: "),
    "a redirect elsewhere": http(status=302, location="http://127.0.0.1:9/jwks"),
    "a redirect loop": http(status=302, location="/jwks"),
    "204": http(status=204),
    "500 with keys": http(KEYS, status=500),
    "another protocol": b"SSH-2.0-OpenSSH_9\r\n",
    "silence": silence,
}


def test_b2_every_poisoned_document_keeps_the_last_good_keys(run, caplog):
    """One after the other: each is a failure in words, the keys stay, and a good document is taken in between (K6, THREATS B9)."""
    assert len(POISON) >= 25

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(KEYS)
            scene = Scene(issuer, timeout=0.3)
            async with scene.running():
                for name, poison in POISON.items():
                    failures = scene.keys.failures
                    issuer.answers["/jwks"] = poison
                    await until(lambda before=failures: scene.keys.failures > before)
                    assert scene.judge(GOOD_TOKEN) == "NONE", name
                    assert scene.judge(NEW_TOKEN) == "UNKNOWN_KEY", name
                    assert scene.keys.describe()["last_failure"], name
                    issuer.answers["/jwks"] = http(KEYS)
                    attempts = scene.keys.attempts
                    await until(lambda before=attempts: scene.keys.attempts > before + 1)
                assert scene.keys.documents == 1
                issuer.answers["/jwks"] = http(ROTATED)
                await until(lambda: scene.judge(NEW_TOKEN) == "NONE")

    run(scenario())
    assert SECRET not in caplog.text


@pytest.mark.parametrize("name", ["10 MiB announced", "endless", "endless chunks", "a bomb"])
def test_b9_a_great_document_costs_no_memory(name):
    """Reading stops at the limit: 2 MiB above the rest at the most (K6)."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(KEYS)
            async with Scene(issuer, interval=1000.0, cooldown=0.0).running() as scene:
                issuer.answers["/jwks"] = POISON[name]
                tracemalloc.start()
                try:
                    scene.source.unknown_kid()
                    await until(lambda: scene.keys.failures)
                    return tracemalloc.get_traced_memory()[1]
                finally:
                    tracemalloc.stop()

    assert asyncio.run(scenario()) < 2 << 20


@pytest.mark.parametrize(
    "odd",
    [
        {"kty": "RSA", "kid": "odd", "n": "AQAB", "e": "AQAB"},
        {"kty": "oct", "kid": "odd", "k": SECRET},
        {"kty": "XYZ", "kid": "odd"},
        {**NEW, "kid": "odd", "d": "c2VjcmV0"},
        {**jwk_of(private_key("ES256"), kid="odd"), "crv": "P-521"},
        17,
        None,
    ],
    ids=["weak", "secret", "unknown", "private", "wrong curve", "number", "null"],
)
def test_b10_an_odd_key_among_good_ones_is_skipped(odd, caplog):
    """The others are used, the log says which was left out, and nothing of it is shown."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http({"keys": [odd, GOOD]})
            scene = Scene(issuer)
            await scene.source.load()
            assert scene.judge(GOOD_TOKEN) == "NONE"

    asyncio.run(scenario())
    assert "keys from http://127.0.0.1" in caplog.text
    assert "key 0" in caplog.text
    assert SECRET not in caplog.text
    assert "c2VjcmV0" not in caplog.text


# -- discovery ----------------------------------------------------------------------------------------------------------------------------


def metadata(issuer, path="", jwks="/jwks", **members):
    return http({"issuer": issuer.uri + path, "jwks_uri": issuer.uri + jwks, **members})


def discovered(issuer, path="", **options):
    return Scene(issuer, origin={"issuer": issuer.uri + path}, **options)


@pytest.mark.parametrize("path", ["", "/", "/tenant/v2.0", "/tenant/"])
@pytest.mark.parametrize("place", ["openid", "oauth"])
def test_an_issuer_tells_where_its_keys_are(run, path, place):
    """By OpenID Connect Discovery behind its path, or by RFC 8414 before it, asked in this order and once."""
    stem = path.removesuffix("/")
    found = stem + OPENID if place == "openid" else OAUTH + stem

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers[found] = metadata(issuer, path)
            issuer.answers["/jwks"] = http(KEYS)
            async with discovered(issuer, path).running() as scene:
                await until(lambda: scene.keys.attempts > 3)
                assert scene.judge(GOOD_TOKEN) == "NONE"
                assert scene.keys.describe()["keys_from"] == issuer.uri + "/jwks"
                first = [stem + OPENID] if place == "openid" else [stem + OPENID, OAUTH + stem]
                assert [asked for asked, _ in issuer.requests[: len(first) + 1]] == [*first, "/jwks"]
                assert issuer.count(found) == scene.keys.origin.discoveries == 1

    run(scenario())


@pytest.mark.parametrize("told", ["/", "/Tenant", "/tenant/"])
def test_b20_metadata_of_another_issuer_gives_no_keys(told):
    """A slash or the case of a letter is another issuer: nothing is fetched from the place it names (THREATS B20)."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/tenant" + OPENID] = metadata(issuer, told)
            issuer.answers["/jwks"] = http(KEYS)
            scene = discovered(issuer, "/tenant")
            await scene.source.load()
            assert scene.judge(GOOD_TOKEN) == "KEYS_UNAVAILABLE"
            assert issuer.count("/jwks") == 0
            return scene.keys.describe()["last_failure"]

    sentence = asyncio.run(scenario())
    assert "speaks for another issuer" in sentence
    assert "status 404" in sentence


@pytest.mark.parametrize(
    "uri",
    [
        "http://169.254.169.254/jwks",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:169.254.1.1]/",
        "http://192.0.2.1/jwks",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "//127.0.0.1/jwks",
    ],
)
def test_b8_metadata_cannot_send_us_anywhere(uri):
    """Link-local addresses, plain http off loopback and other schemes are refused whoever names them (THREATS B8)."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers[OPENID] = http({"issuer": issuer.uri, "jwks_uri": uri})
            scene = discovered(issuer, timeout=0.5)
            await scene.source.load()
            assert scene.judge(GOOD_TOKEN) == "KEYS_UNAVAILABLE"
            return scene.keys.describe()["last_failure"]

    assert any(word in asyncio.run(scenario()) for word in ("link-local", "plain http", "https URL"))


@pytest.mark.parametrize(
    "answer",
    [
        http("<html>"),
        http(b"[]"),
        http(b"{" * 100_000),
        endless(b" " * 65536),
        silence,
        http(status=302, location="//x/"),
    ],
    ids=["HTML", "array", "tower", "endless", "silence", "redirect"],
)
def test_b9_bad_metadata_is_a_failure_in_words(answer):
    """As for keys: within the limits, in time, and tried again."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers[OPENID] = answer
            issuer.answers["/jwks"] = http(KEYS)
            async with discovered(issuer, timeout=0.3).running() as scene:
                assert scene.keys.failures == 1
                issuer.answers[OPENID] = metadata(issuer)
                await until(lambda: scene.judge(GOOD_TOKEN) == "NONE")

    asyncio.run(scenario())


def test_an_attempt_has_a_deadline_however_many_documents_it_needs():
    """Keys and both places of metadata hang: twice the time of one document, not three times."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers |= {OPENID: metadata(issuer), "/jwks": http(KEYS)}
            async with discovered(issuer, timeout=0.2).running() as scene:
                issuer.answers[OPENID] = issuer.answers[OAUTH] = issuer.answers["/jwks"] = silence
                await until(lambda: scene.keys.failures)
                return scene.keys.describe()["last_failure"]

    assert "did not answer completely within 0.4 s" in asyncio.run(scenario())


def test_a_discovery_that_was_given_up_is_done_again(run):
    """Stopped while the metadata hangs, and started again: it is asked for again, not for keys at a place nobody knows."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers[OPENID] = silence
            scene = discovered(issuer, timeout=5.0)
            scene.source.start()
            await until(lambda: issuer.requests)
            await scene.source.stop()
            issuer.answers |= {OPENID: metadata(issuer), "/jwks": http(KEYS)}
            await scene.source.load()
            assert scene.judge(GOOD_TOKEN) == "NONE"

    run(scenario())


def test_keys_that_moved_are_found_in_the_same_attempt(run):
    """The old place is gone and the metadata names another: no attempt fails."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers[OPENID] = metadata(issuer)
            issuer.answers["/jwks"] = http(KEYS)
            async with discovered(issuer).running() as scene:
                issuer.answers |= {OPENID: metadata(issuer, jwks="/v2/keys"), "/v2/keys": http(ROTATED)}
                issuer.answers["/jwks"] = http(status=410)
                await until(lambda: scene.judge(NEW_TOKEN) == "NONE")
                assert scene.keys.failures == 0
                assert scene.keys.describe()["keys_from"] == issuer.uri + "/v2/keys"
                assert scene.keys.origin.discoveries == 2

    run(scenario())


def test_metadata_that_went_bad_does_not_matter_while_the_keys_are_there(run, monkeypatch, caplog):
    """The daily question gets no answer, or one that speaks for somebody else: the keys come from where they were."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers[OPENID] = metadata(issuer)
            issuer.answers["/jwks"] = http(KEYS)
            issuer.answers["/evil"] = http({"keys": [NEW]})
            async with discovered(issuer).running() as scene:
                monkeypatch.setattr("lbjwt.jwks.origin.REDISCOVERY", 0.01)
                issuer.answers[OPENID] = metadata(issuer, "/evil", jwks="/evil")
                await until(lambda: scene.keys.origin.discoveries > 3)
                assert scene.keys.failures == 0
                assert scene.judge(GOOD_TOKEN) == "NONE"
                assert issuer.count("/evil") == 0

    run(scenario())
    assert "asked for its keys where they were before" in caplog.text


def test_a_document_that_is_no_key_set_makes_the_issuer_be_asked_again(run):
    """The old place answers 200 with a page: the next attempt asks the metadata first."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers[OPENID] = metadata(issuer)
            issuer.answers["/jwks"] = http(KEYS)
            async with discovered(issuer).running() as scene:
                issuer.answers |= {OPENID: metadata(issuer, jwks="/v2/keys"), "/v2/keys": http(ROTATED)}
                issuer.answers["/jwks"] = http("<html>moved")
                await until(lambda: scene.judge(NEW_TOKEN) == "NONE")

    run(scenario())


def test_a_tag_is_only_for_the_place_it_came_from(run):
    """Keys that moved are asked for without the tag of the old place, which could mean anything there."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers[OPENID] = metadata(issuer)
            issuer.answers["/jwks"] = http(KEYS, etag='"1"')
            async with discovered(issuer).running() as scene:
                issuer.answers |= {
                    OPENID: metadata(issuer, jwks="/v2/keys"),
                    "/v2/keys": tagged(ROTATED, '"1"')(issuer),
                }
                issuer.answers["/jwks"] = http(status=404)
                await until(lambda: scene.judge(NEW_TOKEN) == "NONE")
                asked = [fields.get("if-none-match") for path, fields in issuer.requests if path == "/v2/keys"]
                assert asked[0] is None

    run(scenario())


# -- the stored copy ----------------------------------------------------------------------------------------------------------------------


def test_a_cold_start_without_the_issuer(run, tmp_path):
    """Yesterday's keys from the disk while it is down, and its tag when it is up again."""
    path = tmp_path / "main.json"

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = tagged(KEYS, '"one"')(issuer)
            await Scene(issuer, path=path).source.load()
            issuer.down = True
            async with Scene(issuer, path=path).running() as scene:
                assert scene.judge(GOOD_TOKEN) == "NONE"
                await until(lambda: scene.keys.failures)
                issuer.down = False
                await until(lambda: scene.keys.attempts > scene.keys.failures)
                assert scene.keys.documents == 0
                assert issuer.requests[-1][1]["if-none-match"] == '"one"'

    run(scenario())


def test_another_issuer_does_not_start_from_the_copy(run, tmp_path):
    """The configuration names another place now: the old keys are not for it, whatever the file is called (THREATS B17)."""
    path = tmp_path / "main.json"

    async def scenario():
        async with Issuer() as issuer, Issuer() as other:
            issuer.answers["/jwks"] = http(KEYS)
            await Scene(issuer, path=path).source.load()
            assert store.read(path).place == issuer.uri + "/jwks"
            other.down = True
            scene = Scene(other, path=path)
            await scene.source.load()
            assert scene.judge(GOOD_TOKEN) == "KEYS_UNAVAILABLE"
            assert store.read(path).place == issuer.uri + "/jwks"

    run(scenario())


def test_limits_of_the_copy_follow_those_of_the_document(tmp_path):
    """The longest document that is accepted can be stored and read again, whatever has to be escaped in it."""
    filler = '\\"' * 500
    document = json.dumps({"keys": [GOOD], "x": filler})
    path = tmp_path / "main.json"

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(document)
            origin = {"uri": issuer.uri + "/jwks", "max_bytes": len(document)}
            await Scene(issuer, origin=origin, path=path).source.load()
            issuer.down = True
            scene = Scene(issuer, origin=origin, path=path)
            await scene.source.load()
            assert scene.judge(GOOD_TOKEN) == "NONE"

    asyncio.run(scenario())


def test_longest_sleep_notices_a_machine_that_slept():
    """However fresh the keys are, the clocks are compared once a minute."""
    assert remote.LONGEST_SLEEP <= 60.0
