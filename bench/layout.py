"""Which cores work for whom: the proxy on its own, load and backend on others, so that neither takes the other's time."""

from __future__ import annotations

import os
from dataclasses import dataclass

from bench.child import BenchError


@dataclass(frozen=True)
class Layout:
    """Cores of a measurement. ``scales`` tells whether two workers can run beside the load at all."""

    proxy: tuple[int, ...]
    load: tuple[int, ...]
    scales: bool


def layout(cores: list[int], *, workers: bool = False) -> Layout:
    """
    Share out the cores: the first for the proxy, the rest for load and backend.

    Two workers need four cores: two of their own, one for wrk, one for the backend. With fewer both stay on one core and
    only their CPU per request can be compared.

    Raises:
        BenchError: Fewer than two cores.
    """
    if len(cores) < 2:
        raise BenchError("two cores are needed: one for the proxy, one for load and backend")
    scales = len(cores) >= 4
    if workers and scales:
        return Layout(tuple(cores[:2]), tuple(cores[2:]), scales)
    return Layout((cores[0],), tuple(cores[2:] if scales else cores[1:]), scales)


def own_cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0))
