"""The rules of passive health: how many failures, for how long, how many endpoints at a time."""

import pytest

from lbjwt._error_reason import ErrorReason
from lbjwt.config.ejection import Ejection
from lbjwt.observe._endpoint_states import CAUSE_NAMES
from lbjwt.upstream._ejection import EjectionRules, cause_of, had_fair_share, is_clients_doing, is_panic

SERVER_ERRORS, CONNECT_FAILURES, TIMEOUTS, RESETS, SUCCESS_RATE = range(len(CAUSE_NAMES))
MEAN = 0.5  # the middle of the jitter


@pytest.mark.parametrize(
    ("cause", "count", "enough"),
    [
        (SERVER_ERRORS, 4, False),
        (SERVER_ERRORS, 5, True),
        (CONNECT_FAILURES, 1, True),
        (TIMEOUTS, 2, False),
        (TIMEOUTS, 3, True),
        (TIMEOUTS, 4, True),
        (RESETS, 2, False),
        (RESETS, 3, True),
        (SUCCESS_RATE, 0, True),
    ],
)
def test_each_cause_has_its_threshold(cause: int, count: int, enough: bool) -> None:
    """The defaults; a success rate is judged before."""
    assert Ejection().rules.is_enough(cause, count) == enough


@pytest.mark.parametrize("cause", [SERVER_ERRORS, CONNECT_FAILURES, TIMEOUTS, RESETS])
def test_rules_that_are_off_eject_nobody(cause: int) -> None:
    """However many failures there are."""
    assert not EjectionRules.off().is_enough(cause, 1_000_000)


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (SERVER_ERRORS, [10, 20, 40, 80, 160, 300, 300]),
        (TIMEOUTS, [10, 20, 40, 80, 160, 300, 300]),
        (CONNECT_FAILURES, [1, 2, 4, 8, 10, 10, 10]),
    ],
)
def test_an_ejection_lasts_twice_as_long_as_the_one_before(cause: int, expected: list[float]) -> None:
    """Up to a limit, which for failed connects is the base time; also for a number in a row that no clock ever reaches."""
    rules = Ejection(base_time=10.0, max_time=300.0).rules
    assert [rules.seconds(cause, in_row, MEAN) for in_row in range(7)] == pytest.approx(expected)
    assert rules.seconds(cause, 1 << 40, MEAN) == pytest.approx(expected[-1])


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 9.0), (0.25, 9.5), (1.0, 11.0)])
def test_the_time_is_drawn_from_a_tenth_around(chance: float, expected: float) -> None:
    """Endpoints that failed together are not tried together."""
    assert Ejection().rules.seconds(SERVER_ERRORS, 0, chance) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("in_row", "healthy_for", "left"),
    [(0, 1e9, 0), (1, 9.9, 1), (1, 10.0, 0), (3, 39.9, 3), (3, 40.0, 2), (3, 60.0, 1), (3, 70.0, 0), (9, 0.0, 9)],
)
def test_time_in_rotation_makes_good(in_row: int, healthy_for: float, left: int) -> None:
    """One ejection is forgotten for each time that the endpoint was in rotation for as long as that ejection lasted."""
    assert Ejection().rules.decayed(SERVER_ERRORS, in_row, healthy_for) == left


@pytest.mark.parametrize(
    ("endpoints", "share", "room"),
    [
        (0, 0.5, 0),
        (1, 0.5, 0),
        (1, 1.0, 0),
        (2, 0.5, 1),
        (3, 0.5, 1),
        (4, 0.5, 2),
        (5, 0.1, 1),
        (10, 0.25, 2),
        (10, 1.0, 9),
    ],
)
def test_a_share_may_be_ejected_one_at_least_and_never_all(endpoints: int, share: float, room: int) -> None:
    """The lone endpoint of a cluster stays."""
    assert Ejection(max_ejected=share).rules.room(endpoints) == room


@pytest.mark.parametrize(
    ("endpoints", "share", "room"), [(0, 0.5, 0), (1, 0.5, 1), (2, 0.5, 1), (2, 1.0, 2), (10, 1.0, 10)]
)
def test_with_a_healthy_backup_the_share_may_be_all(endpoints: int, share: float, room: int) -> None:
    """The backup carries the load then."""
    assert Ejection(max_ejected=share).rules.room(endpoints, True) == room


@pytest.mark.parametrize(("waited", "excused"), [(0.0, False), (0.49, False), (0.5, True), (1.0, True), (300.0, True)])
def test_an_end_after_waiting_for_the_client_may_be_its_doing(waited: float, excused: bool) -> None:
    """Servers give clients one second at least, so that an end before half of it has another reason."""
    assert is_clients_doing(waited) is excused


@pytest.mark.parametrize(
    ("healthy", "endpoints", "threshold", "panic"),
    [(0, 0, 0.5, False), (0, 1, 0.5, False), (1, 2, 0.5, False), (0, 2, 0.5, True), (1, 3, 0.5, True), (2, 3, 0.5, False),
     (0, 3, 0.0, False), (2, 3, 1.0, True)],
)  # fmt: skip
def test_below_the_threshold_is_panic(healthy: int, endpoints: int, threshold: float, panic: bool) -> None:
    """A lone endpoint gets every request anyway."""
    assert is_panic(healthy, endpoints, threshold) == panic


def test_what_went_wrong_with_a_request_says_what_is_wrong_with_its_endpoint() -> None:
    """What a client or lbjwt did says nothing; a response that is not HTTP counts as the 502 that it becomes."""
    expected = {
        ErrorReason.RESPONSE_TIMEOUT: TIMEOUTS,
        ErrorReason.ROUTE_TIMEOUT: TIMEOUTS,
        ErrorReason.NO_RESPONSE: RESETS,
        ErrorReason.RESPONSE_INCOMPLETE: RESETS,
    }
    for reason in ErrorReason:
        invalid = SERVER_ERRORS if reason.name.startswith("RESPONSE_") else -1
        assert cause_of(reason) == expected.get(reason, invalid), reason.name


@pytest.mark.parametrize(
    ("waited", "timeout", "time_for_head", "fair"),
    [
        (0.0, 1.0, 15.0, False),  # the queue, connecting and other endpoints took it all
        (0.49, 1.0, 15.0, False),
        (0.5, 1.0, 15.0, True),
        (1.0, 1.0, 15.0, True),
        (0.2, 1.0, 0.2, True),  # as long as any request may take there
        (0.19, 1.0, 0.2, False),
    ],
)
def test_a_route_s_deadline_is_a_sign_after_a_fair_share_of_it(
    waited: float, timeout: float, time_for_head: float, fair: bool
) -> None:
    """Else a queue would eject the endpoint that happens to have the request in the end."""
    assert had_fair_share(waited, timeout, time_for_head) is fair
