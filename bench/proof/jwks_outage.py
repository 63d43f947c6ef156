"""The issuer's keys cannot be fetched for many refresh periods, in every way there is, and nobody with a known key notices."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.proof.keyscene import (
    OUTAGES,
    ask,
    break_server,
    described,
    findings,
    key_scene,
    mend_server,
    refused,
    stepwise,
)
from bench.proof.registry import Bar, Result
from tests.harness.keyserver import KeyServer
from tests.harness.load import Job, drive
from tests.harness.publisher import Issuer
from tests.harness.waiting import eventually

FULL = 30_000
QUICK = 1200


def run(n: int, directory: Path) -> Result:
    """Twelve periods of 5 s at full size (seven of 1 s at the quick one), each with another way to fail; tokens known and never seen before."""
    interval, periods = (5, 12) if n >= FULL else (1, len(OUTAGES))
    with KeyServer() as server:
        issuer = Issuer(server)
        keys = {"refresh_interval": f"{interval}s", "timeout": "700ms"}
        with key_scene(directory, [issuer], keys=keys, workers=2, processes=2) as stage:
            known = [issuer.mint(sub=f"known-{number}") for number in range(20)]
            before = drive(stage.port, (ask(f"w-{number}", token) for number, token in enumerate(known)))
            fetched = issuer.fetches

            def work() -> Iterator[Job]:
                for number in range(n):
                    token = known[number % 20] if number % 5 else issuer.mint(jti=f"new-{number}")
                    yield ask(f"k1-{number}", token)

            ways = [*OUTAGES, *OUTAGES][:periods]
            steps = {number * (n // periods): partial(break_server, server, way) for number, way in enumerate(ways)}
            samples = drive(stage.port, stepwise(work(), steps), rate=n / (interval * periods), connections=100)
            attempts = issuer.fetches - fetched
            ready = stage.balancer.admin_status("/readyz")
            mend_server(server)
            came_back = issuer.fetches
            recovered = eventually(lambda: issuer.fetches > came_back, interval * 1.1 + 10.0)
            found = findings(stage, [*before, *samples])
    bad = len(refused([*before, *samples]))
    figure = f"{bad} of {n:,} refused over {periods} periods of {interval} s, {attempts} fetches in vain"
    passed = bad == 0 and not found and attempts >= periods // 2 and ready == 200 and recovered
    note = f"client saw {described(samples)}; readiness {ready}; fetched again afterwards: {recovered}"
    return Result(n, figure, passed, failures=bad, note="\n".join([note, *found[:5]]))


BAR = Bar(
    "jwks_outage",
    "0 valid tokens with a known key refused while the keys cannot be fetched for 12 refresh periods",
    QUICK,
    FULL,
    run,
    alias="K1",
)
