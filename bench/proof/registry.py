"""
What a bar is, and the list of them.

Every bar's N is written here beforehand, in its own file: a quick one for `make test`, a full one for `make proof`. A run that falls short is
recorded and reported; nothing is run again until it is green.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NAMES = [
    "worker_kill",
    "backend_kill",
    "post_retries",
    "failing_backend",
    "failing_backend_posts",
    "slow_backend",
    "blackhole_backend",
    "refused_connects",
    "no_backend_left",
    "connection_limit",
    "health_checks",
    "idle_close_race",
    "nginx_backends",
    "python_backends",
    "retry_budget",
    "truncated_responses",
    "surplus_bytes",
    "bodiless_and_interim_responses",
    "malformed_responses",
    "early_responses",
    "client_aborts",
    "canonical_heads",
    "pipelining",
    "segmentation",
    "jwks_outage",
    "unknown_kid_flood",
    "key_rotation",
    "key_withdrawal",
    "cold_start",
    "poisoned_jwks",
    "slow_jwks",
    "fetch_count",
    "token_urls",
    "key_fallback",
    "two_authorizations",
    "jwks_idle_close",
    "token_edits",
    "refusal_answers",
    "token_times",
    "cached_expiry",
    "cross_route_cache",
    "garbage_flood",
    "revocation_delay",
    "refusal_reasons",
    "stalled_readers",
    "idle_connections",
    "head_bombs",
    "http2_floods",
    "http2_cancels",
    "large_bodies",
    "hot_reload",
    "in_flight_reload",
    "drain_idle_clients",
    "broken_configurations",
    "reload_storm",
    "reload_latency",
    "tokens_across_reload",
    "certificate_replaced",
    "upgrade",
    "reload_leaks",
    "soak",
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

    id: str  # also the name of its file
    sentence: str
    quick: int  # N inside make test; 0: too slow for it
    full: int  # N of make proof
    run: Callable[[int, Path], Result]  # (N, empty directory)
    alias: str = ""  # its id in records made before the bars had names
    needs: tuple[str, ...] = ()  # programs that must be installed

    @property
    def missing(self) -> list[str]:
        """Those that are not."""
        return [
            program for program in self.needs if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None
        ]


def bars(ids: list[str] | None = None) -> list[Bar]:
    """
    The registered bars, in order, or those named by id or alias.

    Raises:
        KeyError: An id that no bar has.
    """
    found: dict[str, Bar] = {}
    for name in NAMES:
        bar: Bar = importlib.import_module(f"bench.proof.{name}").BAR
        found[bar.id] = bar
    if not ids:
        return list(found.values())
    known = found | {bar.alias.lower(): bar for bar in found.values() if bar.alias}
    return [known[id.lower()] for id in ids]
