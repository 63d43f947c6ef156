"""What all processes know of an endpoint: one row each, added to atomically, corrected when a worker dies."""

import os

import pytest

from lbjwt.observe._board import Board
from lbjwt.observe._endpoint_states import EndpointStates


def test_loads_of_several_processes_add_up() -> None:
    """No addition is lost when two processes add at the same time."""
    states = EndpointStates(2)
    child = os.fork()
    for _ in range(20_000):
        states.add(1, "in_flight")
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert states.read(1)["in_flight"] == 40_000
    assert states.read(0)["in_flight"] == 0


def test_the_load_of_a_dead_worker_is_taken_off() -> None:
    """What other workers have in flight stays."""
    board = Board(2, 1)
    board.add("in_flight", 3, endpoint=0)
    board.add("connections", 4, endpoint=0)
    board.endpoint_states.add(0, "in_flight", 5)
    board.endpoint_states.add(0, "connections", 5)
    board.clear_gauges(0)
    state = board.endpoint_states.read(0)
    assert (state["in_flight"], state["connections"]) == (2, 1)


def test_a_row_for_another_endpoint_begins_anew() -> None:
    """Nothing of the endpoint before is left."""
    board = Board(1, 2)
    board.endpoint_states.set(1, "ejected_until", 9.5)
    board.endpoint_states.set(1, "check", 2)
    board.endpoint_states.add(1, "ejections", 2, index=3)
    assert board.endpoint_states.read(1)["ejections"] == [0, 0, 0, 2, 0]
    board.clear_endpoint(1)
    assert not any(
        value if not isinstance(value, list) else any(value) for value in board.endpoint_states.read(1).values()
    )


@pytest.mark.parametrize("row", [-1, 2])
def test_there_is_no_such_row(row: int) -> None:
    """Memory of others is not written to."""
    with pytest.raises(IndexError):
        EndpointStates(2).set(row, "check", 1)
