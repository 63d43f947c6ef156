"""Keys are rotated again and again, with no warning at all, under traffic with old and new tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.proof.keyscene import ask, described, findings, key_scene, refused, stepwise
from bench.proof.registry import Bar, Result
from tests.harness.keyserver import KeyServer
from tests.harness.load import Job, drive
from tests.harness.publisher import Issuer
from tests.harness.stage import Stage

FULL = 100_000  # 50 rotations, 1,000 requests a second
QUICK = 900  # 3 rotations, 200 a second
EACH = 2000  # requests around one rotation at full size
COOLDOWN = 1.0  # seconds; the least the configuration allows
OUTSIDE = 1.0  # seconds after which a new key must be usable outside the cool-down


def inside_cooldown(stage: Stage, issuer: Issuer) -> float:
    """Rotate twice in a row; seconds until the second new key is usable, for which its tokens have to wait out the cool-down."""
    with stage.client() as client:
        for _ in range(2):
            issuer.publish_next()
            token = issuer.mint(issuer.switch())
            start = time.monotonic()
            while client.ask("/r/inside", token=token).status != 200 and time.monotonic() < start + 30.0:
                time.sleep(0.01)
    return time.monotonic() - start


def run(n: int, directory: Path) -> Result:
    """New tokens are in use from the instant on in which their key is published; the old key goes when its tokens are used no more."""
    rotations = max(3, n // EACH)
    rate, trials = (1000.0 if n >= 3 * EACH else 200.0), max(1, rotations // 10)
    each = n // rotations
    with KeyServer() as server:
        issuer = Issuer(server, algorithms=["ES256"] * (1 + rotations + 2 * trials))
        keys = {"refresh_interval": "1h", "cooldown": f"{COOLDOWN:g}s"}
        with key_scene(directory, [issuer], keys=keys, workers=2, processes=2) as stage:

            def rotate() -> None:
                issuer.publish_next()
                issuer.switch()

            def work() -> Iterator[Job]:
                tokens = [issuer.mint()] * 2  # of the old key, of the new key
                for number in range(n):
                    if number % each == 0:
                        tokens = [tokens[1], issuer.mint()]
                    # the new token comes first, and alone in the second half, before whose middle the old key goes
                    old = number % each < each // 2 and number % 2
                    yield ask(f"k3-{number}", tokens[0 if old else 1], fresh=number % 10 == 0)

            steps: dict[int, Callable[[], object]] = {}
            for rotation in range(rotations):
                steps[rotation * each] = rotate
                steps[rotation * each + each * 3 // 4] = issuer.drop_old
            time.sleep(COOLDOWN)
            samples = drive(stage.port, stepwise(work(), steps), rate=rate, connections=200)
            fetches = issuer.fetches
            found = findings(stage, samples)
            time.sleep(COOLDOWN)
            waits = [inside_cooldown(stage, issuer) for _ in range(trials)]
    bad = len(refused(samples))
    slowest = max(sample.latency for sample in samples)
    figure = (
        f"{bad} of {n:,} failed over {rotations} rotations, new keys usable within {slowest:.2f} s, "
        f"{max(waits):.2f} s inside a cool-down of {COOLDOWN:g} s; {fetches} fetches"
    )
    passed = bad == 0 and not found and slowest <= OUTSIDE and max(waits) <= COOLDOWN + 0.5
    return Result(n, figure, passed, failures=bad, note="\n".join([f"client saw {described(samples)}", *found[:5]]))


BAR = Bar(
    "key_rotation",
    "rotation without warning: new key usable within 1 s (within the cool-down inside it), 0 requests fail",
    QUICK,
    FULL,
    run,
    alias="K3",
)
