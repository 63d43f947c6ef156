"""A thousand reloads with names that come and go: files, memory and processes stay what they were."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from bench.proof.hot_reload import load
from bench.proof.registry import Bar, Result
from bench.proof.reloadscene import Document, Reloads, Watchers, reload_scene
from bench.proof.scene import settle
from tests.harness.ports import free_port
from tests.harness.procfs import fd_count, is_alive, memory, tree
from tests.harness.stage import Stage

GROWTH = 1 << 20  # bytes
WARM = 1100  # reloads before the first mark: a name that left gives up its place in the shared stats when all places have been used once
QUICK_WARM = 20
QUICK_GROWTH = 4 << 20  # bytes, while places are used for the first time
REQUESTS = 200  # before each mark, so that both find the same pools


def churn(first: Document, number: int, port: int) -> Document:
    """A configuration with a route, a cluster, an endpoint and a listener that no other has, or without a listener in turn."""
    document = deepcopy(first)
    document["clusters"][f"cluster-{number}"] = {"endpoints": [{"address": f"127.0.0.1:{20000 + number % 20000}"}]}
    document["routes"].insert(
        0, {"name": f"route-{number}", "prefix": f"/gone/{number}", "cluster": f"cluster-{number}"}
    )
    if number % 2:
        document["listeners"].append({"address": f"127.0.0.1:{port}"})
    document["issuers"][f"issuer-{number}"] = {**document["issuers"]["main"], "issuer": f"https://churn.test/{number}"}
    return document


def mark(stage: Stage, watchers: Watchers) -> tuple[dict[int, int], dict[int, int]]:
    """Files and memory of each process, after the same load as at every mark."""
    load(stage, REQUESTS, 200.0)
    settle(stage, 1.0)
    pids = tree(stage.balancer.pid)
    return {pid: fd_count(pid) for pid in pids}, {pid: memory(pid) for pid in pids}


def run(n: int, directory: Path) -> Result:
    """Reloads by the admin API, one after the other; the service is back at its first configuration at each mark."""
    port = free_port()
    with reload_scene(directory, clusters={"main": {"idle_timeout": "1s"}}) as stage:
        reloads, watchers = Reloads(stage), Watchers(stage)
        first = deepcopy(reloads.document)

        def rounds(start: int, count: int) -> None:
            for number in range(start, start + count):
                reloads.document = churn(first, number, port)
                reloads.publish("post")
            reloads.document = deepcopy(first)
            reloads.publish("post")
            watchers.wait_for(reloads.realm)

        rounds(0, WARM if n >= 1000 else QUICK_WARM)
        files, bytes_before = mark(stage, watchers)
        rounds(100_000, n)
        files_after, bytes_after = mark(stage, watchers)
        pids = tree(stage.balancer.pid)
        zombies = sum(not is_alive(pid) for pid in pids)
        supervisor = stage.balancer.pid
        watchers.close()
    grown = sum(bytes_after.values()) - sum(bytes_before.values())
    same = files.keys() == files_after.keys()
    more = {pid: files_after.get(pid, 0) - files.get(pid, 0) for pid in files}
    worst = max(more.values(), key=abs)
    figure = (
        f"after {n} reloads files {more[supervisor]:+d} in the supervisor, at most {worst:+d} in any process, "
        f"memory {grown / 1024:+.0f} KiB in all ({(bytes_after[supervisor] - bytes_before[supervisor]) / 1024:+.0f} KiB the supervisor), "
        f"{zombies} zombies"
    )
    passed = (
        same
        and not more[supervisor]
        and abs(worst) <= 2
        and grown <= (GROWTH if n >= 1000 else QUICK_GROWTH)
        and not zombies
    )
    return Result(n, figure, passed, note="" if same else "processes were replaced")


BAR = Bar(
    "reload_leaks",
    "1,000 reloads with ever new routes, clusters, endpoints, listeners, issuers: no file more in the supervisor, at most 1 MiB in all, 0 zombies",
    60,
    1000,
    run,
    alias="R9",
)
