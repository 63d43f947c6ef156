"""Which row of the shared stats a name has: the same over reloads, and never one in which another process still counts."""

import itertools
import pickle
import random

import pytest

from lbjwt.errors import ConfigurationError
from lbjwt.observe._board import READY, STOPPED, Board
from lbjwt.observe.metrics import BoardCollector, exposition
from lbjwt.observe.rows import RowNames, RowNumbers, Rows


def endpoints(*addresses: str) -> RowNames:
    return RowNames(endpoints=[("api", address) for address in addresses])


def issuers(*names: str) -> RowNames:
    return RowNames(issuers=names)


def routes(*names: str) -> RowNames:
    return RowNames(routes=names)


def running(generation: int, *boards: Board) -> None:
    """All workers of these boards have applied that configuration."""
    for board in boards:
        for slot in range(board.workers):
            board.set_state(READY, slot)
            board.set_generation(generation, slot)


def test_the_first_configuration_has_the_rows_in_its_order():
    names = RowNames([("a", "h:1"), ("b", "h:1")], ["main", "partner"], ["one", "two"])
    rows = Rows(Board(1, 4, 4, 4)).assign(names)
    assert rows == RowNumbers.in_order(names)
    assert rows.endpoints == {("a", "h:1"): 0, ("b", "h:1"): 1}
    assert (rows.issuers, rows.routes) == ({"main": 0, "partner": 1}, {"one": 0, "two": 1})
    assert rows.issuer_names == ["main", "partner"]


def test_a_name_keeps_its_row_wherever_it_stands_and_after_it_was_away():
    rows = Rows(Board(1, 8, 8, 8))
    assert rows.assign(routes("a", "b", "c")).routes == {"a": 0, "b": 1, "c": 2}
    assert rows.assign(routes("new", "c", "a"), 1).routes == {"new": 3, "c": 2, "a": 0}
    assert rows.assign(routes("b", "a"), 2).routes == {"b": 1, "a": 0}
    assert rows.assign(issuers("x"), 3).issuer_names == ["x"]
    assert rows.assign(issuers("y", "x"), 4).issuer_names == ["x", "y"]
    assert rows.assign(issuers("y"), 5).issuer_names == ["", "y"]


def test_endpoints_are_told_apart_by_their_cluster():
    rows = Rows(Board(1, 4))
    assert rows.assign(RowNames([("a", "h:1")])).endpoints == {("a", "h:1"): 0}
    assert rows.assign(RowNames([("b", "h:1")]), 1).endpoints == {("b", "h:1"): 1}


def test_a_row_is_used_again_only_when_no_fresh_one_is_left_and_the_one_that_left_first():
    board = Board(1, 0, 0, 3)
    rows = Rows(board)
    rows.assign(routes("a", "b"))
    rows.assign(routes("b"), 1)
    running(2, board)
    assert rows.assign(routes("c"), 2).routes == {"c": 2}
    assert rows.assign(routes("c", "d"), 3).routes == {"c": 2, "d": 0}
    assert rows.assign(routes("c", "d"), 4).routes == {"c": 2, "d": 0}
    running(4, board)
    assert rows.assign(routes("c", "d", "a"), 5).routes == {"c": 2, "d": 0, "a": 1}


def test_a_row_that_is_used_again_is_zero_in_every_slot_and_its_neighbours_are_not():
    board = Board(2, 3, 3, 3)
    rows = Rows(board)
    names = RowNames([("api", name) for name in "abc"], list("abc"), list("abc"))
    rows.assign(names)
    for slot in range(3):
        board.attach(slot)
        for row in range(3):
            board.add("requests", 5, endpoint=row)
            board.add("responses", 5, 2, endpoint=row)
            board.add("accepted", 5, issuer=row)
            board.add("refusals", 5, 31, issuer=row)
            board.want(row)
            board.add("requests", 5, 5, route=row)
    for row in range(3):
        board.add_source(row, "begun", 5)
        board.set_source_time(row, "last_success", 5.0)
    rows.assign(RowNames([("api", name) for name in "ac"], list("ac"), list("ac")), 1)
    running(1, board)
    found = rows.assign(RowNames([("api", name) for name in "acd"], list("acd"), list("acd")), 2)
    assert (found.endpoints["api", "d"], found.issuers["d"], found.routes["d"]) == (1, 1, 1)
    for row, count in enumerate((15, 0, 15)):
        assert board.endpoint_totals(row)["requests"] == board.endpoint_totals(row)["responses"][2] == count
        assert board.issuer_totals(row)["accepted"] == board.issuer_totals(row)["refusals"][31] == count
        assert board.wanted(row) == count / 5 and board.route_totals(row)[5] == count
        assert board.source_words(row)["begun"] == board.source_words(row)["last_success"] == count / 3


@pytest.mark.parametrize("gauge", ["in_flight", "connections", "idle_connections"])
@pytest.mark.parametrize("slot", [0, 1])
def test_an_endpoint_that_a_process_is_connected_to_keeps_its_row(gauge: str, slot: int):
    board = Board(2, 1)
    rows = Rows(board)
    rows.assign(endpoints("a"))
    rows.assign(endpoints(), 1)
    running(1, board)
    board.attach(slot)
    board.add(gauge, 1, endpoint=0)
    with pytest.raises(ConfigurationError, match="needs a restart"):
        rows.assign(endpoints("b"), 2)
    board.add(gauge, -1, endpoint=0)
    assert rows.assign(endpoints("b"), 2).endpoints == {("api", "b"): 0}


def test_an_issuer_whose_keys_are_in_force_somewhere_keeps_its_row():
    board = Board(2, 0, 1)
    rows = Rows(board)
    rows.assign(issuers("a"))
    board.attach(1)
    board.set_keys(1, 1.0)
    rows.assign(issuers(), 1)
    running(1, board)
    with pytest.raises(ConfigurationError, match=r"issuers: .* 1 .*needs a restart"):
        rows.assign(issuers("b"), 2)
    board.keep_issuers([])
    assert rows.assign(issuers("b"), 2).issuers == {"b": 0}


@pytest.mark.parametrize("late", [0, 1, 2])
def test_no_row_is_used_again_before_every_process_has_applied_that_its_name_left(late: int):
    """A worker or control process that is behind could still count there; one that is dead cannot."""
    board = Board(2, 0, 0, 1)
    rows = Rows(board)
    rows.assign(routes("a"))
    running(0, board)
    board.set_state(READY, board.keeper)
    rows.assign(routes(), 1)
    for slot in range(3):
        if slot != late:
            board.set_generation(1, slot)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="needs a restart"):
            rows.assign(routes("b"), 2)
    board.set_state(STOPPED, late)
    assert rows.assign(routes("b"), 2).routes == {"b": 0}


def test_a_reload_that_is_refused_takes_nothing_from_the_configuration_in_force():
    """Refused for its rows it changes none; refused later, its rows were given out, but none of those in force."""
    board = Board(1, 4, 4, 2)
    rows = Rows(board)
    rows.assign(RowNames([("api", "a")], ["a"], ["a", "b"]))
    running(0, board)
    with pytest.raises(ConfigurationError, match="routes"):
        rows.assign(RowNames([("api", "b")], ["b"], ["c"]), 1)
    assert rows.assign(RowNames([("api", "c")], ["c"], ["a"]), 1) == RowNumbers({("api", "c"): 1}, {"c": 1}, {"a": 0})
    with pytest.raises(ConfigurationError, match="routes"):  # number 1 was never applied: "b" is in force
        rows.assign(routes("a", "d"), 1)
    running(1, board)
    assert rows.assign(routes("a", "d"), 2).routes == {"a": 0, "d": 1}


def test_two_names_never_have_one_row():
    """A thousand configurations at random, applied by all, by some or refused: no row that a process may use belongs to two names."""
    chance = random.Random(9)
    board = Board(2, 0, 0, 6)
    rows = Rows(board)
    running(0, board)
    in_force = [rows.assign(routes("a", "b")).routes] * 2
    refused = 0
    for generation in range(1, 1001):
        names = chance.sample("abcdefghijkl", chance.randint(0, 4))
        try:
            found = rows.assign(routes(*names), generation).routes
        except ConfigurationError:
            refused += 1
            found = None
        for slot in (0, 1):
            if found is not None and chance.random() < 0.7:
                in_force[slot] = found
                board.set_generation(generation, slot)
        for one, other in itertools.combinations([*in_force, found or {}], 2):
            for name, row in one.items():
                assert all((row == another) == (name == there) for there, another in other.items())
    assert 0 < refused < 900


def test_capacity_is_four_times_the_start_and_has_a_least():
    assert RowNames().capacity == (4096, 2048, 2048)
    assert RowNames([("api", str(at)) for at in range(1025)], ["a"] * 64, ["r"] * 1000).capacity == (4100, 2048, 4000)


def test_a_small_service_grows_by_two_thousand_names_in_one_reload():
    """The names of before leave in the same reload, so that their rows are not free yet."""
    names = RowNames([("api", "old")], ["old"], ["old"])
    rows = Rows(Board(2, *names.capacity))
    rows.assign(names)
    many = [str(at) for at in range(2000)]
    found = rows.assign(RowNames([("api", name) for name in many], many, many), 1)
    assert len({*found.endpoints.values()}) == len({*found.issuers.values()}) == len({*found.routes.values()}) == 2000


def test_a_reload_that_needs_the_rows_that_it_frees_says_that_two_reloads_do():
    """And they do. When nothing leaves, or the new configuration alone is too large, only a restart helps."""
    board = Board(1, 0, 0, 3)
    rows = Rows(board)
    rows.assign(routes("a", "b"))
    running(0, board)
    with pytest.raises(
        ConfigurationError, match=r"^routes: counters for 3 .*: reload first without the names that are new, then"
    ):
        rows.assign(routes("b", "c", "d"), 1)
    rows.assign(routes("b"), 1)
    running(1, board)
    assert rows.assign(routes("b", "c", "d"), 2).routes == {"b": 1, "c": 2, "d": 0}
    running(2, board)
    with pytest.raises(ConfigurationError, match=r"too few of them are free: this change needs a restart$"):
        rows.assign(routes("b", "c", "d", "e"), 3)


def test_room_for_more_takes_no_memory():
    """A service with a thousand tenants has room for four thousand, on 16 workers: readers touch what has been given out alone."""
    board = Board(16, 256, 40_000, 256)
    Rows(board).assign(RowNames([("api", "a")], ["a"], ["r"]))
    with open("/proc/self/statm") as file:
        before = int(file.read().split()[1])
    board.clear_gauges(3)
    board.totals()
    assert not board.ready
    with open("/proc/self/statm") as file:
        assert int(file.read().split()[1]) - before < 500


def test_row_numbers_can_be_pickled():
    rows = RowNumbers({("a", "h:1"): 3}, {"main": 2}, {"r": 1})
    assert pickle.loads(pickle.dumps(rows)) == rows  # noqa: S301
    assert rows.issuer_names == ["", "", "main"]


def test_a_board_without_the_rows_is_refused():
    """Every counter is written without another check."""
    board = Board(1, 2, 2, 2)
    RowNumbers({("api", "a"): 1}, {"a": 1}, {"a": 1}).check(board)
    for row in (2, -1):
        with pytest.raises(ValueError, match="the board has 2 rows for endpoints"):
            RowNumbers(endpoints={("api", "a"): row}).check(board)
        with pytest.raises(ValueError, match="the board has 2 rows for issuers"):
            RowNumbers(issuers={"a": row}).check(board)
        with pytest.raises(ValueError, match="the board has 2 rows for routes"):
            RowNumbers(routes={"a": row}).check(board)


def test_series_of_names_that_left_are_gone_and_go_on_when_they_come_back():
    """Two clusters may hold the same address; each of them has its own numbers, before and after a reload."""
    board = Board(1, 4, 4, 4)
    rows = Rows(board)
    first = rows.assign(RowNames([("old", "h:1"), ("api", "h:1")], ["main"], ["orders"]))
    board.add("requests", 7, endpoint=0)
    board.add("requests", 3, endpoint=1)
    board.add("accepted", 5)
    board.add("requests", 2, 2, route=0)
    told = BoardCollector(board, first)

    def series() -> dict[str, float]:
        lines = exposition(told)[0].decode().splitlines()
        wanted = ("lbjwt_endpoint_requests_total", "lbjwt_requests_accepted_total", "lbjwt_route_requests_total")
        pairs = [line.rpartition(" ") for line in lines if line.startswith(wanted)]
        return {name: float(value) for name, _, value in pairs if 'status_class="' not in name or "2xx" in name}

    everything = {
        'lbjwt_endpoint_requests_total{cluster="old",endpoint="h:1"}': 7,
        'lbjwt_endpoint_requests_total{cluster="api",endpoint="h:1"}': 3,
        'lbjwt_requests_accepted_total{issuer="unknown"}': 0,
        'lbjwt_requests_accepted_total{issuer="main"}': 5,
        'lbjwt_route_requests_total{route="orders",status_class="2xx"}': 2,
    }
    assert series() == everything
    told.use(rows.assign(RowNames([("api", "h:1")], ["partner"], ["all"]), 1))
    assert series() == {
        'lbjwt_endpoint_requests_total{cluster="api",endpoint="h:1"}': 3,
        'lbjwt_requests_accepted_total{issuer="unknown"}': 0,
        'lbjwt_requests_accepted_total{issuer="partner"}': 0,
        'lbjwt_route_requests_total{route="all",status_class="2xx"}': 0,
    }
    told.use(rows.assign(RowNames([("api", "h:1"), ("old", "h:1")], ["main"], ["orders"]), 2))
    assert series() == everything
