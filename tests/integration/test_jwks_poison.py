"""Key sets that must do no harm: whatever a server sends, the last good keys stay, and memory does."""

import asyncio
import gzip
import json
import tracemalloc

import pytest

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
    endless,
    runner,
    silence,
    until,
)
from tests.unit.auth_tokens import b64, jwk_of, private_key


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request):
    """Run a scenario in either loop."""
    return runner(request.param)


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
                await until(lambda: scene.judge(GOOD_TOKEN) == "NONE")  # the first attempts may be too late
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
    """Reading stops at the limit: 2 MiB above the rest at the most."""

    async def scenario():
        async with Issuer() as issuer:
            issuer.answers["/jwks"] = http(KEYS)
            async with Scene(issuer, interval=1000.0, cooldown=0.0).running() as scene:
                issuer.answers["/jwks"] = POISON[name]
                tracemalloc.start()
                try:
                    scene.request()
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
            await scene.once()
            assert scene.judge(GOOD_TOKEN) == "NONE"

    asyncio.run(scenario())
    assert "keys from http://127.0.0.1" in caplog.text
    assert "key 0" in caplog.text
    assert SECRET not in caplog.text
    assert "c2VjcmV0" not in caplog.text
