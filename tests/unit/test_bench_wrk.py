"""What wrk prints is read exactly, and a run with anything wrong in it does not count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import wrk
from bench.child import BenchError

OUTPUT = """Running 2s test @ http://127.0.0.1:19300/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   690.00us  120.00us   3.00ms   90.00%
  120503 requests in 2.00s, 8.88MB read
Requests/sec:  60191.31
measured {"requests": 120503, "seconds": 2.002000, "bytes": 9278731, "connect_errors": 0, "read_errors": 0, "write_errors": 0, \
"timeouts": 0, "refused": 0, "p50_us": 690.0, "p99_us": 1697.5}
"""


def test_the_line_of_figures_is_found_among_what_wrk_prints():
    """Counts, seconds and percentiles come out as they were printed, and the rate follows from them."""
    load = wrk.parse(OUTPUT)
    assert (load.requests, load.p50_us, load.p99_us) == (120503, 690.0, 1697.5)
    assert load.per_second == pytest.approx(120503 / 2.002)


@pytest.mark.parametrize(
    "output",
    ["", "unable to connect to 127.0.0.1:1 Connection refused\n", 'measured {"requests": 1}\n', "measured {\n"],
)
def test_output_without_figures_is_an_error(output):
    """A wrk that could not run, or printed something else, is never taken for a measurement."""
    with pytest.raises(BenchError, match="wrk printed"):
        wrk.parse(output)


def test_a_clean_run_counts():
    """Nothing is wrong with a run in which every request was answered in full."""
    wrk.judge(wrk.parse(OUTPUT), refusals=False, least_bytes=12)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"requests": 0}, "no request"),
        ({"connect_errors": 1}, "1 connections failed"),
        ({"read_errors": 2}, "2 reads failed"),
        ({"write_errors": 3}, "3 writes failed"),
        ({"timeouts": 4}, "4 requests timed out"),
        ({"refused": 1}, "1 of 120503 good requests were refused"),
        ({"bytes": 120503 * 11}, "answers are too short"),
    ],
)
def test_a_run_with_a_single_fault_does_not_count(change, sentence):
    """Each kind of fault is found and named."""
    with pytest.raises(BenchError, match=sentence):
        wrk.judge(replace(wrk.parse(OUTPUT), **change), refusals=False, least_bytes=12)


def test_refusals_must_be_complete():
    """Where every request must be refused, a single one that was let through spoils the run."""
    all_refused = replace(wrk.parse(OUTPUT), refused=120503)
    wrk.judge(all_refused, refusals=True, least_bytes=0)
    with pytest.raises(BenchError, match="only 120502 of 120503"):
        wrk.judge(replace(all_refused, refused=120502), refusals=True, least_bytes=0)
