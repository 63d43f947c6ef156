"""``python -m bench``: measure, compare, print, store. Every proxy in turn, the order rotated from round to round."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from bench import child, idle, report
from bench.cases import CASES, Case
from bench.layout import layout, own_cores
from bench.machine import describe
from bench.measure import measure
from bench.peers import PEERS

RESULTS = Path(__file__).parent / "results"


def _names(known: Sequence[str], text: str | None, what: str) -> list[str]:
    if text is None:
        return list(known)
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise click.UsageError(f"no {what} called {', '.join(unknown)}; there are {', '.join(known)}")
    return wanted


def turned(peers: tuple[str, ...], number: int) -> tuple[str, ...]:
    """The peers in another order each round, so that none always follows the same neighbour or comes first."""
    turn = number % len(peers)
    return peers[turn:] + peers[:turn]


def _plan(cases: list[str], peers: list[str]) -> list[Case]:
    """The cases, each with those of its peers that take part."""
    chosen = [replace(CASES[name], peers=tuple(peer for peer in CASES[name].peers if peer in peers)) for name in cases]
    return [case for case in chosen if case.peers]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--cases", help="Comma-separated; all by default. Names: --list.")
@click.option("--peers", help="Comma-separated; all by default. Names: --list.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option(
    "--seconds",
    default=3.0,
    show_default=True,
    type=click.FloatRange(1),
    envvar="BENCH_SECONDS",
    help="Of each measurement.",
)
@click.option("--list", "listing", is_flag=True, help="Name the cases and peers and stop.")
def main(cases: str | None, peers: str | None, rounds: int, seconds: float, listing: bool) -> None:
    """CPU per request of lbjwt beside nginx, HAProxy, Envoy and a relay that does nothing; the bars, judged."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    if listing:
        for case in CASES.values():
            console.print(f"case {case.name:15} {case.about}", highlight=False)
        for peer in PEERS.values():
            console.print(f"peer {peer.name:18} {peer.about}", highlight=False)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    wanted = _names(list(PEERS), peers, "peer")
    plan = _plan(_names(list(CASES), cases, "case"), wanted)
    used = [name for name in PEERS if any(name in case.peers for case in plan)]
    absent = [name for name in used if PEERS[name].program() is None]
    present = [PEERS[name] for name in used if name not in absent]
    try:
        idle.allow_files(2 * idle.CONNECTIONS + 1000)
        scales = layout(own_cores()).scales
    except child.BenchError as error:
        raise click.ClickException(str(error)) from error
    results = report.Results(describe(present), seconds, rounds, scales)
    results.skipped = [f"{PEERS[name].about} is not installed: {PEERS[name].install}" for name in absent]
    for line in results.skipped:
        console.print(line, highlight=False)
    _measure_all(plan, absent, results, console)
    console.print()
    report.show(results, console)
    page = report.store(results, RESULTS, time.strftime("%Y%m%d-%H%M%S"))
    console.print(f"stored in {os.path.relpath(page)} and .json", highlight=False)
    sys.exit(1 if results.failures else 0)


def _measure_all(plan: list[Case], absent: list[str], results: report.Results, console: Console) -> None:
    cores = own_cores()
    for number in range(results.rounds):
        for case in plan:
            for name in turned(case.peers, number):
                if name in absent:
                    continue
                label = f"round {number + 1}  {case.name:15} {name:18}"
                try:
                    figures = measure(
                        case, PEERS[name], number, cores=layout(cores, workers=case.workers), seconds=results.seconds
                    )
                except child.BenchError as error:
                    results.failures.append(f"{case.name}, {name}, round {number + 1}: {error}")
                    console.print(f"{label} failed: {error}", highlight=False, markup=False)
                    continue
                results.figures.append(figures)
                if figures.cpu_us is None:
                    found = f"{(figures.connection_bytes or 0) / 1024:.1f} KiB each"
                else:
                    found = f"{figures.cpu_us:7.1f} µs  {figures.per_second:9,.0f}/s  others {figures.foreign:.0%}"
                console.print(f"{label} {found}", highlight=False)


if __name__ == "__main__":
    main()
