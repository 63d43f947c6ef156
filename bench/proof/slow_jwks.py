"""One issuer's server gives a byte a second, another's does not even accept, and requests with tokens of a third go on as before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.proof.keyscene import ask, findings, refused
from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.client import Client
from tests.harness.keyserver import Answer, Blackhole, KeyServer
from tests.harness.load import Job, drive, quantile
from tests.harness.processes import wait_for_port
from tests.harness.publisher import Federation, Issuer
from tests.harness.waiting import eventually

FULL = 60_000
QUICK = 900
RATE = 300.0  # requests a second
LIMIT = 5.0  # seconds of one fetch, the default; 1 s at the quick size
SLACK = 0.5  # seconds for the clock of the server, which looks every 10 ms, and for a busy machine


def run(n: int, directory: Path) -> Result:
    """Phases with and without the slow servers in turn; the ratio is that of the median p99. At the quick size latency is only printed."""
    full = n >= FULL
    limit, phases = (LIMIT, 10) if full else (1.0, 2)
    keys = {"refresh_interval": "1s", "timeout": f"{limit:g}s"}
    with KeyServer() as server, Blackhole() as hole:
        good, slow, lost = Issuer(server, "good"), Issuer(server, "slow"), Issuer(server, "lost")
        lost.jwks_uri = f"http://127.0.0.1:{hole.port}/jwks"
        entries = {"good": good.remote(), "slow": slow.remote(**keys), "lost": lost.remote(**keys)}
        tokens = Federation([good, slow, lost])
        p99: dict[bool, list[float]] = {False: [], True: []}
        with scene(
            directory, processes=1, tokens=tokens, workers=2, issuers={"main": ..., **entries}, wait_ready=False
        ) as stage:
            wait_until_served(stage.balancer.port, good.mint())

            def work(phase: int) -> Iterator[Job]:
                known = [good.mint(sub=f"u{number}") for number in range(50)]
                for number in range(n // phases):
                    yield ask(f"k7-{phase}-{number}", known[number % 50])

            samples = []
            for phase in range(phases):
                slowly = phase % 2 == 1
                server.answers.pop(slow.jwks_path, None)
                if slowly:
                    server.answers[slow.jwks_path] = Answer(pace=1.0)
                    time.sleep(1.2)  # a fetch has begun
                took = drive(stage.port, work(phase), rate=RATE)
                p99[slowly].append(quantile((sample.latency for sample in took), 0.99))
                samples += took
            failures = stage.balancer.metric("lbjwt_key_fetches_total", issuer="lost", result="failure")
            found = findings(stage, samples, aside="ready")
    drips = [fetch for fetch in server.fetches if fetch.path == slow.jwks_path and fetch.status and fetch.ended_at]
    longest = max((fetch.ended_at or 0.0) - fetch.at for fetch in drips)
    bad = len(refused(samples))
    ratio = median(p99[True]) / median(p99[False])
    figure = (
        f"fetches end within {longest:.2f} s (limit {limit:g} s), {failures:.0f} hung connects ended, {bad} of {n:,} refused, "
        f"p99 {median(p99[True]) * 1000:.1f} ms against {median(p99[False]) * 1000:.1f} ms ({ratio:.2f}×)"
    )
    passed = (
        longest <= limit + SLACK
        and longest >= limit - SLACK  # or no fetch was slow at all
        and failures >= 1
        and bad == 0
        and not found
        and (not full or ratio <= 1.1)
    )
    return Result(n, figure, passed, failures=bad, note="\n".join(found[:5]))


def wait_until_served(port: int, token: str) -> None:
    """Wait until tokens of the one good issuer pass; one issuer never has keys, so readiness is not what is asked here."""
    wait_for_port(port)

    def passes() -> bool:
        with Client(port) as client:
            return client.ask("/r/ready", token=token, id="ready").status == 200

    eventually(passes, 10.0)


BAR = Bar(
    "slow_jwks",
    "a key server that gives a byte a second, one that hangs: a fetch ends in its time, p99 of requests at most 1.1×",
    QUICK,
    FULL,
    run,
    alias="K7",
)
