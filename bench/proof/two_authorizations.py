"""Two Authorization fields while the keys cannot be fetched: what once ended another proxy (CVE-2025-64527)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.proof.keyscene import ask, break_server, described, findings, key_scene
from bench.proof.registry import Bar, Result
from tests.harness.keys import new_key
from tests.harness.keyserver import KeyServer
from tests.harness.load import Job, drive
from tests.harness.publisher import Issuer


def run(n: int, directory: Path) -> Result:
    """Good, forged and unknown tokens in all pairs, also the same one twice."""
    with KeyServer() as server:
        issuer = Issuer(server)
        with key_scene(directory, [issuer], keys={"refresh_interval": "1s", "cooldown": "1s"}, workers=2) as stage:
            workers = stage.balancer.workers
            break_server(server, "status 500")
            stranger = new_key("ES256", "nobody-knows")

            def work() -> Iterator[Job]:
                known = issuer.mint()
                for number in range(n):
                    unknown = issuer.mint(stranger, jti=f"{number}")
                    pair = [(known, unknown), (unknown, known), (unknown, unknown), (known, known)][number % 4]
                    field = f"Authorization: Bearer {pair[1]}"
                    yield ask(f"k11-{number}", pair[0], fields=[field], fresh=number % 5 == 0)

            samples = drive(stage.port, work(), connections=16)
            alive = stage.balancer.workers == workers and stage.balancer.metric("lbjwt_worker_restarts_total") == 0
            with stage.client() as client:
                served = client.ask("/r/x", token=issuer.mint(), id="after").status == 200
            found = findings(stage, samples, aside="after")
    wrong = sum(sample.status != 400 for sample in samples)
    figure = f"{wrong} of {n:,} not answered 400, workers {'all alive' if alive else 'ended'}"
    passed = wrong == 0 and alive and served and not found
    return Result(n, figure, passed, failures=wrong, note="\n".join([f"client saw {described(samples)}", *found[:5]]))


BAR = Bar(
    "two_authorizations",
    "two Authorization fields while the keys cannot be fetched: always 400, no worker ends",
    800,
    10_000,
    run,
    alias="K11",
)
