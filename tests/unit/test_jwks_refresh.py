"""When keys are read again: every state, every input, by hypothesis and by example."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.jwks.refresh import RefreshSchedule

DRAW = st.floats(0, 1, exclude_max=True)


def test_the_first_attempt_is_due_at_once():
    """A new schedule waits for nothing."""
    schedule = RefreshSchedule(300.0)
    assert schedule.wants_fetch(0.0)
    assert schedule.wait(12.0) == 0.0
    assert not schedule.loaded


@pytest.mark.parametrize(("draw", "wait"), [(0.0, 270.0), (0.5, 300.0), (0.9999999, 330.0)])
def test_a_success_is_fresh_for_an_interval_and_a_tenth_either_way(draw, wait):
    """Jitter spreads refreshes over plus and minus ten percent."""
    schedule = RefreshSchedule(300.0)
    schedule.succeeded(1000.0, draw)
    assert schedule.wait(1000.0) == pytest.approx(wait)
    assert not schedule.wants_fetch(1000.0 + wait - 0.1)
    assert schedule.wants_fetch(1000.0 + wait + 0.1)


def test_without_any_key_the_next_attempt_comes_within_a_second_for_ever():
    """A cold start recovers within a second of the issuer's recovery, however long that takes (K5)."""
    schedule = RefreshSchedule(300.0)
    now = 0.0
    for attempt in range(500):
        schedule.failed(now, attempt % 10 / 10)
        assert 0.5 <= schedule.wait(now) <= 1.0
        now = schedule.due
    schedule.succeeded(now, 0.5)
    assert schedule.loaded
    assert schedule.wait(now) == pytest.approx(300.0)


def test_with_keys_failures_back_off_to_one_interval():
    """1, 2, 4, 8 … seconds, never more than the interval, and from the start again after a success."""
    schedule = RefreshSchedule(20.0)
    schedule.succeeded(0.0, 0.5)
    waits = []
    for _ in range(8):
        schedule.failed(0.0, 0.5)
        waits.append(schedule.wait(0.0))
    assert waits == pytest.approx([1, 2, 4, 8, 16, 20, 20, 20])
    schedule.succeeded(0.0, 0.5)
    schedule.failed(0.0, 0.5)
    assert schedule.wait(0.0) == pytest.approx(1)


@given(
    interval=st.floats(1, 86_400),
    events=st.lists(st.tuples(st.booleans(), DRAW, st.floats(0, 1e6)), min_size=1, max_size=60),
)
def test_no_history_breaks_the_schedule(interval, events):
    """Whatever succeeds and fails in whatever order: no wait is negative, none is over 1.1 intervals, and none under half a second."""
    schedule = RefreshSchedule(interval)
    now = 0.0
    ever = False
    for good, draw, idle in events:
        now += idle
        if good:
            schedule.succeeded(now, draw)
            ever = True
        else:
            schedule.failed(now, draw)
        wait = schedule.wait(now)
        assert 0.499 <= wait <= 1.1 * interval + 0.001
        assert schedule.loaded is ever
        assert (schedule.failures == 0) is good
        assert not schedule.wants_fetch(now)
        assert schedule.wants_fetch(schedule.due)


def test_a_year_of_failures_overflows_nothing():
    """Ten thousand failures in a row still give one interval."""
    schedule = RefreshSchedule(300.0)
    schedule.succeeded(0.0, 0.0)
    for _ in range(10_000):
        schedule.failed(0.0, 0.5)
    assert schedule.wait(0.0) == pytest.approx(300.0)
