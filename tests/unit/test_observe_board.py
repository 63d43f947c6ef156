"""The board: what is counted in one process is read in another, and the dead leave their counters behind."""

import os

import pytest

from lbjwt.observe._board import DRAINING, READY, STARTING, STATE_NAMES, STOPPED, Board


def test_every_counter_starts_at_zero():
    """A fresh board has counted nothing, for no worker and no endpoint."""
    board = Board(3, 2)
    totals = board.totals()
    assert len(totals["requests"]) == 6
    assert len(totals["refusals"]) == 64
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
        board.add("responses", 7, 5, endpoint=2)
        board.add("in_flight", 1, endpoint=2)
    totals = board.totals()
    assert totals["requests"] == [0, 0, 21, 0, 0, 0]
    assert totals["refusals"][8] == 2
    assert totals["retries"] == 10
    assert board.endpoint_totals(2)["responses"] == [0, 0, 0, 0, 0, 14]
    assert board.endpoint_totals(2)["in_flight"] == 2
    assert board.endpoint_totals(1)["in_flight"] == 0


def test_no_field_shares_memory_with_another():
    """A different number in every field of every slot, endpoint, issuer and source: every number is given back."""
    board = Board(2, 2, 3)
    rows = {"accepted", "keys", "key_fetches", "key_fetch_failures", "wanted"}
    totals = board.totals()
    single = [name for name, value in totals.items() if isinstance(value, int) and name not in rows | {"revocations"}]
    assert len(single) >= 15
    gauges_and_counters = ("in_flight", "connections", "idle_connections", "requests", "connects", "failures")
    for source in range(3):
        for at, name in enumerate(("begun", "attempts", "fetches", "failures"), 1):
            board.add_source(source, name, 40 * source + at)
        board.set_source_time(source, "not_before", source + 0.25)
        board.set_source_time(source, "last_success", source + 0.5)
    for slot in (0, 1, 2):
        board.attach(slot)
        board.set_keys(slot + 70, slot + 1.5, issuer=2)
        board.set("revocations", slot + 90)
        if slot < 2:
            board.set_state(READY)
        for at, name in enumerate(single):
            board.add(name, 100 * slot + at)
        for issuer in (-1, 0, 1, 2):
            for at in range(64):
                board.add("refusals", 1000 * (issuer + 1) + at, at, issuer=issuer)
                board.add("reported", 7000 * (issuer + 1) + at, at, issuer=issuer)
            board.add("accepted", issuer + 5, issuer=issuer)
            board.add("key_fetches", issuer + 11, issuer=issuer)
            board.add("key_fetch_failures", issuer + 17, issuer=issuer)
        for source in range(3):
            for _ in range(source + slot):
                board.want(source)
        for endpoint in (0, 1):
            for at, name in enumerate(gauges_and_counters):
                board.add(name, 10 * endpoint + at, endpoint=endpoint)
    totals = board.totals()
    assert [totals[name] for name in single] == [300 + 3 * at for at in range(len(single))]
    assert totals["revocations"] == 90
    assert totals["requests"] == [0] * 6
    for issuer in (-1, 0, 1, 2):
        row = board.issuer_totals(issuer)
        assert row["refusals"] == [3 * (1000 * (issuer + 1) + at) for at in range(64)]
        assert row["reported"] == [3 * (7000 * (issuer + 1) + at) for at in range(64)]
        assert row["accepted"] == 3 * (issuer + 5)
        fetched = (40 * issuer + 3, 40 * issuer + 4) if issuer >= 0 else (0, 0)
        assert row["key_fetches"] == 3 * (issuer + 11) + fetched[0]
        assert row["key_fetch_failures"] == 3 * (issuer + 17) + fetched[1]
        assert (row["keys"], row["keys_fetched_at"]) == ((70, 1.5) if issuer == 2 else (0, 0.0))
    for source in range(3):
        assert board.wanted(source) == 3 * source + 3
        assert board.source_words(source) == {
            "begun": 40 * source + 1,
            "attempts": 40 * source + 2,
            "not_before": source + 0.25,
            "last_success": source + 0.5,
            "fetches": 40 * source + 3,
            "failures": 40 * source + 4,
        }
    for endpoint in (0, 1):
        found = board.endpoint_totals(endpoint)
        assert [found[name] for name in gauges_and_counters] == [3 * (10 * endpoint + at) for at in range(6)]
        assert found["responses"] == [0] * 6


def test_totals_are_over_all_issuers():
    """Refusals, would-be refusals, accepted requests and keys of all issuers and of none; the age is that of the oldest set."""
    board = Board(1, 0, 2)
    board.set_state(READY)
    board.add("refusals", 1, 6, issuer=-1)
    board.add("refusals", 2, 6)
    board.add("refusals", 4, 6, issuer=1)
    board.add("reported", 8, 6, issuer=1)
    board.add("accepted", 16, issuer=1)
    board.set_keys(3, 200.0)
    board.set_keys(2, 100.0, issuer=1)
    board.add_source(1, "fetches", 5)
    totals = board.totals()
    assert (totals["refusals"][6], totals["reported"][6], totals["accepted"]) == (7, 8, 16)
    assert (totals["keys"], totals["keys_fetched_at"], totals["key_fetches"]) == (5, 100.0, 5)


def test_a_child_process_counts_for_its_parent():
    """What a forked process adds to its slot is seen by the process that made the board."""
    board = Board(2, 1)
    pid = os.fork()
    if pid == 0:
        board.attach(1)
        board.add("requests", 3, 2)
        board.set_state(READY)
        board.set_keys(2, 1000.0)
        board.want(0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.totals()["requests"][2] == 3
    assert board.wanted(0) == 1
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
        board.set("cache_entries", 100)
        board.set("cache_bytes", 4096)
        board.set_keys(3, 50.0)
        board.set("revocations", 8)
        board.add("waiting", 6)
        board.add("waited", 7)
        board.add("refusals", 2, 8, issuer=-1)
        board.set_state(READY)
        board.add("in_flight", 2, endpoint=0)
        board.add("connections", 5, endpoint=0)
        board.add("idle_connections", 3, endpoint=0)
        board.add("requests", 11, endpoint=0)
    board.clear_gauges(0)
    totals = board.totals()
    assert totals["requests"][2] == 10
    assert (totals["in_flight"], totals["connections"], totals["cache_entries"], totals["cache_bytes"]) == (
        4,
        9,
        100,
        4096,
    )
    assert (totals["waiting"], totals["waited"], totals["refusals"][8]) == (6, 14, 4)
    assert (totals["keys"], totals["keys_fetched_at"], totals["revocations"]) == (3, 50.0, 8)
    board.set_state(READY, 0)  # its successor, before it has a key
    assert (board.totals()["keys"], board.totals()["revocations"]) == (0, 0)
    board.set_state(STOPPED, 0)
    endpoint = board.endpoint_totals(0)
    assert [endpoint[name] for name in ("in_flight", "connections", "idle_connections", "requests")] == [2, 5, 3, 22]
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


def test_revocations_are_told_by_the_worker_that_is_behind():
    """Of workers that serve, the one with the fewest revocations is told: what is not in force everywhere is not in force."""
    board = Board(3, 0)
    assert board.totals()["revocations"] == 0
    for slot, count in enumerate((5, 4, 3)):
        board.attach(slot)
        board.set("revocations", count)
        board.set_state((READY, DRAINING, STARTING)[slot])
    assert board.totals()["revocations"] == 4


def test_keys_of_any_issuer_make_ready():
    """One issuer out of reach must not take the others down: a key of one is enough; without any issuer none is asked for."""
    board = Board(1, 0, 2)
    board.set_state(READY)
    assert not board.ready
    board.set_keys(1, 1.0, issuer=1)
    assert board.ready
    free = Board(1, 0, 0)
    assert not free.ready
    free.set_state(READY)
    assert free.ready
    assert free.totals()["keys"] == 0


def test_an_issuer_that_left_makes_nobody_ready():
    """Its keys count no more from the reload on, nor those that a load brings which was under way then."""
    board = Board(1, 0, 3)
    board.set_state(READY)
    board.set_keys(2, 1.0, issuer=1)
    assert board.ready
    board.keep_issuers([0, 2])
    assert not board.ready
    board.set_keys(2, 2.0, issuer=1)
    assert not board.ready
    assert board.issuer_totals(1)["keys"] == board.issuer_totals(1)["keys_fetched_at"] == 0
    board.set_keys(1, 2.0, issuer=2)
    assert board.ready
    board.keep_issuers([1, 2])
    board.set_keys(1, 3.0, issuer=1)
    assert board.issuer_totals(1)["keys"] == 1


def test_nobody_looks_at_rows_that_were_not_given_out():
    """What `use_rows` leaves out counts neither in totals nor for readiness."""
    board = Board(1, 2, 2, 2)
    board.set_state(READY)
    board.set_keys(1, 1.0, issuer=1)
    board.add("accepted", 3, issuer=1)
    assert board.ready and board.totals()["accepted"] == 3
    board.use_rows(0, 1, 0)
    assert not board.ready and board.totals()["accepted"] == 0
    for rows in [(3, 0, 0), (0, 3, 0), (0, 0, 3), (-1, 0, 0)]:
        with pytest.raises(IndexError):
            board.use_rows(*rows)


def test_which_configuration_each_process_has_applied():
    """Applied by all is what every living process has applied; the supervisor says it of one that it is about to fork."""
    board = Board(2, 0)
    assert (
        [board.generation(slot) for slot in range(3)] == [board.failed_generation(slot) for slot in range(3)] == [0] * 3
    )
    assert board.is_applied(0) and not board.is_applied(1)
    board.attach(1)
    board.set_generation(2)
    board.set_failed_generation(3)
    assert (board.generation(1), board.failed_generation(1)) == (2, 3)
    assert not board.is_applied(1)
    board.set_generation(1, 0)
    assert board.is_applied(1) and not board.is_applied(2)
    board.set_state(STARTING, board.keeper)
    assert not board.is_applied(1)
    board.set_generation(1, board.keeper)
    assert board.is_applied(1)
    board.clear_gauges(1)
    assert (board.generation(1), board.failed_generation(1)) == (0, 0)
    assert board.is_applied(1)
    assert "generation" not in board.totals()


def test_how_the_last_reload_ended():
    """At first as if the start had been one. A refused one keeps the time of the last good one; requests are numbered, failed upgrades counted."""
    board = Board(1, 0)
    assert (board.reload_ok, board.reload_success_at) == (True, board.started_at)
    assert (board.reload_requests, board.upgrade_failed, board.configuration_hash) == (0, 0, "0" * 16)
    board.set_reloaded(True, 100.5)
    board.set_reloaded(False)
    assert (board.reload_ok, board.reload_success_at) == (False, 100.5)
    assert [board.request_reload(), board.request_reload(), board.reload_requests] == [1, 2, 2]
    board.count_failed_upgrade()
    assert board.upgrade_failed == 1
    for digits in ("00000000deadbeef", "f" * 16):
        board.configuration_hash = digits
        assert board.configuration_hash == digits


def test_the_keeper_is_no_worker():
    """The keeper's slot counts, but its state makes nobody ready, it is told of no worker, and its death takes no gauge of a worker."""
    board = Board(2, 1)
    assert (board.workers, board.keeper) == (2, 2)
    board.attach(board.keeper)
    board.set_state(READY)
    board.set_keys(5, 1.0)
    board.add("access_log_dropped", 3)
    assert not board.ready
    assert board.totals()["keys"] == 0
    assert board.totals()["access_log_dropped"] == 3
    board.attach(0)
    board.set_keys(1, 1.0)
    board.set_state(READY)
    board.clear_gauges(board.keeper)
    assert board.state(board.keeper) == STOPPED
    assert board.ready
    board.count_restart(keeper=True)
    assert (board.keeper_restarts, board.restarts) == (1, 0)


def test_what_a_keeper_said_outlives_it():
    """A keeper that dies leaves cool-down and counts of a source, so that its successor goes on and workers see no step back."""
    board = Board(1, 0)
    board.attach(board.keeper)
    board.add_source(0, "attempts", 3)
    board.set_source_time(0, "not_before", 77.5)
    before = board.source_words(0)
    board.clear_gauges(board.keeper)
    assert board.source_words(0) == before
    assert before["attempts"] == 3


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
        lambda board: board.attach(3),
        lambda board: board.attach(-1),
        lambda board: board.state(3),
        lambda board: board.clear_gauges(3),
        lambda board: board.set_state(READY, 3),
        lambda board: board.add("refusals", 1, 64),
        lambda board: board.add("accepted", issuer=1),
        lambda board: board.add("accepted", issuer=-2),
        lambda board: board.set_keys(1, 1.0, issuer=-1),
        lambda board: board.issuer_totals(1),
        lambda board: board.issuer_totals(-2),
        lambda board: board.want(1),
        lambda board: board.wanted(-1),
        lambda board: board.add_source(1, "fetches"),
        lambda board: board.set_source_time(1, "not_before", 1.0),
        lambda board: board.source_words(1),
        lambda board: board.endpoint_totals(1),
        lambda board: board.add("requests", 1, 6),
        lambda board: board.add("retries", 1, 1),
        lambda board: board.add("requests", endpoint=1),
        lambda board: board.add("responses", 1, -1, endpoint=0),
    ],
)
def test_nothing_is_written_outside_the_board(misuse):
    """A slot, endpoint or index that does not exist is an IndexError, never a write somewhere else."""
    board = Board(2, 1)
    with pytest.raises(IndexError):
        misuse(board)


def test_an_unknown_field_is_refused():
    """A name that no struct has is a KeyError."""
    with pytest.raises(KeyError):
        Board(1, 0).add("no_such_field")


def test_routes_are_summed_over_the_slots():
    """Each slot counts by route and status class; what is no route or class is an error, and rows do not touch each other."""
    board = Board(2, 1, 3, 2)
    for slot in (0, 1):
        board.attach(slot)
        board.add("requests", 5, 2, route=0)
        board.add("requests", 1, 5, route=1)
    assert (board.route_totals(0), board.route_totals(1)) == ([0, 0, 10, 0, 0, 0], [0, 0, 0, 0, 0, 2])
    assert board.wanted(2) == 0 and board.totals()["requests"] == [0] * 6
    for wrong in (
        lambda: board.add("requests", 1, 0, route=2),
        lambda: board.add("requests", 1, 6, route=0),
        lambda: board.route_totals(-1),
    ):
        with pytest.raises(IndexError):
            wrong()
