"""A key is withdrawn while its tokens are in use, and every worker refuses them, remembered or not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.proof.keyscene import EveryWorker, ask, described, key_scene, stepwise
from bench.proof.registry import Bar, Result
from tests.harness.keyserver import KeyServer
from tests.harness.load import Job, Sample, drive
from tests.harness.publisher import Issuer
from tests.harness.stage import Stage

EACH = 1200  # requests around one withdrawal
RATE = 300.0  # a second
REFRESH = 1.0  # seconds
LATE = REFRESH + 1.0  # seconds after which no token by the withdrawn key passes
WORKERS = 2


def one_removal(stage: Stage, issuer: Issuer, number: int) -> tuple[list[Sample], float, bool]:
    """Requests with tokens by a key that goes and by one that stays; the samples, when the key went, and whether every worker knows."""
    going, staying = issuer.published[-2:]
    hot = [issuer.mint(going, sub=f"user-{user}") for user in range(10)]
    steady = issuer.mint(staying)
    went = 0.0

    def withdraw() -> None:
        nonlocal went
        issuer.withdraw(going)
        went = time.monotonic()

    def work() -> Iterator[Job]:
        for at in range(EACH):
            if at % 3 == 2:
                yield ask(f"stay-{number}-{at}", steady, fresh=at % 10 == 0)
            elif at % 12 == 1:  # by the withdrawn key, and seen by nobody before
                yield ask(f"gone-{number}-{at}", issuer.mint(going, jti=f"new-{at}"))
            else:
                yield ask(f"gone-{number}-{at}", hot[at % 10], fresh=at % 10 == 0)

    samples = drive(stage.port, stepwise(work(), {EACH // 4: withdraw}), rate=RATE, connections=100)
    everyone = EveryWorker(stage, WORKERS)
    try:
        known = set(everyone.statuses(hot[0])) == {401} and set(everyone.statuses(steady)) == {200}
    finally:
        everyone.close()
    return samples, went, known


def run(n: int, directory: Path) -> Result:
    """One withdrawal for every 1,200 requests, two thirds of which carry tokens by the key that goes."""
    removals = n // EACH
    with KeyServer() as server:
        issuer = Issuer(server, algorithms=["ES256"] * (removals + 1))
        issuer.publish_next()
        keys = {"refresh_interval": f"{REFRESH:g}s", "cooldown": "1h"}
        with key_scene(directory, [issuer], keys=keys, workers=WORKERS) as stage:
            rounds = []
            for number in range(removals):
                if number:
                    issuer.publish_next()
                    time.sleep(REFRESH * 1.1 + 0.5)  # it is known by then: in this bar no unknown key id causes a fetch
                rounds.append(one_removal(stage, issuer, number))
    late, early, hurt, slowest = 0, 0, 0, 0.0
    for samples, went, _ in rounds:
        for sample in samples:
            if sample.id.startswith("stay"):
                hurt += sample.status != 200
            elif sample.at < went - 0.1:
                early += sample.status != 200
            elif sample.status == 200:
                slowest = max(slowest, sample.at - went)
                late += sample.at - went > LATE
    unknown = sum(not known for _, _, known in rounds)
    figure = (
        f"{late} accepted later than refresh + 1 s in {removals} withdrawals, the last {slowest:.2f} s after; "
        f"{unknown} times a worker did not know; {early} refused before, {hurt} by the other key refused"
    )
    everything = [sample for samples, _, _ in rounds for sample in samples]
    passed = not late and not unknown and not early and not hurt
    return Result(n, figure, passed, failures=late + unknown + early + hurt, note=f"client saw {described(everything)}")


BAR = Bar(
    "key_withdrawal",
    "a withdrawn key: 0 acceptances later than refresh + 1 s on any worker, remembered or not; other keys unharmed",
    EACH,
    20 * EACH,
    run,
    alias="K4",
)
