"""Issuers that tell where their keys are: honestly, wrongly, slowly, and from a new place."""

import asyncio

import pytest

from tests.harness.issuer import Issuer, http
from tests.integration.jwks_scene import (
    GOOD_TOKEN,
    KEYS,
    LOOPS,
    NEW,
    NEW_TOKEN,
    ROTATED,
    Scene,
    endless,
    runner,
    silence,
    tagged,
    until,
)

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop."""
    return runner(request.param)


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
            async with discovered(issuer, path, timeout=30.0).running() as scene:
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
            await scene.once()
            assert scene.judge(GOOD_TOKEN) == "KEYS_UNAVAILABLE"
            assert issuer.count("/jwks") == 0
            return scene.keys.describe()["last_failure"]

    sentence = asyncio.run(scenario())
    assert "names an issuer other than" in sentence
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
            scene = discovered(issuer, timeout=30.0)
            await scene.once()
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
                # Not the first failure: on a busy machine the good answers may have been too slow for 0.2 s.
                await until(lambda: whole in (scene.keys.describe()["last_failure"] or ""))

    whole = "did not answer completely within 0.4 s"
    asyncio.run(scenario())


def test_a_discovery_that_was_given_up_is_done_again(run):
    """Stopped while the metadata hangs, and started again: it is asked for again, not for keys at a place nobody knows."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers[OPENID] = silence
            scene = discovered(issuer, timeout=5.0)
            scene.keys.start()
            await until(lambda: issuer.requests)
            await scene.keys.stop()
            issuer.answers |= {OPENID: metadata(issuer), "/jwks": http(KEYS)}
            await scene.once()
            assert scene.judge(GOOD_TOKEN) == "NONE"

    run(scenario())


def test_keys_that_moved_are_found_in_the_same_attempt(run):
    """The old place is gone and the metadata names another: no attempt fails."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers[OPENID] = metadata(issuer)
            issuer.answers["/jwks"] = http(KEYS)
            async with discovered(issuer, timeout=30.0).running() as scene:
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
            async with discovered(issuer, timeout=30.0).running() as scene:
                monkeypatch.setattr("lbjwt.keys.remote.REDISCOVERY", 0.01)
                issuer.answers[OPENID] = metadata(issuer, "/evil", jwks="/evil")
                await until(lambda: scene.keys.origin.discoveries > 3)
                assert scene.keys.failures == 0
                assert scene.judge(GOOD_TOKEN) == "NONE"
                assert issuer.count("/evil") == 0

    run(scenario())
    assert "from the previous URL" in caplog.text


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
