"""The board: what is counted in one process is read in another, and the dead leave their counters behind."""

import os

import pytest

from lbjwt.observe._board import DRAINING, READY, STARTING, STATE_NAMES, STOPPED, Board


def test_every_counter_starts_at_zero():
    """A fresh board has counted nothing, for no worker and no endpoint."""
    board = Board(3, 2)
    totals = board.totals()
    assert len(totals["requests"]) == 6
    assert len(totals["refusals"]) == 32
    assert not any(sum(value) if isinstance(value, list) else value for value in totals.values())
    assert not any(sum(value) if isinstance(value, list) else value for value in board.endpoint_totals(1).values())


def test_each_worker_writes_its_own_slot_and_totals_are_sums():
    """Two slots count the same things, and the totals are their sums, field by field and index by index."""
    board = Board(2, 3)
    for slot in (0, 1):
        board.attach(slot)
        assert board.slot == slot
        board.add("requests", 10 + slot, 2)
        board.add("refusals", 1, 8)
        board.add("retries", 5)
        board.add_endpoint(2, "responses", 7, 5)
        board.add_endpoint(2, "in_flight", 1)
    totals = board.totals()
    assert totals["requests"] == [0, 0, 21, 0, 0, 0]
    assert totals["refusals"][8] == 2
    assert totals["retries"] == 10
    assert board.endpoint_totals(2)["responses"] == [0, 0, 0, 0, 0, 14]
    assert board.endpoint_totals(2)["in_flight"] == 2
    assert board.endpoint_totals(1)["in_flight"] == 0


def test_no_field_shares_memory_with_another():
    """Adding a different number to every field of every slot and endpoint gives every number back."""
    board = Board(2, 2)
    single = [name for name, value in board.totals().items() if isinstance(value, int) and name != "keys"]
    for slot in (0, 1):
        board.attach(slot)
        for at, name in enumerate(single):
            board.add(name, 100 * slot + at)
        for at in range(32):
            board.add("refusals", 1000 + at, at)
        for endpoint in (0, 1):
            for at, name in enumerate(("in_flight", "idle_connections", "requests", "connects", "failures")):
                board.add_endpoint(endpoint, name, 10 * endpoint + at)
    totals = board.totals()
    assert [totals[name] for name in single] == [100 + 2 * at for at in range(len(single))]
    assert totals["refusals"] == [2 * (1000 + at) for at in range(32)]
    assert totals["requests"] == [0] * 6
    for endpoint in (0, 1):
        found = board.endpoint_totals(endpoint)
        assert list(found.values())[:5] == [2 * (10 * endpoint + at) for at in range(5)]
        assert found["responses"] == [0] * 6


def test_a_child_process_counts_for_its_parent():
    """What a forked process adds to its slot is seen by the process that made the board."""
    board = Board(2, 1)
    pid = os.fork()
    if pid == 0:
        board.attach(1)
        board.add("requests", 3, 2)
        board.set_state(READY)
        board.set_keys(2, 1000.0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.totals()["requests"][2] == 3
    assert board.state(1) == READY
    assert board.ready


def test_a_dead_worker_leaves_its_counters_and_takes_its_gauges():
    """`clear_gauges` zeroes what was open or held in the slot and keeps what was counted, so totals never go back."""
    board = Board(2, 1)
    for slot in (0, 1):
        board.attach(slot)
        board.add("requests", 5, 2)
        board.add("in_flight", 4)
        board.add("connections", 9)
        board.set_cache(100, 4096)
        board.set_keys(3, 50.0)
        board.set_state(READY)
        board.add_endpoint(0, "in_flight", 2)
        board.add_endpoint(0, "idle_connections", 3)
        board.add_endpoint(0, "requests", 11)
    board.clear_gauges(0)
    totals = board.totals()
    assert totals["requests"][2] == 10
    assert (totals["in_flight"], totals["connections"], totals["cache_entries"], totals["cache_bytes"]) == (
        4,
        9,
        100,
        4096,
    )
    endpoint = board.endpoint_totals(0)
    assert (endpoint["in_flight"], endpoint["idle_connections"], endpoint["requests"]) == (2, 3, 22)
    assert (board.state(0), board.state(1)) == (STOPPED, READY)


def test_keys_are_told_by_the_worker_that_is_behind():
    """The key count is the least and the key time the oldest of the workers that serve, not a sum."""
    board = Board(3, 0)
    assert (board.totals()["keys"], board.totals()["keys_fetched_at"]) == (0, 0.0)
    for slot, (keys, at) in enumerate([(3, 200.0), (2, 100.0), (0, 0.0)]):
        board.attach(slot)
        board.set_keys(keys, at)
        board.set_state((READY, DRAINING, STARTING)[slot])
    assert (board.totals()["keys"], board.totals()["keys_fetched_at"]) == (2, 100.0)


@pytest.mark.parametrize("state", [STARTING, DRAINING, STOPPED])
def test_ready_needs_a_ready_worker_with_keys_in_a_service_that_stays(state):
    """Readiness wants a worker that is READY and has a key, and ends at once when draining starts."""
    board = Board(2, 0)
    board.set_keys(1, 1.0)
    board.set_state(state)
    assert not board.ready
    board.set_state(READY, 1)
    assert not board.ready  # that one has no key
    board.set_state(READY)
    assert board.ready
    board.start_draining()
    assert not board.ready
    assert board.draining


def test_restarts_are_counted():
    """The supervisor's own counter lives beside the slots and touches none of them."""
    board = Board(1, 1)
    board.count_restart()
    board.count_restart()
    assert board.restarts == 2
    assert board.state(0) == STARTING
    assert STATE_NAMES[board.state(0)] == "starting"


@pytest.mark.parametrize(
    "misuse",
    [
        lambda board: board.attach(2),
        lambda board: board.attach(-1),
        lambda board: board.state(2),
        lambda board: board.clear_gauges(2),
        lambda board: board.set_state(READY, 2),
        lambda board: board.endpoint_totals(1),
        lambda board: board.add("requests", 1, 6),
        lambda board: board.add("retries", 1, 1),
        lambda board: board.add_endpoint(1, "requests"),
        lambda board: board.add_endpoint(0, "responses", 1, -1),
    ],
)
def test_nothing_is_written_outside_the_board(misuse):
    """A slot, endpoint or index that does not exist is an IndexError, never a write somewhere else."""
    board = Board(2, 1)
    with pytest.raises(IndexError):
        misuse(board)


def test_senseless_boards_and_names_are_refused():
    """No workers, an unknown field and an unknown state are errors."""
    with pytest.raises(ValueError, match="at least one worker"):
        Board(0, 1)
    board = Board(1, 0)
    with pytest.raises(KeyError):
        board.add("no_such_field")
    with pytest.raises(ValueError, match="state"):
        board.set_state(4)
