"""Reloads of every kind under load: no request fails, on kept connections and on new ones."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.reloadscene import (
    VISIBLE,
    Document,
    Reloads,
    Watchers,
    hash_in_force,
    realm_of,
    reload_scene,
    require,
    series,
)
from bench.proof.scene import Tally, taken
from tests.harness.client import Client
from tests.harness.ledger import compare
from tests.harness.load import drive, jobs
from tests.harness.ports import free_port
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

RELOADS = 20
NO_RETRIES = {"main": {"retries": 0}}  # a second try would hide a lost request


def kinds(first: Document, extra_port: int) -> list[Callable[[Document], object]]:
    """Changes of every kind, in turn. Every request of the load is valid under each of them."""
    first = deepcopy(first)
    endpoints = first["clusters"]["main"]["endpoints"]

    def add_route(document: Document) -> None:
        document["routes"] = [{"name": "added", "prefix": "/added", "cluster": "main"}, *first["routes"]]

    def remove_endpoint(document: Document) -> None:
        document["clusters"]["main"]["endpoints"] = endpoints[:1]

    def return_endpoint(document: Document) -> None:
        document["clusters"]["main"]["endpoints"] = [endpoints[0], {**endpoints[1], "weight": 3}]

    def add_cluster(document: Document) -> None:
        document["clusters"]["second"] = {**first["clusters"]["main"], "endpoints": endpoints[1:]}
        document["routes"] = [{"name": "second", "prefix": "/r", "cluster": "second"}, *first["routes"]]

    def change_policy(document: Document) -> None:
        document["issuers"]["main"]["audiences"] = [*first["issuers"]["main"]["audiences"], "another"]
        document["routes"] = first["routes"]
        del document["clusters"]["second"]

    def add_listener(document: Document) -> Callable[[], object]:
        document["listeners"] = [*first["listeners"], {"address": f"127.0.0.1:{extra_port}"}]
        document["limits"] = {"max_request_head": "16KiB", "max_connections": 8192}
        return lambda: require(accepts(extra_port), "the added listener does not accept")

    def restore(document: Document) -> Callable[[], object]:
        document.clear()
        document.update(deepcopy(first))
        return lambda: require(eventually(lambda: not accepts(extra_port), 2.0), "the removed listener still accepts")

    return [add_route, remove_endpoint, return_endpoint, add_cluster, change_policy, add_listener, restore]


def accepts(port: int) -> bool:
    """Whether a request to that port is answered."""
    try:
        with Client(port, timeout=2.0) as client:
            return client.ask("/r/which").status == 401
    except OSError:
        return False


def load(stage: Stage, n: int, rate: float) -> Tally:
    """`n` requests at a fixed rate, every other one on a connection of its own, and what the ledgers say."""
    samples = drive(
        stage.port, jobs(n, stage.token, prefix="reload", fresh_every=2), rate=rate, connections=200, timeout=10.0
    )
    tally = Tally()
    tally.add(samples, compare(samples, taken(stage)))
    return tally


def run(n: int, directory: Path) -> Result:
    """Reloads spread evenly over the load, by signal, command and admin API in turn."""
    rate = 2000.0 if n >= 100_000 else 300.0
    count = RELOADS if n >= 100_000 else 7
    with reload_scene(directory, clusters=NO_RETRIES) as stage, Watchers(stage) as watchers:
        reloads = Reloads(stage)
        processes = sorted(stage.balancer.workers)
        hashes = {hash_in_force(stage)}
        steps = kinds(reloads.document, free_port())
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(series, reloads, watchers, steps, count, n / rate / count)
            tally = load(stage, n, rate)
            times = future.result()
        hashes.add(hash_in_force(stage))
        same = sorted(stage.balancer.workers) == processes
        with Client(stage.port) as client:
            new = realm_of(client.ask("/r/which")) == reloads.realm
    slow = sum(seconds > VISIBLE for seconds in times)
    figure = (
        f"{tally.count()} of {n:,} failed ({n // 2:,} on new connections) over {count} reloads, "
        f"every worker changed within {max(times):.2f} s"
    )
    wrong = [
        text
        for text, bad in (
            (f"{slow} reloads took longer than {VISIBLE:g} s", slow > 0),
            ("workers were replaced", not same),
            ("a new connection met an old configuration", not new),
            ("the hash did not change", len(hashes) != 2),
        )
        if bad
    ]
    note = "\n".join([tally.note, *wrong])
    return Result(n, figure, not tally.count() and not wrong, failures=tally.count(), note=note)


BAR = Bar(
    "hot_reload",
    "20 reloads of every kind, half of the requests on new connections: 0 fail, every worker serves the new configuration within 1 s",
    4200,
    200_000,
    run,
    alias="R1",
)
