"""A hundred reloads in ten seconds: the last one wins, memory stays bounded, no request fails."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench.proof.hot_reload import load
from bench.proof.registry import Bar, Result
from bench.proof.reloadscene import Reloads, Watchers, reload_scene
from bench.proof.scene import settle
from tests.harness.procfs import usage
from tests.harness.waiting import eventually

GAP = 0.1  # seconds between two signals
GROWTH = 3.0  # times the memory of before
SETTLED = 2.0  # seconds after the last signal until every worker serves what was written last
ROUTES = 100  # so that building a configuration is work


@dataclass
class Peak:
    """The most that the process tree took at any look."""

    pid: int
    rss: int = 0
    processes: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Look until `over`."""
        while not self.over.wait(0.05):
            now = usage(self.pid)
            self.rss, self.processes = max(self.rss, now.rss), max(self.processes, now.processes)


def run(n: int, directory: Path) -> Result:
    """Signals at a fixed pace, each for a file that nobody has read yet."""
    rate = 300.0
    routes = [{"name": f"r{number}", "prefix": f"/route/{number}", "cluster": "main"} for number in range(ROUTES)]
    routes.append({"name": "all", "prefix": "/", "cluster": "main"})
    # One process more may read the file.
    # Pools empty within a second, so that files tell.
    with (
        reload_scene(directory, routes=routes, clusters={"main": {"idle_timeout": "1s"}}) as stage,
        ThreadPoolExecutor(2) as pool,
    ):
        reloads, watchers = Reloads(stage), Watchers(stage)
        load(stage, 1000, rate)
        before, processes, files = settle(stage, 3.0), stage.balancer.usage().processes, stage.balancer.usage().fds
        peak = Peak(stage.balancer.pid)
        seen = pool.submit(peak.watch)

        def storm() -> float:
            begin = time.monotonic()
            for number in range(n):
                time.sleep(max(0.0, begin + number * GAP - time.monotonic()))
                reloads.document["routes"][0]["prefix"] = f"/route/{number}-again"
                reloads.publish()
            return watchers.wait_for(reloads.realm, 10.0)

        storming = pool.submit(storm)
        tally = load(stage, int(rate * (n * GAP + 1)), rate)
        settled = storming.result()
        peak.over.set()
        seen.result()
        watchers.close()
        quiet = eventually(lambda: stage.balancer.usage().fds <= files + 4, 10.0)
    figure = (
        f"{tally.count()} of {tally.sent:,} failed during {n} reloads in {n * GAP:g} s, the last served {settled:.2f} s after its signal; "
        f"memory at most {peak.rss / before:.2f} × of before, at most {peak.processes} processes of {processes}"
    )
    wrong = [
        text
        for text, bad in (
            (f"the last configuration is not served {SETTLED:g} s later", settled > SETTLED),
            ("memory", peak.rss > GROWTH * before),
            ("more processes", peak.processes > processes + 1),
            ("files stay open", not quiet),
        )
        if bad
    ]
    note = "\n".join([tally.note, *wrong])
    return Result(tally.sent, figure, not tally.count() and not wrong, failures=tally.count(), note=note)


BAR = Bar(
    "reload_storm",
    "100 reloads in 10 s: the last is in force 2 s later, memory at most 3 times that of before, at most one further process, 0 requests fail",
    20,
    100,
    run,
    alias="R6",
)
