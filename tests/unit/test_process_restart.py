"""When a worker slot may fork again: never twice a second, at once after a worker that served."""

from hypothesis import given
from hypothesis import strategies as st

from lbjwt.process.restart import LEAST, MOST, RestartSchedule


def test_an_empty_slot_is_filled_at_once():
    """The first fork waits for nothing."""
    assert RestartSchedule().due <= 0.0


def test_a_worker_that_served_is_replaced_at_once():
    """A worker that was ready and lived for more than a second has its successor without delay."""
    schedule = RestartSchedule()
    schedule.forked_at = 100.0
    schedule.died(105.0, was_ready=True)
    assert schedule.due <= 105.0


def test_a_worker_that_died_young_waits_out_its_second():
    """Even after being ready, two forks of a slot are a second apart."""
    schedule = RestartSchedule()
    schedule.forked_at = 100.0
    schedule.died(100.3, was_ready=True)
    assert schedule.due > 100.99
    assert schedule.due <= 101.0


def test_workers_that_die_at_start_get_growing_rest():
    """1, 2, 4, 8, 16, 30, 30 seconds; a worker that served starts the row anew."""
    schedule = RestartSchedule()
    now = 0.0
    rests = []
    for _ in range(7):
        schedule.forked_at = now
        schedule.died(now, was_ready=False)
        rests.append(schedule.due - now)
        now = schedule.due
    assert rests == [1, 2, 4, 8, 16, 30, 30]
    schedule.forked_at = now
    schedule.died(now + 60, was_ready=True)
    schedule.forked_at = now + 60
    schedule.died(now + 60, was_ready=False)
    assert schedule.due == now + 61


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100), st.floats(0, 100)), max_size=50))
def test_no_history_makes_a_fork_bomb_or_an_empty_slot_for_ever(history):
    """Whatever the lives were like, two forks are at least a second apart and the next one comes within half a minute of a death."""
    schedule = RestartSchedule()
    now = 0.0
    before = None
    for was_ready, life, late in history:
        assert schedule.due <= now
        assert before is None or now - before >= LEAST - 1e-6  # the difference of two rounded times
        schedule.forked_at = now
        before = now
        died = now + life
        schedule.died(died, was_ready=was_ready)
        assert schedule.due - died <= MOST + 1e-6
        now = max(died, schedule.due) + late
