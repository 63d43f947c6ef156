"""A thousand broken configuration files: each is refused with its problem, and the configuration in force goes on serving."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from bench.proof.breakages import Breakage, Breaker, clear, taken_port
from bench.proof.registry import Bar, Result
from bench.proof.reloadscene import (
    SUCCESS_TIME,
    SUCCESSFUL,
    Reloads,
    Watchers,
    hash_in_force,
    reload_command,
    reload_scene,
)
from bench.proof.scene import Tally, taken
from tests.harness.ledger import compare
from tests.harness.load import Job, drive, jobs
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

LIMIT = 1.0  # seconds for a refusal
RATE, QUICK_RATE = 500.0, 200.0  # requests a second: in a quick run the machine does other things as well
REFUSED = "configuration not reloaded"  # in the log
BY_SIGNAL, BY_COMMAND = 10, 25  # every so many-th; the others by the admin API


def refuse(stage: Stage, number: int) -> tuple[str, float]:
    """Ask for a reload of a broken file. What was wrong with the refusal, "" if nothing, and the seconds it took."""
    balancer = stage.balancer
    start = time.monotonic()
    if number % BY_SIGNAL == BY_SIGNAL - 1:
        before = balancer.stderr.count(REFUSED)
        balancer.signal(signal.SIGHUP)
        told = eventually(lambda: balancer.stderr.count(REFUSED) > before, 5.0)
        return "" if told else "no word in the log", time.monotonic() - start
    if number % BY_COMMAND == BY_COMMAND - 2:
        done = reload_command(stage)
        seconds = 0.0  # most of it is the start of the command
        return ("" if done.returncode == 2 and done.stdout + done.stderr else f"exit code {done.returncode}"), seconds
    status, body = balancer.admin_post("/reload", {})
    seconds = time.monotonic() - start
    if status != 422:
        return f"status {status}: {body.decode('utf-8', 'replace')[:200]}", seconds
    reply = json.loads(body)
    return ("" if reply["problems"] and not reply["changes"] else f"reply {reply}"), seconds


def work(token: str, over: threading.Event) -> Iterator[Job]:
    """Requests until it is over, one in ten on a connection of its own."""
    for job in jobs(10**9, token, prefix="broken", fresh_every=10):
        if over.is_set():
            return
        yield job


def run(n: int, directory: Path) -> Result:
    """One file after another, while requests go on."""
    broken = directory / "broken"
    broken.mkdir()
    over = threading.Event()
    wrong: list[str] = []
    kinds: Counter[str] = Counter()
    slowest, changed = 0.0, 0
    with taken_port() as occupied, reload_scene(directory) as stage, ThreadPoolExecutor(1) as pool:
        reloads, watchers = Reloads(stage), Watchers(stage)
        reloads.publish("post")
        hash_before, time_before = hash_in_force(stage), stage.balancer.metric(SUCCESS_TIME)
        breaker = Breaker({**reloads.document, "realm": "broken"}, broken, occupied.getsockname()[1])

        def one(number: int, breakage: Breakage) -> None:
            nonlocal slowest, changed
            clear(stage.balancer.config_path)
            breakage.apply(stage.balancer.config_path)
            problem, seconds = refuse(stage, number)
            slowest = max(slowest, seconds)
            if problem or seconds > LIMIT:
                wrong.append(f"{breakage.name}: {problem or f'{seconds:.2f} s'}")
            if set(watchers.realms()) != {reloads.realm}:
                changed += 1
                wrong.append(f"{breakage.name}: the configuration in force changed")

        def all_of_them() -> None:
            try:
                for number, breakage in enumerate(islice(breaker, n)):
                    one(number, breakage)
            finally:
                over.set()

        future = pool.submit(all_of_them)
        samples = drive(
            stage.port, work(stage.token, over), rate=RATE if n >= BAR.full else QUICK_RATE, connections=100
        )
        future.result()
        tally = Tally()
        tally.add(samples, compare(samples, taken(stage)))
        kinds.update(text.partition(":")[0] for text in wrong)
        if stage.balancer.metric(SUCCESSFUL) != 0 or stage.balancer.metric(SUCCESS_TIME) != time_before:
            wrong.append("the metrics do not say that the last reload failed")
        if hash_in_force(stage) != hash_before:
            wrong.append("the hash changed")
        clear(stage.balancer.config_path)
        reloads.publish("post")
        if watchers.wait_for(reloads.realm) > LIMIT or stage.balancer.metric(SUCCESSFUL) != 1:
            wrong.append("a good file is not applied afterwards")
        watchers.close()
    figure = (
        f"{n - sum(kinds.values()):,} of {n:,} refused within {LIMIT:g} s (slowest {slowest:.2f} s), {changed} changed something; "
        f"{tally.count()} of {tally.sent:,} requests failed"
    )
    return Result(
        n,
        figure,
        not wrong and not tally.count(),
        failures=len(wrong) + tally.count(),
        note="\n".join([tally.note, *wrong[:12]]),
    )


BAR = Bar(
    "broken_configurations",
    "1,000 broken configuration files: each refused within 1 s with its problem, the old one stays in force, 0 requests fail",
    120,
    1000,
    run,
    alias="R5",
)
