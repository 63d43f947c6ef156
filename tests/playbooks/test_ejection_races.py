"""Several workers change the state of an endpoint at the same moment: one of them wins, and an endpoint that is out is on trial or ejected."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pytest

from lbjwt.observe._board import Board
from lbjwt.upstream._trial import interrupt
from tests.playbooks.ejection_stage import ERROR, is_ejected, state, takes
from tests.playbooks.messages import OK
from tests.playbooks.stage import Server, Stage, endpoint, request


@pytest.fixture(autouse=True)
def _uninterrupted() -> Iterator[None]:
    yield
    interrupt(None)


@pytest.fixture
def workers() -> tuple[Stage, Stage]:
    """Two workers with the same two endpoints."""
    board = Board(2, 2)
    first, second = (
        Stage(endpoints=[endpoint(at) for at in range(2)], board=board, slot=slot, max_idle=0, retries=0)
        for slot in range(2)
    )
    return first, second


def meanwhile(step: str, happens: Callable[[], object]) -> list[str]:
    """The next time that a worker is in the middle of this step, this happens in the other one. Returns what happened, when it did."""
    happened: list[str] = []

    def between(name: str) -> None:
        if name == step:
            interrupt(None)
            happens()
            happened.append(name)

    interrupt(between)
    return happened


def sends(stage: Stage, number: int) -> Server:
    """The connection on which endpoint `number` has a new request of this worker. Those that go elsewhere are not answered."""
    for _ in range(4):
        stage.client().sends(request())
        server = takes(stage)
        if server.endpoint is stage.endpoints[number]:
            return server
    raise AssertionError("no request went there")


def due(stage: Stage, cause: int = 0) -> None:
    """Endpoint 0 was ejected, and its time is over."""
    stage.board.endpoint_states.set(0, "on_trial", 1 + cause)
    stage.board.endpoint_states.set(0, "suspect", 1)
    stage.board.endpoint_states.set(0, "ejected_until", time.monotonic() - 1.0)


def test_a_worker_that_sends_while_another_readmits_takes_no_trial(workers: tuple[Stage, Stage]) -> None:
    """The trial succeeded. A request of the other worker in this moment must not move the time that nobody would end."""
    first, second = workers
    due(first)
    tried = sends(first, 0)
    assert is_ejected(first), "one request at a time"
    for _ in range(2):
        sends(second, 1)  # so that endpoint 0 has fewer requests in flight
    happened = meanwhile("readmit", lambda: second.client().sends(request()))
    tried.sends(OK)
    assert happened and not state(first)["on_trial"] and not is_ejected(first)
    takes(second).sends(OK)
    sends(second, 0)


@pytest.mark.parametrize("step", ["begin_trial", "begin_trial: time read", "begin_trial: time moved"])
def test_an_endpoint_that_comes_back_while_a_trial_begins_is_back(workers: tuple[Stage, Stage], step: str) -> None:
    """Connecting had failed, and a request from before is answered just when the other worker is about to try the endpoint."""
    first, second = workers
    before = sends(first, 0)
    due(first, cause=1)
    happened = meanwhile(step, lambda: before.sends(OK))
    tried = sends(second, 0)
    assert happened and not state(first)["on_trial"] and not is_ejected(first)
    tried.sends(OK)
    assert not is_ejected(first)
    sends(second, 0)


def test_one_worker_ejects_and_counts_and_logs(workers: tuple[Stage, Stage], caplog: pytest.LogCaptureFixture) -> None:
    """Both have a request with an error at the moment in which the fifth one ejects."""
    first, second = workers
    for _ in range(4):
        sends(first, 0).sends(ERROR)
    fifth, other = sends(first, 0), sends(second, 0)
    happened = meanwhile("eject", lambda: other.sends(ERROR))
    with caplog.at_level(logging.WARNING, "lbjwt.endpoints"):
        fifth.sends(ERROR)
    assert happened and len(caplog.messages) == 1, caplog.messages
    assert state(first)["ejections"][0] == state(first)["ejections_in_row"] == 1
    assert state(first)["on_trial"] and is_ejected(first)
