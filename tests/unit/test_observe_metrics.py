"""What Prometheus sees of the board."""

import re
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from lbjwt._fastverify import DenyReason
from lbjwt.observe._board import READY, Board
from lbjwt.observe.metrics import BoardCollector, exposition

ENDPOINTS = ["127.0.0.1:9001", "unix:/run/app.sock"]


def filled():
    board = Board(2, 2)
    board.attach(1)
    board.add("requests", 4, 2)
    board.add("requests", 1, 0)
    board.add("refusals", 3, int(DenyReason.EXPIRED))
    board.add("cache_hits", 7)
    board.add("in_flight", 2)
    board.add("key_fetches", 5)
    board.add("key_fetch_failures", 2)
    board.set_keys(3, 1000.0)
    board.set_cache(10, 2048)
    board.set_state(READY)
    board.add_endpoint(1, "in_flight", 2)
    board.add_endpoint(1, "responses", 6, 5)
    return board


def samples(board, accept=""):
    body, _ = exposition(BoardCollector(board, ENDPOINTS, "9.8.7", clock=lambda: 1030.5), accept)
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_the_numbers_of_the_board_under_their_names():
    """Each counter and gauge comes out under its documented name, label and value."""
    found = samples(filled())
    assert found["lbjwt_requests_total", "2xx"] == 4
    assert found["lbjwt_requests_total", "none"] == 1
    assert found["lbjwt_refusals_total", "expired"] == 3
    assert found["lbjwt_cache_hits_total",] == 7
    assert found["lbjwt_cache_bytes",] == 2048
    assert found["lbjwt_requests_in_flight",] == 2
    assert found["lbjwt_keys",] == 3
    assert found["lbjwt_keys_age_seconds",] == 30.5
    assert found["lbjwt_key_fetches_total", "success"] == 3
    assert found["lbjwt_key_fetches_total", "failure"] == 2
    assert found["lbjwt_workers", "ready"] == 1
    assert found["lbjwt_workers", "starting"] == 1
    assert found["lbjwt_ready",] == 1
    assert found["lbjwt_endpoint_requests_in_flight", "unix:/run/app.sock"] == 2
    assert found["lbjwt_endpoint_requests_in_flight", "127.0.0.1:9001"] == 0
    assert found["lbjwt_endpoint_responses_total", "5xx", "unix:/run/app.sock"] == 6
    assert any(name == "lbjwt_build_info" and "9.8.7" in labels for name, *labels in found)


def test_every_series_is_there_before_anything_happened():
    """A fresh board already has every reason, status class, state and endpoint at 0; only the age of keys never read is absent."""
    found = samples(Board(1, 2))
    for reason in DenyReason.__members__:
        if reason != "NONE":
            assert found["lbjwt_refusals_total", reason.lower()] == 0
    assert ("lbjwt_refusals_total", "none") not in found
    assert [found["lbjwt_requests_total", name] for name in ("none", "1xx", "2xx", "3xx", "4xx", "5xx")] == [0] * 6
    assert found["lbjwt_endpoint_failures_total", ENDPOINTS[0]] == 0
    assert ("lbjwt_keys_age_seconds",) not in found
    assert found["lbjwt_keys",] == 0


def test_series_do_not_multiply():
    """Nothing a client does makes a new series: a busy board has the series of a fresh one and the key age."""
    fresh = {key for key in samples(Board(2, 2)) if not key[0].endswith("_created")}
    busy = {key for key in samples(filled()) if not key[0].endswith("_created")}
    assert busy - fresh == {("lbjwt_keys_age_seconds",)}


def test_openmetrics_when_asked_for():
    """An Accept field of a modern scraper gets valid OpenMetrics, everybody else the text format."""
    collector = BoardCollector(filled(), ENDPOINTS, "1")
    body, content_type = exposition(collector, "application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert "lbjwt_requests" in {family.name for family in parse_openmetrics(body.decode())}
    body, content_type = exposition(collector, "*/*")
    assert content_type.startswith("text/plain")
    assert b"# TYPE lbjwt_requests_total counter" in body


def test_a_clock_that_stepped_back_gives_no_negative_age():
    """The key age is never below zero."""
    body, _ = exposition(BoardCollector(filled(), ENDPOINTS, "1", clock=lambda: 900.0))
    assert b"lbjwt_keys_age_seconds 0.0" in body


def test_every_metric_and_reason_stands_in_the_manual():
    """docs/operations.md names each metric and each reason, and no metric that does not exist."""
    manual = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    named = set(re.findall(r"^\| `(lbjwt_\w+)`", manual, re.MULTILINE))
    assert named == {name for name, *_ in samples(filled())}
    for reason in DenyReason.__members__:
        assert reason == "NONE" or f"`{reason.lower()}`" in manual
