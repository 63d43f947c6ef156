"""From figures to tables: in the terminal, as Markdown, as JSON. Medians over rounds; a ratio to HAProxy without auth beside each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench import bars
from bench.cases import CASES, Case
from bench.measure import Figures
from bench.peers import PEERS

DISTURBED = 0.10  # share of the proxy's core used by others, from which a figure is marked

HEADINGS = ("", "CPU µs/request", "× HAProxy no auth", "requests/s", "p50 ms", "p99 ms", "memory MiB", "KiB/idle conn")
METHOD = (
    "One proxy after another, each started anew, pinned to one core with one worker; load (wrk, closed loop, 64 connections unless said; "
    "h2load for HTTP/2) and backend on the other core(s). CPU is user+sys of the proxy's whole process tree over the requests answered. "
    "Every run was checked: bad tokens refused, every answer the expected one, the backend's count in agreement with the load's "
    "(nghttpd, the HTTP/2 backend, does not count). Cells are medians over rounds; ratios are taken within each round, then the median."
)


@dataclass
class Results:
    """Everything one run found."""

    machine: dict[str, str]
    seconds: float
    rounds: int
    scales: bool
    figures: list[Figures] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def _cell(values: list[float | None], show: Callable[[float], str]) -> str:
    present = [value for value in values if value is not None]
    return show(median(present)) if present else ""


def _ratio(mine: list[Figures], base: dict[int, float]) -> str:
    ratios = [
        figure.cpu_us / base[figure.round] for figure in mine if figure.cpu_us is not None and figure.round in base
    ]
    return f"{median(ratios):.2f}" if ratios else ""


def rows(case: Case, figures: list[Figures]) -> list[tuple[str, ...]]:
    """A line per proxy of one case, cells as text in the order of ``HEADINGS``; proxies without figures are left out."""
    lines: list[tuple[str, ...]] = []
    base = {f.round: f.cpu_us for f in figures if (f.case, f.peer) == (case.name, "haproxy") and f.cpu_us is not None}
    for name in case.peers:
        mine = [figure for figure in figures if (figure.case, figure.peer) == (case.name, name)]
        if not mine:
            continue
        disturbed = any(figure.foreign is not None and figure.foreign > DISTURBED for figure in mine)
        lines.append(
            (
                PEERS[name].about + (" *" if disturbed else ""),
                _cell([f.cpu_us for f in mine], lambda v: f"{v:.1f}"),
                _ratio(mine, base),
                _cell([f.per_second for f in mine], lambda v: f"{v:,.0f}"),
                _cell([f.p50_us for f in mine], lambda v: f"{v / 1000:.2f}"),
                _cell([f.p99_us for f in mine], lambda v: f"{v / 1000:.2f}"),
                _cell([f.memory_bytes for f in mine], lambda v: f"{v / 2**20:.1f}"),
                _cell([f.connection_bytes for f in mine], lambda v: f"{v / 1024:.1f}"),
            )
        )
    return lines


def verdicts(results: Results) -> list[bars.Verdict]:
    """All bars, judged; those whose case was not part of the run are left out."""
    asked = {figure.case for figure in results.figures}
    return [bars.judge(bar, results.figures, scales=results.scales) for bar in bars.BARS if bar.ours[0] in asked]


def _bar_row(verdict: bars.Verdict) -> tuple[str, str, str, str]:
    bar = verdict.bar
    value = "" if verdict.value is None else f"{verdict.value:.2f}{bar.unit}"
    return bar.about, f"{'≥' if bar.floor else '≤'} {bar.limit:.2f}{bar.unit}", value, verdict.word


def _tables(results: Results) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    found: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = []
    for case in CASES.values():
        lines = rows(case, results.figures)
        if lines:
            kept = [0, *(i for i in range(1, len(HEADINGS)) if any(line[i] for line in lines))]
            cut = [tuple(line[i] for i in kept) for line in lines]
            found.append((case.about, tuple(HEADINGS[i] for i in kept), cut))
    found.append(("bars", ("", "bar", "measured", ""), [_bar_row(verdict) for verdict in verdicts(results)]))
    return found


def _remarks(results: Results) -> list[str]:
    remarks = []
    if any(figure.foreign is not None and figure.foreign > DISTURBED for figure in results.figures):
        remarks.append(
            f"* others used more than {DISTURBED:.0%} of the proxy's core in at least one round; repeat on a quiet machine"
        )
    if not results.scales and any(figure.case == "workers" for figure in results.figures):
        remarks.append(
            "two workers shared one core, because the machine has fewer than 4: only their CPU per request can be compared"
        )
    agreed = sorted({f"{figure.peer}: {figure.tls}" for figure in results.figures if figure.tls})
    if agreed:
        remarks.append("TLS agreed on: " + "; ".join(agreed))
    remarks += [f"failed: {failure}" for failure in results.failures]
    remarks += [f"skipped: {reason}" for reason in results.skipped]
    return remarks


def show(results: Results, console: Console) -> None:
    """Print all tables and remarks."""
    for title, headings, lines in _tables(results):
        table = Table(title=title, title_justify="left", title_style="bold")
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="left" if number == 0 else "right")
        for line in lines:
            style = {"falls short": "red", "pass": "green"}.get(line[-1])
            table.add_row(*line, style=style)
        console.print(table)
    for remark in _remarks(results):
        console.print(remark, highlight=False, markup=False)


def markdown(results: Results) -> str:
    """The same as a page."""
    parts = ["# Benchmark", METHOD, f"{results.rounds} rounds of {results.seconds:g} s after a warm-up."]
    parts.append("\n".join(f"- {name}: {value}" for name, value in results.machine.items()))
    for title, headings, lines in _tables(results):
        rule = "| --- |" + " ---: |" * (len(headings) - 1)
        body = ["| " + " | ".join(line) + " |" for line in (headings, *lines)]
        parts += [f"## {title}", "\n".join([body[0], rule, *body[1:]])]
    parts.append("\n".join(f"- {remark}" for remark in _remarks(results)))
    return "\n\n".join(part for part in parts if part) + "\n"


def store(results: Results, directory: Path, stamp: str) -> Path:
    """Write ``STAMP.json`` and ``STAMP.md``; return the latter's path."""
    directory.mkdir(parents=True, exist_ok=True)
    content = {
        "method": METHOD,
        "machine": results.machine,
        "seconds": results.seconds,
        "rounds": results.rounds,
        "figures": [dataclasses.asdict(figure) for figure in results.figures],
        "bars": [
            dict(zip(("about", "bar", "measured", "verdict"), _bar_row(v), strict=True)) for v in verdicts(results)
        ],
        "failures": results.failures,
        "skipped": results.skipped,
    }
    (directory / f"{stamp}.json").write_text(json.dumps(content, indent=1))
    page = directory / f"{stamp}.md"
    page.write_text(markdown(results))
    return page
