"""Key sets that are poisoned in every way: the last good keys stay in force, nobody new gets in, nothing grows, nothing breaks."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from bench.proof.keyscene import findings, key_scene
from bench.proof.registry import Bar, Result
from bench.proof.scene import settle
from tests.harness.keys import SigningKey, b64, new_key, private_members
from tests.harness.keyserver import Answer, Canary, KeyServer
from tests.harness.publisher import Issuer
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

GROWTH = 2 << 20  # bytes
ONCE = 8 << 20  # bytes that the first fetches may leave with the allocator: one set has 10 MB, one 10,000 keys
Poison = Callable[[Issuer, SigningKey, Canary], Answer]


def _set(*keys: dict[str, Any]) -> Answer:
    return Answer(body=json.dumps({"keys": list(keys)}).encode())


def _half(issuer: Issuer, attacker: SigningKey, canary: Canary) -> Answer:
    document = issuer.document()
    return Answer(body=document[: len(document) // 2])


def _weak(issuer: Issuer, attacker: SigningKey, canary: Canary) -> Answer:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - weak on purpose
    return _set(SigningKey(attacker.kid, "RS256", weak).jwk())


def _zipped(issuer: Issuer, attacker: SigningKey, canary: Canary) -> Answer:
    good = json.dumps({"keys": [attacker.jwk()]}).encode()
    return Answer(body=gzip.compress(good), fields=("Content-Encoding: gzip",))


POISONS: dict[str, Poison] = {
    "HTML": lambda issuer, attacker, canary: Answer(
        body=b"<!doctype html><title>login</title>", content_type="text/html"
    ),
    "nothing": lambda issuer, attacker, canary: Answer(body=b""),
    "empty object": lambda issuer, attacker, canary: Answer(body=b"{}"),
    "empty set": lambda issuer, attacker, canary: _set(),
    "null for keys": lambda issuer, attacker, canary: Answer(body=b'{"keys": null}'),
    "a list": lambda issuer, attacker, canary: Answer(body=json.dumps([attacker.jwk()]).encode()),
    "a text": lambda issuer, attacker, canary: Answer(body=b'"keys"'),
    "half a document": _half,
    "a length that is a lie": lambda issuer, attacker, canary: Answer(length=1_000_000),
    "10 MB": lambda issuer, attacker, canary: Answer(
        body=json.dumps({"keys": [attacker.jwk()], "pad": "x" * 10_000_000}).encode()
    ),
    "10,000 keys": lambda issuer, attacker, canary: _set(
        *(attacker.jwk(kid=f"k{at}", x=b64(b"x")) for at in range(10_000))
    ),
    "two lists of keys": lambda issuer, attacker, canary: Answer(
        body=b'{"keys": [], "keys": [' + json.dumps(attacker.jwk()).encode() + b"]}"
    ),
    "a secret": lambda issuer, attacker, canary: _set(new_key("HS256", attacker.kid).jwk(k=b64(SECRET))),
    "unknown key type": lambda issuer, attacker, canary: _set(attacker.jwk(kty="XYZ")),
    "unknown curve": lambda issuer, attacker, canary: _set(attacker.jwk(crv="P-999")),
    "a point off the curve": lambda issuer, attacker, canary: _set(attacker.jwk(x=b64(b"\1" * 32))),
    "wrong types": lambda issuer, attacker, canary: _set(attacker.jwk(kid=5, x=[], use={})),
    "keys that are no objects": lambda issuer, attacker, canary: Answer(body=b'{"keys": [1, "a", null, [], true]}'),
    "a key for encryption": lambda issuer, attacker, canary: _set(attacker.jwk(use="enc")),
    "a key that may only sign": lambda issuer, attacker, canary: _set(attacker.jwk(use=None, key_ops=["sign"])),
    "a weak key": _weak,
    "gzip": _zipped,
    "a redirect elsewhere": lambda issuer, attacker, canary: Answer(
        status=302, fields=(f"Location: http://127.0.0.1:{canary.port}/jwks",)
    ),
    "a redirect to itself": lambda issuer, attacker, canary: Answer(
        status=302, fields=(f"Location: {issuer.jwks_path}",)
    ),
    "a redirect to a file": lambda issuer, attacker, canary: Answer(
        status=302, fields=("Location: file:///etc/passwd",)
    ),
    "status 404": lambda issuer, attacker, canary: Answer(
        status=404, body=json.dumps({"keys": [attacker.jwk()]}).encode()
    ),
    "status 203": lambda issuer, attacker, canary: Answer(
        status=203, body=json.dumps({"keys": [attacker.jwk()]}).encode()
    ),
    "no content": lambda issuer, attacker, canary: Answer(status=204, body=b""),
    "a reset": lambda issuer, attacker, canary: Answer(reset_at=100),
    "a byte a second": lambda issuer, attacker, canary: Answer(pace=1.0),
    "no end": lambda issuer, attacker, canary: Answer(body=b" " * 4096, endless=True),
    "nested 100,000 deep": lambda issuer, attacker, canary: Answer(body=b'{"keys":' + b"[" * 100_000),
    "UTF-16": lambda issuer, attacker, canary: Answer(body=json.dumps({"keys": [attacker.jwk()]}).encode("utf-16")),
    "not UTF-8": lambda issuer, attacker, canary: Answer(body=b'{"keys": [], "\xff\xfe": 1}'),
    "a huge number": lambda issuer, attacker, canary: Answer(body=b'{"keys": [' + b"9" * 100_000 + b"]}"),
    "private members": lambda issuer, attacker, canary: _set(
        {**issuer.published[0].jwk(), **private_members(issuer.published[0].private)}
    ),
}
SECRET = b"0123456789abcdef0123456789abcdef"


def forged(issuer: Issuer, attacker: SigningKey) -> list[str]:
    """Tokens that the poison would let in, were it believed."""
    return [
        issuer.mint(attacker),
        issuer.mint(SigningKey(attacker.kid, "HS256", SECRET)),
    ]


def _at_rest(stage: Stage) -> int:
    """Bytes between two fetches: key sets go on being fetched and read, each second."""
    return min(settle(stage, 0.3) for _ in range(6))


def run(n: int, directory: Path) -> Result:
    """One issuer for each poison, all of them poisoned at once; each poison is fetched n / 36 times."""
    times = max(1, n // len(POISONS))
    refused: list[str] = []
    accepted: list[str] = []
    with KeyServer() as server, Canary() as canary:
        issuers = [Issuer(server, f"p{number}", algorithms=["ES256"]) for number in range(len(POISONS))]
        attackers = [new_key("ES256", f"{issuer.label}-attacker") for issuer in issuers]
        keys = {"refresh_interval": "1s", "timeout": "1s", "cooldown": "1h"}
        with key_scene(directory, issuers, keys=keys, workers=2) as stage:
            known = [issuer.mint() for issuer in issuers]

            def judge(which: list[str]) -> None:
                for name, issuer, attacker, token in zip(POISONS, issuers, attackers, known, strict=True):
                    with stage.client() as client:
                        for good in (token, issuer.mint(jti=f"{time.monotonic()}")):
                            if (status := client.ask("/r/x", token=good, id="k6").status) != 200:
                                which.append(f"{name}: a good token got {status}")
                        for bad in forged(issuer, attacker):
                            if (status := client.ask("/r/x", token=bad, id="k6").status) != 401:
                                accepted.append(f"{name}: a forged token got {status}")

            def all_known() -> bool:
                with stage.client() as client:
                    return all(client.ask("/r/x", token=token, id="k6").status == 200 for token in known)

            eventually(all_known)  # on a busy machine a first fetch may have taken longer than its second
            judge(refused)
            eventually(lambda: server.count() >= 3 * len(issuers), 8.0)
            workers = stage.balancer.workers
            before = _at_rest(stage)
            for issuer, attacker, poison in zip(issuers, attackers, POISONS.values(), strict=True):
                server.answers[issuer.jwks_path] = poison(issuer, attacker, canary)
            start = {issuer.label: issuer.fetches for issuer in issuers}

            def swallowed(fetches: int) -> bool:
                return all(issuer.fetches >= start[issuer.label] + fetches + 1 for issuer in issuers)

            all_fetched = eventually(lambda: swallowed(1), 14.0)
            warm = _at_rest(stage)
            all_fetched = all_fetched and eventually(lambda: swallowed(1 + times), 10.0 + 4.0 * times)
            judge(refused)
            once, grown = warm - before, _at_rest(stage) - warm
            alive = stage.balancer.workers == workers
            traces = stage.balancer.stderr.count("Traceback")
            restarts = stage.balancer.metric("lbjwt_worker_restarts_total")
            found = findings(stage, [], aside="k6")
            server.answers.clear()
        strangers = canary.take()
    figure = (
        f"{len(refused)} good tokens refused, {len(accepted)} forged ones accepted over {len(POISONS)} poisons, "
        f"memory {once / 1024:+.0f} KiB once and {grown / 1024:+.0f} KiB, "
        f"{traces} tracebacks, {strangers} connections elsewhere"
    )
    passed = (
        not refused
        and not accepted
        and once <= ONCE
        and grown <= GROWTH
        and not traces
        and not strangers
        and not found
        and alive
        and restarts == 0
        and all_fetched
    )
    note = [] if all_fetched else ["not every poison was fetched as often as it should"]
    note += [] if alive and restarts == 0 else ["a worker ended"]
    return Result(
        times * len(POISONS),
        figure,
        passed,
        failures=len(refused) + len(accepted),
        note="\n".join([*note, *refused[:5], *accepted[:5], *found[:3]]),
    )


BAR = Bar(
    "poisoned_jwks",
    f"{len(POISONS)} poisoned key sets: the last good keys stay, 0 forgeries, "
    "memory grows by at most 2 MiB after the first fetches, 0 exceptions escape",
    2 * len(POISONS),
    30 * len(POISONS),
    run,
    alias="K6",
)
