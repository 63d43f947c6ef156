"""What h2load prints is read exactly, and a run with anything wrong in it does not count."""

from __future__ import annotations

import pytest

from bench import h2load, wrk
from bench.child import BenchError

OUTPUT = """starting benchmark...
Application protocol: h2
finished in 1.01s, 18600.00 req/s, 927.79KB/s
requests: 18600 total, 18700 started, 18600 done, 18600 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 18602 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 927.79KB (950060) total, 200.89KB (205710) headers (space savings 93.57%), 217.97KB (223200) data
                     min         max         mean         sd        +/- sd
time for request:      113us     19.37ms      5.15ms      3.45ms    64.47%
"""


def test_figures_are_found_among_what_h2load_prints():
    """Counts come from its summary, percentiles from its log. It counts the status of a response whose body is still to come, too."""
    load = h2load.parse(OUTPUT, list(range(100, 0, -1)))
    assert (load.requests, load.seconds, load.bytes, load.refused) == (18600, 1.01, 223200, 0)
    assert (load.p50_us, load.p99_us) == (51.0, 100.0)
    wrk.judge(load, refusals=False, least_bytes=12)


@pytest.mark.parametrize(
    ("printed", "instead", "sentence"),
    [
        ("0 errored", "3 errored", "3 reads failed"),
        ("0 failed", "2 failed", "2 reads failed"),
        ("0 timeout", "4 timeout", "4 requests timed out"),
        ("0 4xx", "1 4xx", "1 of 18600 good requests were refused"),
        ("(223200) data", "(223199) data", "answers are too short"),
        ("18600 done", "0 done", "no request was answered"),
    ],
)
def test_a_run_with_a_single_fault_does_not_count(printed, instead, sentence):
    """Each kind of fault is found and named."""
    with pytest.raises(BenchError, match=sentence):
        wrk.judge(h2load.parse(OUTPUT.replace(printed, instead), []), refusals=False, least_bytes=12)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("", "no figures: nothing"),
        ("Could not resolve host", "no figures: Could not resolve host"),
        (OUTPUT.replace("protocol: h2", "protocol: http/1.1"), "did not agree on HTTP/2"),
    ],
)
def test_output_without_figures_is_an_error(output, sentence):
    """An h2load that could not run, or spoke HTTP/1.1, is never taken for a measurement."""
    with pytest.raises(BenchError, match=sentence):
        h2load.parse(output, [])


@pytest.mark.parametrize(("unit", "seconds"), [("345.00us", 345e-6), ("26.33ms", 0.02633), ("3.02s", 3.02)])
def test_the_time_is_read_in_its_unit(unit, seconds):
    """h2load chooses the unit."""
    assert h2load.parse(OUTPUT.replace("1.01s", unit), []).seconds == pytest.approx(seconds)
