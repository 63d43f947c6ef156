"""Passive health as traffic: an endpoint whose requests fail gets none for a while, then one request tries it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest

from lbjwt.observe._board import Board
from lbjwt.observe._endpoint_states import CAUSE_NAMES
from lbjwt.upstream._ejection import EjectionRules
from tests.playbooks.ejection_stage import (
    ERROR,
    asks,
    breaks,
    cuts,
    ejected_stage,
    errs,
    hangs,
    is_ejected,
    one_bad,
    resets,
    serves,
    state,
    takes,
    until_first,
)
from tests.playbooks.messages import OK
from tests.playbooks.stage import Server, Stage, endpoint, request


@pytest.mark.parametrize(
    ("bad", "threshold", "cause"),
    [(errs, 5, 0), (breaks, 5, 0), (hangs, 3, 2), (resets, 3, 3), (cuts, 3, 3)],
    ids=["5xx", "invalid", "timeout", "reset", "cut"],
)
def test_so_many_failures_in_a_row_eject(
    bad: Callable[[Server], None], threshold: int, cause: int, caplog: pytest.LogCaptureFixture
) -> None:
    """After the last one the endpoint gets nothing more, one line says so, and it is counted by its cause."""
    stage = Stage(endpoints=3, retries=0, max_idle=0, response_timeout=0.0 if bad is hangs else 15.0)
    answers = one_bad(bad)
    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        went = [asks(stage, stage.client(), answers) for _ in range(40)]
    assert went.count(0) == threshold
    assert is_ejected(stage)
    (line,) = [message for message in caplog.messages if " ejected " in message]
    assert line.startswith("endpoint 10.0.0.0:80 of cluster main ejected for ") and f": {threshold} " in line
    assert state(stage)["ejections"] == [int(at == cause) for at in range(len(CAUSE_NAMES))]


def test_a_success_begins_the_count_anew() -> None:
    """Four errors, a good response, four errors: the endpoint stays."""
    stage = Stage(endpoints=1)
    client = stage.client()
    for answer in [errs] * 4 + [serves] + [errs] * 4:
        asks(stage, client, answer)
    assert state(stage)["consecutive"] == [4, 0, 0, 0]


def test_failures_that_several_workers_see_add_up() -> None:
    """Two workers, each with half of the errors; the endpoint is ejected for both."""
    board = Board(2, 3)
    workers = [
        Stage(endpoints=[endpoint(at) for at in range(3)], board=board, slot=slot, max_idle=0) for slot in range(2)
    ]
    for turn in range(5):
        stage = workers[turn % 2]
        while asks(stage, stage.client(), one_bad(errs)) != 0:
            pass
    for stage in workers:
        assert 0 not in [asks(stage, stage.client(), one_bad(errs)) for _ in range(9)]
    assert state(workers[0])["ejections"][0] == 1


def test_one_request_at_a_time_tries_an_endpoint_that_was_ejected(caplog: pytest.LogCaptureFixture) -> None:
    """While it is in the endpoint's hands all others go elsewhere; its success puts the endpoint back into rotation."""
    stage = ejected_stage()
    caplog.clear()
    until_first(stage)
    tried = takes(stage)
    assert 0 not in [asks(stage, stage.client(), one_bad(errs)) for _ in range(20)]
    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        tried.sends(OK)
    assert caplog.messages == ["endpoint 10.0.0.0:80 of cluster main is back in rotation"]
    assert [asks(stage, stage.client(), one_bad(errs, 7)) for _ in range(9)].count(0) >= 3
    assert state(stage)["on_trial"] == 0 and state(stage)["serving_since"] > 0


def test_a_failed_trial_ejects_at_once_and_for_longer(caplog: pytest.LogCaptureFixture) -> None:
    """One error is enough, and the second ejection lasts twice as long as the first."""
    stage = ejected_stage()
    caplog.clear()
    until_first(stage)
    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        takes(stage).sends(ERROR)
    (line,) = caplog.messages
    assert line.endswith(": on trial, a response with 5xx")
    left = state(stage)["ejected_until"] - time.monotonic()
    assert 17.5 < left < 22.5 and state(stage)["ejections_in_row"] == 2


def test_a_trial_that_its_client_gives_up_is_handed_to_the_next_request() -> None:
    """No verdict: neither a success nor a failure, and nothing waits for one."""
    stage = ejected_stage()
    client = until_first(stage)
    takes(stage)
    assert is_ejected(stage)
    client.lose()
    assert not is_ejected(stage) and state(stage)["on_trial"]
    until_first(stage)


def test_requests_from_before_the_ejection_say_nothing_new() -> None:
    """Ten requests are on their way when the fifth error comes: those that follow neither lengthen the ejection nor end it."""
    stage = Stage(endpoints=2, max_idle=0)
    for _ in range(20):
        stage.client().sends(request())
    servers = [stage.server(at) for at in range(20)]
    theirs = [server for server in servers if server.endpoint is stage.endpoints[0]]
    for server in theirs[:5]:
        server.sends(ERROR)
    until = state(stage)["ejected_until"]
    for server in theirs[5:9]:
        server.sends(ERROR)
    theirs[9].sends(OK)
    assert state(stage)["ejected_until"] == until and state(stage)["ejections_in_row"] == 1


@pytest.mark.parametrize(("count", "ejected"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_half_of_a_cluster_is_ejected_at_most(count: int, ejected: int) -> None:
    """Every endpoint errs: those that are left get the requests, whatever they answer."""
    stage = Stage(endpoints=count, max_idle=0)
    for _ in range(60):
        asks(stage, stage.client(), errs)
    assert [is_ejected(stage, at) for at in range(count)].count(True) == ejected


def test_endpoints_that_refuse_are_passed_over_whatever_their_number() -> None:
    """Two of three refuse: although that is panic, no further request is sent to them."""
    stage = Stage(endpoints=3)
    client = stage.client()
    client.sends(request())
    stage.opened[0].refuses()
    stage.opened[1].refuses()
    stage.server(2).sends(OK)
    stage.opened[0].told_lost = stage.opened[1].told_lost = True
    assert stage.cluster.ejector.panic
    for at in range(2):
        stage.opened[at].side = None
    for _ in range(9):
        client.sends(request())
        stage.server(2).sends(OK)
    assert len(stage.opened) == 3


def test_an_endpoint_that_accepts_again_is_back_with_its_first_response() -> None:
    """Both refused; the request that is sent there for want of another one ends the ejection."""
    stage = Stage(endpoints=2)
    client = stage.client()
    client.sends(request())
    stage.opened[0].refuses()
    stage.opened[1].refuses()
    assert client.take().startswith(b"HTTP/1.1 503 ")
    client.sends(request())
    server = stage.server(2)
    server.sends(OK)
    back = stage.endpoints.index(server.endpoint)
    assert not is_ejected(stage, back) and not state(stage, back)["on_trial"] and is_ejected(stage, 1 - back)


def test_an_idle_connection_that_the_endpoint_closed_is_no_failure() -> None:
    """The endpoint closes each connection after one request, just when the next one is sent on it; a new one serves."""
    stage = Stage(endpoints=2)
    served: set[int] = set()
    closed = 0
    for _ in range(30):
        stage.client().sends(request())
        server = takes(stage)
        if id(server) in served:
            server.lose(ConnectionResetError())
            closed += 1
            server = takes(stage)
        server.sends(OK)
        served.add(id(server))
    assert closed > 6
    assert state(stage, 0)["consecutive"] == state(stage, 1)["consecutive"] == [0, 0, 0, 0]
    assert not is_ejected(stage, 0) and not is_ejected(stage, 1)


def test_below_the_threshold_all_endpoints_are_used_and_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Two of three fail their active checks: all share the load, until one passes again. A second worker says nothing."""
    board = Board(2, 3)
    stage = Stage(endpoints=3, board=board)
    other = Stage(endpoints=[endpoint(at) for at in range(3)], board=board, slot=1)
    board.attach(0)
    with caplog.at_level(logging.INFO, "lbjwt.endpoints"):
        board.endpoint_states.set(0, "check", 2)
        stage.context.expire()
        assert not stage.cluster.ejector.panic
        board.endpoint_states.set(1, "check", 2)
        for _ in range(3):
            stage.context.expire()
        board.attach(1)
        other.context.expire()
        board.attach(0)
        assert stage.cluster.ejector.panic and other.cluster.ejector.panic
        assert board.endpoint_states.read(2)["panic"] == 1
        good = one_bad(errs, 7)
        client = stage.client()
        assert sorted(asks(stage, client, good) for _ in range(6)) == [0, 0, 1, 1, 2, 2]
        board.endpoint_states.set(1, "check", 1)
        stage.context.expire()
        assert {asks(stage, client, good) for _ in range(6)} == {1, 2}
    assert caplog.messages == [
        "cluster main: 1 of 3 endpoints are healthy, which is below 50 %: all are used (panic)",
        "cluster main: 2 of 3 endpoints are healthy: only these are used again",
    ]


def test_rules_that_are_off_pass_over_nobody() -> None:
    """Each request may meet the endpoint that refuses, and is sent on."""
    stage = Stage(endpoints=2)
    stage.use_endpoints(0, 1, ejection=EjectionRules.off())
    client = stage.client()
    client.sends(request())
    stage.opened[0].refuses()
    assert not is_ejected(stage)


def test_an_endpoint_stays_ejected_over_a_reload() -> None:
    """The reload changes another setting."""
    stage = Stage(endpoints=2, max_idle=0)
    while not is_ejected(stage):
        asks(stage, stage.client(), one_bad(errs))
    stage.use_endpoints(0, 1, max_pending=7)
    assert is_ejected(stage)
    assert 0 not in [asks(stage, stage.client(), one_bad(errs)) for _ in range(5)]
