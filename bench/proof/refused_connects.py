"""One of three backends refuses every connect, and nothing passes it over: the next one is tried at once."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.load import drive, jobs, quantile
from tests.harness.ports import free_port

NEXT = 0.005  # seconds until the next backend is tried
ADDED = 0.010  # seconds at the 99th percentile
RATE = 200.0  # requests a second


def run(n: int, directory: Path) -> Result:
    """Half of the requests without the backend that refuses, half with it. It is preferred, because nothing is ever in flight there."""
    address = f"127.0.0.1:{free_port()}"
    with scene(directory, endpoints=[address], clusters={"main": {"ejection": False}}) as stage:
        times: dict[str, list[float]] = {}
        failed = 0
        refused = 0.0
        for state in ("disabled", "in service"):
            status, _ = stage.balancer.admin_post(f"/clusters/main/endpoints/{address}", {"state": state})
            assert status == 200, status
            before = stage.balancer.metric("lbjwt_endpoint_failures_total", endpoint=address)
            samples = drive(stage.port, jobs(n // 2, stage.token, prefix=state[:1]), rate=RATE, connections=64)
            refused = stage.balancer.metric("lbjwt_endpoint_failures_total", endpoint=address) - before
            failed += sum(not sample.is_good for sample in samples)
            times[state] = [sample.latency for sample in samples]
    tried = median(times["in service"]) - median(times["disabled"])
    added = quantile(times["in service"], 0.99) - quantile(times["disabled"], 0.99)
    figure = (
        f"{failed} failed, {refused:.0f} connects refused; median + {1e3 * tried:.2f} ms, p99 + {1e3 * added:.2f} ms"
    )
    good = not failed and refused >= n // 8 and tried <= NEXT and added <= ADDED
    return Result(n // 2 * 2, figure, good, failures=failed)


BAR = Bar(
    "refused_connects",
    "a backend that refuses connects costs no request: the next one is tried within 5 ms, and the 99th percentile rises by 10 ms at most",
    0,
    10_000,
    run,
    alias="B-5",
)
