"""The proof registry: every bar at its quick size, and a registry that records and reports what falls short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.proof import __main__ as door
from bench.proof.registry import Bar, Result, bars

MEASURE = {
    "broken_configurations",
    "cached_expiry",
    "certificate_replaced",
    "client_aborts",
    "cold_start",
    "failing_backend",
    "fetch_count",
    "head_bombs",
    "health_checks",
    "hot_reload",
    "http2_floods",
    "idle_connections",
    "in_flight_reload",
    "key_rotation",
    "key_withdrawal",
    "reload_latency",
    "reload_leaks",
    "reload_storm",
    "revocation_delay",
    "slow_jwks",
    "worker_kill",
}
"""Bars whose verdict is about seconds or processor time."""


def registered() -> list[Any]:
    """Every bar that is quick enough, those that measure marked for a quiet machine."""
    return [
        pytest.param(bar, id=bar.id, marks=[pytest.mark.quiet] if bar.id in MEASURE else [])
        for bar in bars()
        if bar.quick
    ]


@pytest.mark.parametrize("bar", registered())
def test_bar_at_its_quick_size(bar: Bar, tmp_path: Path) -> None:
    """The bar holds at the size registered for make test."""
    if bar.missing:
        pytest.skip(f"not installed: {', '.join(bar.missing)}")
    result = bar.run(bar.quick, tmp_path)
    assert result.passed, f"{bar.sentence}\n{result.figure}\n{result.note}"


def test_what_falls_short_is_reported_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One bar that passes, one that does not, one that breaks off: exit code 1, all three on record, none run twice."""
    runs: list[str] = []

    def passes(n: int, directory: Path) -> Result:
        runs.append("pass")
        return Result(n, "fine", True, failures=0)

    def falls_short(n: int, directory: Path) -> Result:
        runs.append("short")
        return Result(n, "2 lost", False, failures=2)

    def breaks_off(n: int, directory: Path) -> Result:
        runs.append("break")
        raise OSError("no such thing")

    made = [Bar("A", "a", 10, 300, passes), Bar("B", "b", 10, 300, falls_short), Bar("C", "c", 10, 300, breaks_off)]
    monkeypatch.setattr(door, "bars", lambda ids: made)
    monkeypatch.setattr(door, "RESULTS", tmp_path)
    assert door.main([]) == 1
    assert runs == ["pass", "short", "break"]
    printed = capsys.readouterr().out
    assert "1 of 3 bars pass; short: B, C" in printed
    assert "true rate ≤ 1e+04 ppm" in printed
    record = json.loads(next(tmp_path.glob("proof-*.json")).read_text())
    assert [(bar["id"], bar["n"], bar["passed"]) for bar in record["bars"]] == [
        ("A", 300, True),
        ("B", 300, False),
        ("C", 300, False),
    ]


def test_ids_are_those_promised(capsys: pytest.CaptureFixture[str]) -> None:
    """The bars this release promises have names, and answer to the ids of older records too."""
    expected = (
        "worker_kill backend_kill post_retries failing_backend failing_backend_posts slow_backend blackhole_backend refused_connects "
        "no_backend_left connection_limit health_checks idle_close_race nginx_backends python_backends retry_budget "
        "truncated_responses surplus_bytes bodiless_and_interim_responses malformed_responses early_responses "
        "client_aborts canonical_heads "
        "pipelining segmentation jwks_outage unknown_kid_flood key_rotation key_withdrawal cold_start "
        "poisoned_jwks slow_jwks fetch_count token_urls key_fallback two_authorizations jwks_idle_close "
        "token_edits refusal_answers token_times cached_expiry cross_route_cache garbage_flood revocation_delay "
        "refusal_reasons stalled_readers idle_connections head_bombs http2_floods http2_cancels large_bodies hot_reload in_flight_reload "
        "drain_idle_clients broken_configurations reload_storm reload_latency tokens_across_reload certificate_replaced "
        "upgrade reload_leaks soak"
    )
    assert [bar.id for bar in bars()] == expected.split()
    assert [bar.id for bar in bars(["h-8", "worker_kill", "W1"])] == ["pipelining", "worker_kill", "worker_kill"]
    aliases = [bar.alias for bar in bars() if bar.alias]
    assert len({*aliases}) == len(aliases)
