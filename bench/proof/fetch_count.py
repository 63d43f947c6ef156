"""Many workers and many issuers, and each issuer is asked once a period by all of them together."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

from bench.proof.keyscene import EveryWorker, key_scene
from bench.proof.registry import Bar, Result
from tests.harness.keyserver import KeyServer
from tests.harness.publisher import Issuer
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

ISSUERS = 10
WORKERS = 4
PERIOD = 1.0  # seconds
DELAY = 0.3  # seconds by which a busy machine may see one fetch later than it was made
EARLY = 0.9 * PERIOD - DELAY  # seconds between two fetches at least: the jitter is a tenth
LATE = 1.1 * PERIOD + 2 * DELAY  # less than two periods, so that a fetch left out is seen


def gaps(server: KeyServer, issuer: Issuer, since: float) -> list[float]:
    """Seconds between neighbouring fetches of one issuer."""
    times = [at for at in server.times(issuer.jwks_path) if at >= since]
    return [later - sooner for sooner, later in pairwise(times)]


def unserved(stage: Stage, tokens: list[str], when: str) -> list[str]:
    """Tokens that do not pass."""
    with stage.client() as client:
        statuses = [client.ask("/r/x", token=token).status for token in tokens]
    return [] if set(statuses) == {200} else [f"{when}: {statuses}"]


def run(n: int, directory: Path) -> Result:
    """n fetches in the steady state; in their middle a worker dies; after them the balancer is started again on the same state directory."""
    wrong: list[str] = []
    state = directory / "state"
    with KeyServer() as server:
        issuers = [Issuer(server, f"i{number}", algorithms=["ES256"]) for number in range(ISSUERS)]

        def started(interval: str) -> Stage:
            keys = {"refresh_interval": interval}
            return key_scene(directory, issuers, keys=keys, workers=WORKERS, state_directory=str(state))

        with started(f"{PERIOD:g}s") as stage:
            tokens = [issuer.mint() for issuer in issuers]
            everyone = EveryWorker(stage, WORKERS)
            for token in tokens:
                if set(answers := everyone.statuses(token)) != {200}:
                    wrong.append(f"workers answer {answers}")
            victim = next(iter(everyone.clients))
            everyone.close()
            begin = time.monotonic()
            at_start = server.count()
            seconds = n / ISSUERS * PERIOD
            time.sleep(seconds / 2)
            os.kill(victim, signal.SIGKILL)
            time.sleep(seconds / 2)
            if not eventually(lambda: stage.balancer.metric("lbjwt_worker_restarts_total") >= 1):
                wrong.append("the killed worker was not replaced")
            fetched = server.count() - at_start
            steady = [gap for issuer in issuers for gap in gaps(server, issuer, begin)]
        again = server.count()
        with started("1h") as stage:
            wrong += unserved(stage, tokens, "after a restart")
            time.sleep(1.0)
        restart = server.count() - again
        server.close_door()  # and once more without the issuers: the keys on disk serve
        with started("1h") as stage:
            wrong += unserved(stage, tokens, "after a restart without the issuers")
    early = [gap for gap in steady if gap < EARLY]
    late = [gap for gap in steady if gap > LATE]
    if restart > ISSUERS:
        wrong.append(f"{restart} fetches at a restart")
    figure = (
        f"{fetched} fetches of {ISSUERS} issuers by {WORKERS} workers in {seconds:.0f} s, gaps {min(steady, default=0):.2f} to "
        f"{max(steady, default=0):.2f} s, {len(early)} early, {len(late)} late; {restart} at a restart"
    )
    bad = len(early) + len(late) + len(wrong)
    return Result(fetched, figure, bad == 0 and fetched > 0, failures=bad, note="\n".join(wrong[:5]))


BAR = Bar(
    "fetch_count",
    "4 workers and 10 issuers: one fetch per issuer and period, the death of a worker adds none, a restart at most one",
    40,
    600,
    run,
    alias="K8",
)
