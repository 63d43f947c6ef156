"""
What a bar is, and the list of them.

Every bar's N is written here beforehand, in its own file: a quick one for `make test`, a full one for `make proof`. A run that falls short is
recorded and reported; nothing is run again until it is green.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MODULES = [
    "w1",
    "b1",
    "b2",
    "b3",
    "b9",
    "b10",
    "b11",
    "b12",
    "b13",
    "b16",
    "h4",
    "h8",
    "h10",
    *(f"k{number}" for number in range(1, 13)),
    *("t2", "t5", "t6"),
    *("c2", "c3", "c4", "c8"),
    "o3",
    "d3",
    "d4",
    "d5",
    "gib",
    "s1",
]


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of a bar came to."""

    n: int  # how many things were judged
    figure: str  # what came out, in words and numbers
    passed: bool
    failures: int | None = None  # for a bar of the form "0 of N"
    note: str = ""  # what a reader should know besides; findings when it fell short

    @property
    def bound(self) -> str:
        """What 0 failures of N say about the true rate at 95 %: 3/N."""
        return f"true rate ≤ {3e6 / self.n:.3g} ppm" if self.failures == 0 and self.n else ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise and the run that judges it."""

    id: str
    sentence: str
    quick: int  # N inside make test
    full: int  # N of make proof
    run: Callable[[int, Path], Result]  # (N, empty directory)


def bars(ids: list[str] | None = None) -> list[Bar]:
    """
    The registered bars, in order, or those named.

    Raises:
        KeyError: An id that no bar has.
    """
    found: dict[str, Bar] = {}
    for name in MODULES:
        bar: Bar = importlib.import_module(f"bench.proof.{name}").BAR
        found[bar.id] = bar
    return [found[id.upper()] for id in ids] if ids else list(found.values())
