"""Upgrades of the program under load: no request fails, and a build that cannot start changes nothing."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.proof.hot_reload import NO_RETRIES, load
from bench.proof.registry import Bar, Result
from bench.proof.releases import Releases, Upgrades
from bench.proof.reloadscene import reload_scene, require
from tests.harness.procfs import is_alive
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

GIVEN_UP = 30.0  # seconds until a build that cannot start must have been given up


def version_of(stage: Stage) -> str:
    """The version of the program that serves the admin API; "" while nobody does."""
    try:
        samples = stage.balancer.metrics()
    except RuntimeError:
        return ""
    return next((dict(labels)["version"] for (name, labels), _ in samples if name == "lbjwt_build_info"), "")


def serves(stage: Stage, version: str) -> bool:
    """Whether that version answers at the admin API, now or soon."""
    return eventually(lambda: version_of(stage) == version)


def upgrade_each(stage: Stage, releases: Releases, upgrades: Upgrades, count: int, every: float) -> list[float]:
    """`count` upgrades, the third to a build that cannot start; the seconds each good one took."""
    times: list[float] = []
    begin = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begin + (number + 0.3) * every - time.monotonic()))
        before, version = upgrades.pid, releases.version
        broken = number == min(2, count - 1)
        releases.install(f"2.{number}.0", broken=broken)
        upgrades.start()
        if broken:
            require(eventually(lambda: upgrades.failures() > 0, GIVEN_UP), "no metric says that the upgrade failed")
            releases.point_to(version)
            require(upgrades.pid == before and is_alive(before), "the old program is gone")
            require(serves(stage, version), "the old program's control process is gone")
        else:
            times.append(upgrades.wait())
            require(serves(stage, releases.version), "the new program does not serve")
    return times


def run(n: int, directory: Path) -> Result:
    """Upgrades spread evenly over the load."""
    rate = 2000.0 if n >= 100_000 else 200.0
    count = 5 if n >= 100_000 else 2
    releases = Releases(directory)
    with (
        reload_scene(directory, program=releases.program, clusters=NO_RETRIES, timeouts={"drain": "5s"}) as stage,
        ThreadPoolExecutor(1) as pool,
    ):
        upgrades = Upgrades(stage)
        future = pool.submit(upgrade_each, stage, releases, upgrades, count, n / rate / count)
        tally = load(stage, n, rate)
        times = future.result()
    figure = (
        f"{tally.count()} of {n:,} failed over {count} upgrades, one of them to a build that cannot start; "
        f"the others took at most {max(times):.1f} s"
    )
    return Result(n, figure, not tally.count(), failures=tally.count(), note=tally.note)


BAR = Bar(
    "upgrade",
    "5 upgrades of the program under load, one to a build that cannot start: 0 requests fail",
    3000,
    200_000,
    run,
    alias="R8",
)
