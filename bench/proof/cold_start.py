"""A cold start while the keys cannot be had: an honest 503, never a pass, never the client's fault; and at once when they can."""

from __future__ import annotations

from pathlib import Path

from bench.proof.keyscene import OUTAGES, EveryWorker, break_server, findings, key_scene, mend_server
from bench.proof.registry import Bar, Result
from tests.harness.keys import new_key
from tests.harness.keyserver import KeyServer
from tests.harness.processes import wait_for_port
from tests.harness.publisher import Issuer
from tests.harness.waiting import eventually

WORKERS = 2
RECOVERY = 1.0  # seconds
ROUND = ("refused", "HTML", "silence")  # at the quick size


def cold_start(
    server: KeyServer, issuer: Issuer, directory: Path, outage: str, discover: bool
) -> tuple[list[str], float | None]:
    """What was wrong, and how long the first good answer took once the keys could be had."""
    wrong: list[str] = []
    forger = new_key("ES256", issuer.signing.kid)
    break_server(server, outage)
    keys = {"timeout": "500ms"}
    with key_scene(directory, [issuer], keys=keys, discover=discover, workers=WORKERS, wait_ready=False) as stage:
        wait_for_port(stage.port)
        eventually(lambda: stage.balancer.admin_status("/livez") == 200)
        everyone = EveryWorker(stage, WORKERS)
        for name, token in (("good", issuer.mint()), ("forged", issuer.mint(forger))):
            for client in everyone.clients.values():
                answer = client.ask("/r/x", token=token)
                if answer.status != 503 or not answer.field("Retry-After").isdigit():
                    wrong.append(
                        f"{outage}: {name} token got {answer.status}, Retry-After {answer.field('Retry-After')!r}"
                    )
        with stage.client() as client:
            if (status := client.ask("/r/x").status) != 401:
                wrong.append(f"{outage}: no token got {status}")
        if (status := stage.balancer.admin_status("/readyz")) != 503:
            wrong.append(f"{outage}: /readyz answers {status}")
        wrong += findings(stage, [])[:3]  # nothing has reached a backend yet
        mend_server(server)
        took = everyone.wait_for(issuer.mint(), 200, 10.0)
        everyone.close()
        with stage.client() as client:
            if (status := client.ask("/r/x", token=issuer.mint(forger)).status) != 401:
                wrong.append(f"{outage}: with keys, a forged token got {status}")
        if not eventually(lambda: stage.balancer.admin_status("/readyz") == 200, 1.0):
            wrong.append(f"{outage}: not ready though it serves")
    return wrong, took


def run(n: int, directory: Path) -> Result:
    """One start for each; keys by URL and by discovery in turn."""
    ways = list(OUTAGES) if n > len(ROUND) else list(ROUND)
    wrong: list[str] = []
    times: list[float] = []
    with KeyServer() as server:
        for number in range(n):
            issuer = Issuer(server)
            place = directory / str(number)
            place.mkdir()
            found, took = cold_start(server, issuer, place, ways[number % len(ways)], discover=number % 2 == 1)
            wrong += found
            if took is None:
                wrong.append(f"{ways[number % len(ways)]}: not serving after 10 s")
            else:
                times.append(took)
            mend_server(server)
    slow = sum(took > RECOVERY for took in times)
    figure = (
        f"{len(wrong)} wrong answers in {n} cold starts, serving at most {max(times, default=0):.2f} s after recovery"
    )
    return Result(n, figure, not wrong and not slow, failures=len(wrong) + slow, note="\n".join(wrong[:8]))


BAR = Bar(
    "cold_start",
    "cold start without keys: 503 with Retry-After (never 401, never a pass), readiness false, serving within 1 s of recovery",
    3,
    35,
    run,
    alias="K5",
)
