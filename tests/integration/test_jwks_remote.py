"""Remote keys against a real server: rotation, outage, floods and cold starts."""

import asyncio
import json

import pytest

from lbjwt.keys import remote
from tests.harness.issuer import Issuer, http
from tests.integration.jwks_scene import (
    GOOD,
    GOOD_TOKEN,
    KEYS,
    LOOPS,
    NEW,
    NEW_TOKEN,
    ROTATED,
    Scene,
    read,
    runner,
    tagged,
    until,
)
from tests.unit.auth_tokens import rsa_key, token


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop."""
    return runner(request.param)


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
                await until(scene.request)
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
    """Twelve refresh periods and more with the issuer down: every known token is accepted all the time."""

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
    """A hundred refreshes, each answered with a promise to keep the connection and its end: none fails."""

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
                scene.request()
                scene.request()

            scene.settled = again
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
                while loop.time() < start + 1.0 or asked <= 100:
                    scene.request()
                    assert scene.judge(token(algorithm="RS256", key=rsa_key(), kid=f"r{asked}")) == "UNKNOWN_KEY"
                    assert scene.judge(GOOD_TOKEN) == "NONE"
                    asked += 1
                    await asyncio.sleep(0)
                cooldowns = (loop.time() - start) / 0.1
                assert 2 <= issuer.count("/jwks") <= 1 + cooldowns + 1

    run(scenario())


# -- the stored copy ----------------------------------------------------------------------------------------------------------------------


def test_a_cold_start_without_the_issuer(run, tmp_path):
    """Yesterday's keys from the disk while it is down, and its tag when it is up again."""
    path = tmp_path / "main.json"

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = tagged(KEYS, '"one"')(issuer)
            await Scene(issuer, path=path).once()
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
            await Scene(issuer, path=path).once()
            assert read(path, place=issuer.uri + "/jwks") is not None
            other.down = True
            scene = Scene(other, path=path)
            await scene.once()
            assert scene.judge(GOOD_TOKEN) == "KEYS_UNAVAILABLE"
            assert read(path, place=issuer.uri + "/jwks") is not None

    run(scenario())


def test_limits_of_the_copy_follow_those_of_the_document(tmp_path):
    """The longest document that is accepted can be stored and read again, whatever has to be escaped in it."""
    filler = '\\"' * 500
    document = json.dumps({"keys": [GOOD], "x": filler})
    path = tmp_path / "main.json"

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(document)
            await Scene(issuer, max_bytes=len(document), path=path).once()
            issuer.down = True
            scene = Scene(issuer, max_bytes=len(document), path=path)
            await scene.once()
            assert scene.judge(GOOD_TOKEN) == "NONE"

    asyncio.run(scenario())


def test_longest_sleep_notices_a_machine_that_slept():
    """However fresh the keys are, the clocks are compared once a minute."""
    assert remote.LONGEST_SLEEP <= 60.0
