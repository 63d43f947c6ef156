"""`python -m bench.proof [--quick] [--list] [ID…]`: run bars one after another; the exit code is 1 when one falls short."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.proof.registry import Bar, Result, bars

RESULTS = Path("bench/results")


def judge(bar: Bar, n: int) -> Result:
    """One run of one bar; a run that breaks off falls short."""
    with tempfile.TemporaryDirectory(prefix=f"proof-{bar.id}-") as directory:
        try:
            return bar.run(n, Path(directory))
        except Exception as problem:  # the registry goes on with the next bar, and the record says why
            return Result(n, "broke off", False, note=f"{type(problem).__name__}: {problem}")


def main(arguments: list[str] | None = None) -> int:
    """Run, print, record. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.proof", description="Run the reliability bars of lbjwt one after another."
    )
    parser.add_argument("--quick", action="store_true", help="the small N that make test uses")
    parser.add_argument("--list", action="store_true", help="print the bars and their N, run nothing")
    parser.add_argument("ids", nargs="*", metavar="ID", help="only these bars, by name or old id")
    options = parser.parse_args(arguments)
    try:
        chosen = bars(options.ids)
    except KeyError as unknown:
        parser.error(f"no bar {unknown}")
    if options.list:
        for bar in chosen:
            print(f"{bar.id:<30} {bar.alias:<5} N {bar.full:>13,} (quick {bar.quick:,}): {bar.sentence}")
        return 0
    if options.quick:
        chosen = [bar for bar in chosen if bar.quick]
    record: list[dict[str, Any]] = []
    started = time.time()
    for bar in chosen:
        begin = time.monotonic()
        result = judge(bar, bar.quick if options.quick else bar.full)
        seconds = time.monotonic() - begin
        verdict = "pass" if result.passed else "FALLS SHORT"
        bound = f"; {result.bound}" if result.bound else ""
        print(
            f"{bar.id:<30} {verdict:<11} N {result.n:>9,}  {result.figure}{bound}  [{seconds:.1f} s]\n      bar: {bar.sentence}",
            flush=True,
        )
        if result.note:
            print("      " + result.note.replace("\n", "\n      "), flush=True)
        record.append(
            {"id": bar.id, "alias": bar.alias, "bar": bar.sentence, **asdict(result), "seconds": round(seconds, 1)}
        )
    short = [entry["id"] for entry in record if not entry["passed"]]
    print(f"{len(record) - len(short)} of {len(record)} bars pass" + (f"; short: {', '.join(short)}" if short else ""))
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"proof-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(started))}.json"
    machine = {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    path.write_text(
        json.dumps({"quick": options.quick, "started": started, **machine, "bars": record}, indent=2), encoding="utf-8"
    )
    print(f"recorded in {path}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
