"""What Prometheus sees of the board."""

import re
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from lbjwt._error_reason import ErrorReason
from lbjwt._fastverify import DenyReason
from lbjwt.observe._board import READY, Board
from lbjwt.observe._offenders import Offenders
from lbjwt.observe.metrics import BoardCollector, exposition
from lbjwt.observe.rows import RowNames, RowNumbers
from lbjwt.version import package_version

ENDPOINTS = [("api", "127.0.0.1:9001"), ("api", "unix:/run/app.sock")]
ROUTES = ["orders", "everything-else"]
ISSUERS = ["main", "partner"]


def collector(board, *, issuers=ISSUERS, offenders=None, now=1030.5):
    return BoardCollector(
        board,
        RowNumbers.in_order(RowNames(ENDPOINTS, issuers, ROUTES)),
        offenders=offenders,
        discovered=lambda: [
            {"source": "api.test", "endpoints": 2, "failures": 3, "failing": "SERVFAIL", "last_success": 1000.0},
            {"source": "new.test", "endpoints": 0, "failures": 0, "failing": None, "last_success": None},
        ],
        clock=lambda: now,
        monotonic=lambda: 50.0,
    )


def filled():
    board = Board(2, 2, 2, 2)
    board.attach(1)
    board.add("requests", 4, 2)
    board.add("requests", 1, 0)
    board.add("refusals", 3, int(DenyReason.EXPIRED))
    board.add("refusals", 4, int(DenyReason.EXPIRED), issuer=1)
    board.add("refusals", 5, int(DenyReason.MISSING), issuer=-1)
    board.add("reported", 6, int(DenyReason.CLAIM_REFUSED), issuer=1)
    board.add("accepted", 8, issuer=1)
    board.add("waiting", 1)
    board.add("waited", 2)
    board.add("streams_ended", 3)
    board.add("grpc_calls", 2, 14)
    board.add("grpc_calls", 1, 17)
    board.set("revocations", 11)
    board.add_source(1, "fetches", 9)
    board.add_source(1, "failures", 1)
    board.set_source_time(1, "last_success", 1020.0)
    board.count_restart(keeper=True)
    board.set_reloaded(True, 1010.0)
    board.set_reloaded(False)
    board.configuration_hash = "00ff00ff00ff00ff"
    board.count_failed_upgrade()
    board.add("cache_hits", 7)
    board.add("in_flight", 2)
    board.add("key_fetches", 5)
    board.add("key_fetch_failures", 2)
    board.set_keys(3, 1000.0)
    board.set_keys(2, 990.0, issuer=1)
    board.set("cache_entries", 10)
    board.set("cache_bytes", 2048)
    board.set_state(READY)
    board.add("in_flight", 2, endpoint=1)
    board.add("responses", 6, 5, endpoint=1)
    board.endpoint_states.set(1, "check", 2)
    board.endpoint_states.set(1, "checked_at", 1000.0)
    board.endpoint_states.add(1, "transitions", 3)
    board.add("requests", 3, 2, route=1)
    board.add("requests", 1, 4, route=1)
    return board


def fresh_board():
    """Nothing was counted, and the configuration is that of `filled`."""
    board = Board(2, 2, 2, 2)
    board.configuration_hash = "00ff00ff00ff00ff"
    return board


def samples(board, accept="", **options):
    body, _ = exposition(collector(board, **options), accept)
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
    assert (found["lbjwt_grpc_calls_total", "14"], found["lbjwt_grpc_calls_total", "none"]) == (2, 1)
    assert found["lbjwt_refusals_total", "expired", "main"] == 3
    assert found["lbjwt_refusals_total", "expired", "partner"] == 4
    assert found["lbjwt_refusals_total", "missing", "unknown"] == 5
    assert found["lbjwt_refusals_total", "main", "missing"] == 0
    assert found["lbjwt_reported_refusals_total", "claim_refused", "partner"] == 6
    assert found["lbjwt_requests_accepted_total", "partner"] == 8
    assert found["lbjwt_requests_waiting",] == 1
    assert found["lbjwt_requests_waited_total",] == 2
    assert found["lbjwt_streams_ended_total",] == 3
    assert found["lbjwt_revocations",] == 11
    assert found["lbjwt_keeper_restarts_total",] == 1
    assert found["lbjwt_worker_restarts_total",] == 0
    assert found["lbjwt_cache_hits_total",] == 7
    assert found["lbjwt_cache_bytes",] == 2048
    assert found["lbjwt_requests_in_flight",] == 2
    assert found["lbjwt_keys", "main"] == 3
    assert found["lbjwt_keys", "partner"] == 2
    assert found["lbjwt_keys_age_seconds", "main"] == 30.5
    assert found["lbjwt_keys_age_seconds", "partner"] == 40.5
    assert found["lbjwt_keys_last_success_timestamp_seconds", "main"] == 1000
    assert found["lbjwt_keys_last_success_timestamp_seconds", "partner"] == 1020
    assert found["lbjwt_key_fetches_total", "main", "success"] == 3
    assert found["lbjwt_key_fetches_total", "failure", "main"] == 2
    assert found["lbjwt_key_fetches_total", "partner", "success"] == 8
    assert found["lbjwt_config_last_reload_successful",] == 0
    assert found["lbjwt_config_last_reload_success_timestamp_seconds",] == 1010
    assert found["lbjwt_config_info", "00ff00ff00ff00ff"] == 1
    assert found["lbjwt_upgrade_failures_total",] == 1
    assert found["lbjwt_workers", "ready"] == 1
    assert found["lbjwt_workers", "starting"] == 1
    assert found["lbjwt_ready",] == 1
    assert found["lbjwt_endpoint_requests_in_flight", "api", "unix:/run/app.sock"] == 2
    assert found["lbjwt_endpoint_requests_in_flight", "127.0.0.1:9001", "api"] == 0
    assert found["lbjwt_endpoint_responses_total", "5xx", "api", "unix:/run/app.sock"] == 6
    assert found["lbjwt_endpoint_healthy", "api", "unix:/run/app.sock"] == 0
    assert found["lbjwt_endpoint_check_transitions_total", "api", "unix:/run/app.sock"] == 3
    assert found["lbjwt_route_requests_total", "2xx", "everything-else"] == 3
    assert found["lbjwt_route_requests_total", "4xx", "everything-else"] == 1
    assert any(name == "lbjwt_build_info" and package_version() in labels for name, *labels in found)


def test_every_series_is_there_before_anything_happened():
    """A fresh board already has every reason, status class, state and endpoint at 0; only the age of keys never read is absent."""
    found = samples(Board(1, 2, 2, 2))
    for issuer in ("unknown", *ISSUERS):
        assert found["lbjwt_requests_accepted_total", issuer] == 0
        for reason in DenyReason.__members__:
            for name in ("lbjwt_refusals_total", "lbjwt_reported_refusals_total"):
                assert found.get((name, *sorted((reason.lower(), issuer)))) == (None if reason == "NONE" else 0)
    assert [found["lbjwt_requests_total", name] for name in ("none", "1xx", "2xx", "3xx", "4xx", "5xx")] == [0] * 6
    assert found["lbjwt_endpoint_failures_total", "127.0.0.1:9001", "api"] == 0
    for route in ROUTES:
        classes = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
        assert [found["lbjwt_route_requests_total", *sorted((name, route))] for name in classes] == [0] * 6
    assert not [
        key for key in found if key[0] in ("lbjwt_keys_age_seconds", "lbjwt_keys_last_success_timestamp_seconds")
    ]
    assert found["lbjwt_keys", "main"] == 0
    assert found["lbjwt_config_last_reload_successful",] == 1
    assert found["lbjwt_config_last_reload_success_timestamp_seconds",] > 0


def test_s13_series_do_not_multiply():
    """Nothing a client does makes a new series: a busy board has those of a fresh one, key times and results of checks (THREATS S13)."""
    offenders = Offenders(2)
    for at in range(300):
        offenders.add_failure(f"192.0.2.{at % 256}", 50.0)
    fresh = {key for key in samples(fresh_board()) if not key[0].endswith("_created")}
    found = samples(filled(), offenders=offenders)
    busy = {key for key in found if not key[0].endswith("_created")}
    times = ("lbjwt_keys_age_seconds", "lbjwt_keys_last_success_timestamp_seconds")
    checks = ("lbjwt_endpoint_healthy", "lbjwt_endpoint_last_check_seconds")
    expected = {(name, issuer) for name in times for issuer in ISSUERS}
    assert busy - fresh == expected | {(name, "api", "unix:/run/app.sock") for name in checks}
    assert found["lbjwt_failing_addresses",] == 256


def test_the_keeper_is_no_worker():
    """Of two workers and a keeper two are counted."""
    board = Board(2, 2, 2, 2)
    board.set_state(READY, board.keeper)
    found = samples(board)
    assert (found["lbjwt_workers", "ready"], found["lbjwt_workers", "starting"], found["lbjwt_ready",]) == (0, 2, 0)


def test_an_issuer_that_is_called_as_nobody_is():
    """What is told of tokens without a known issuer and of the issuer named "unknown" are one series: the counts are added up."""
    found = samples(filled(), issuers=["unknown", "partner"])
    assert found["lbjwt_refusals_total", "missing", "unknown"] == 5
    assert found["lbjwt_refusals_total", "expired", "unknown"] == 3
    assert found["lbjwt_keys", "unknown"] == 3


def test_openmetrics_when_asked_for():
    """An Accept field of a modern scraper gets valid OpenMetrics, everybody else the text format."""
    body, content_type = exposition(collector(filled()), "application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert "lbjwt_requests" in {family.name for family in parse_openmetrics(body.decode())}
    body, content_type = exposition(collector(filled()), "*/*")
    assert content_type.startswith("text/plain")
    assert b"# TYPE lbjwt_requests_total counter" in body


def test_a_clock_that_stepped_back_gives_no_negative_age():
    """The key age is never below zero."""
    assert samples(filled(), now=900.0)["lbjwt_keys_age_seconds", "main"] == 0


def test_every_metric_and_reason_stands_in_the_manual():
    """docs/operations.md names each metric and each reason, and no metric that does not exist."""
    manual = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    named = set(re.findall(r"^\| `(lbjwt_\w+)`", manual, re.MULTILINE))
    assert named == {name for name, *_ in samples(filled())}
    for reason in [*DenyReason.__members__, *ErrorReason.__members__]:
        assert reason in ("NONE", "NO_ERROR") or f"`{reason.lower()}`" in manual


def test_names_that_are_resolved_and_what_came_from_them():
    """Each name and endpoints file has its state, and each endpoint the name that it was resolved from."""
    found = samples(filled())
    for source, endpoints, failures, failing in (("api.test", 2, 3, 1), ("new.test", 0, 0, 0)):
        assert found["lbjwt_discovery_endpoints", source] == endpoints
        assert found["lbjwt_discovery_failures_total", source] == failures
        assert found["lbjwt_discovery_failing", source] == failing
    assert found["lbjwt_discovery_last_success_timestamp_seconds", "api.test"] == 1000.0
    assert ("lbjwt_discovery_last_success_timestamp_seconds", "new.test") not in found
    told = collector(filled())
    told.use(RowNumbers.in_order(RowNames(ENDPOINTS, ISSUERS, ROUTES)), {ENDPOINTS[0]: "api.test"})
    info = next(family for family in told.collect() if family.name == "lbjwt_endpoint_info")
    assert [(sample.labels["endpoint"], sample.labels["name"], sample.value) for sample in info.samples] == [
        ("127.0.0.1:9001", "api.test", 1),
        ("unix:/run/app.sock", "", 1),
    ]
