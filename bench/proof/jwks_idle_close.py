"""A key server that closes its idle connections, so a connection kept for the next refresh is dead by then (kgateway issue 4838)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.proof.keyscene import ask, described, findings, key_scene, refused
from bench.proof.registry import Bar, Result
from tests.harness.keyserver import KeyServer
from tests.harness.load import Job, drive
from tests.harness.publisher import Issuer
from tests.harness.waiting import eventually

FULL = 100  # refreshes, one a second
QUICK = 3
RATE = 150.0  # requests a second


def run(n: int, directory: Path) -> Result:
    """n refreshes; the server closes between 0 and 1.1 s after an answer, so also in the very moment of the next request."""
    with KeyServer(idle_close=(0.0, 1.1)) as server:
        issuer = Issuer(server)
        with key_scene(directory, [issuer], keys={"refresh_interval": "1s"}, workers=2) as stage:
            before = issuer.fetches
            total = int((n + 0.5) * 1.1 * RATE)

            def work() -> Iterator[Job]:
                known = issuer.mint()
                for number in range(total):
                    token = known if number % 3 else issuer.mint(jti=f"{number}")
                    yield ask(f"k12-{number}", token, fresh=number % 10 == 0)

            samples = drive(stage.port, work(), rate=RATE)
            eventually(lambda: issuer.fetches - before >= n)  # a fetch on a busy machine takes its time, too
            refreshes = issuer.fetches - before
            failures = stage.balancer.metric("lbjwt_key_fetches_total", result="failure")
            found = findings(stage, samples)
    bad = len(refused(samples))
    figure = f"{bad} of {total:,} requests refused over {refreshes} refreshes, {failures:.0f} of which failed"
    passed = bad == 0 and failures == 0 and refreshes >= n and not found
    return Result(
        refreshes, figure, passed, failures=bad, note="\n".join([f"client saw {described(samples)}", *found[:5]])
    )


BAR = Bar(
    "jwks_idle_close",
    "a key server that closes idle connections: 0 refusals, 0 failed refreshes",
    QUICK,
    FULL,
    run,
    alias="K12",
)
