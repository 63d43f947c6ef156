"""When keys are fetched and how long they are believed: every state, every event, by table, by example and by hypothesis."""

import inspect
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lbjwt.keys import schedule as module
from lbjwt.keys.schedule import KeyLifecycle, ShelfLife
from tests.harness.examples import examples

NOW, WALL = 5000.0, 1.8e9
HOUR, DAY = 3600.0, 86_400.0
DRAW = st.floats(0, 1, exclude_max=True)


def no_keys_idle():
    return KeyLifecycle()


def no_keys_attempt():
    made = KeyLifecycle()
    made.begin()
    return made


def keys_idle():
    made = no_keys_attempt()
    made.succeeded(NOW - 100, WALL - 100, 0.5)
    return made


def keys_attempt():
    made = keys_idle()
    assert made.unknown_kid(NOW - 50)
    return made


STATES = {
    "no keys, idle": no_keys_idle,
    "no keys, attempt": no_keys_attempt,
    "keys, idle": keys_idle,
    "keys, attempt": keys_attempt,
}
EVENTS = {
    "begin": lambda made: made.begin(),
    "unknown_kid": lambda made: made.unknown_kid(NOW),
    "succeeded": lambda made: made.succeeded(NOW, WALL, 0.5),
    "failed": lambda made: made.failed(NOW, 0.5),
    "abandoned": lambda made: made.abandoned(NOW),
    "restored": lambda made: made.restored(ShelfLife(WALL - 60, NOW - 60, DAY)),
    "withdraw": lambda made: made.withdraw(NOW + 2 * DAY, WALL + 2 * DAY),
}
ERROR = "error"
NO, YES = False, True
AT_ONCE, PERIOD = -math.inf, NOW - 100 + 300

# (state, event): what it returns, keys after it, attempt after it, due after it
TABLE = {
    ("no keys, idle", "begin"): (None, NO, YES, AT_ONCE),
    ("no keys, attempt", "begin"): ERROR,
    ("keys, idle", "begin"): (None, YES, YES, PERIOD),
    ("keys, attempt", "begin"): ERROR,
    ("no keys, idle", "unknown_kid"): (True, NO, YES, AT_ONCE),
    ("no keys, attempt", "unknown_kid"): (False, NO, YES, AT_ONCE),
    ("keys, idle", "unknown_kid"): (True, YES, YES, PERIOD),
    ("keys, attempt", "unknown_kid"): (False, YES, YES, PERIOD),
    ("no keys, idle", "succeeded"): ERROR,
    ("no keys, attempt", "succeeded"): (None, YES, NO, NOW + 300),
    ("keys, idle", "succeeded"): ERROR,
    ("keys, attempt", "succeeded"): (None, YES, NO, NOW + 300),
    ("no keys, idle", "failed"): ERROR,
    ("no keys, attempt", "failed"): (None, NO, NO, NOW + 0.6),
    ("keys, idle", "failed"): ERROR,
    ("keys, attempt", "failed"): (None, YES, NO, NOW + 1),
    ("no keys, idle", "abandoned"): ERROR,
    ("no keys, attempt", "abandoned"): (None, NO, NO, AT_ONCE),
    ("keys, idle", "abandoned"): ERROR,
    ("keys, attempt", "abandoned"): (None, YES, NO, PERIOD),
    ("no keys, idle", "restored"): (None, YES, NO, AT_ONCE),
    ("no keys, attempt", "restored"): ERROR,
    ("keys, idle", "restored"): ERROR,
    ("keys, attempt", "restored"): ERROR,
    ("no keys, idle", "withdraw"): (False, NO, NO, AT_ONCE),
    ("no keys, attempt", "withdraw"): (False, NO, YES, AT_ONCE),
    ("keys, idle", "withdraw"): (True, NO, NO, PERIOD),
    ("keys, attempt", "withdraw"): (True, NO, YES, PERIOD),
}


def look(made):
    return made.has_keys, made.under_way, made.due


@pytest.mark.parametrize(("state", "event"), list(TABLE))
def test_every_event_in_every_state(state, event):
    """Each of the 28 cells does what the table says; an event that cannot be there is a RuntimeError and changes nothing."""
    made = STATES[state]()
    before = look(made)
    expected = TABLE[state, event]
    if expected == ERROR:
        with pytest.raises(RuntimeError):
            EVENTS[event](made)
        assert look(made) == before
    else:
        returned = EVENTS[event](made)
        assert (returned, *look(made)) == expected


def test_the_table_of_the_page_is_that_of_the_code():
    """The docstring shows every state and event, and calls the same cells an error."""
    rows = [
        [cell.strip() for cell in line.strip("|\n ").split(" | ")]
        for line in module.__doc__.splitlines()
        if line.startswith("| ")
    ]
    states = rows[0][1:]
    assert states == list(STATES)
    shown = {
        (state, re.sub(r"[^a-z_].*", "", row[0].strip("`"))): cell
        for row in rows[2:]
        for state, cell in zip(states, row[1:], strict=True)
    }
    assert shown.keys() == TABLE.keys()
    assert {at for at, cell in shown.items() if cell == ERROR} == {at for at, cell in TABLE.items() if cell == ERROR}


def test_every_event_has_a_row():
    """What changes the state is in the table; the rest are questions."""
    assert TABLE.keys() == {(state, event) for state in STATES for event in EVENTS}
    methods = {name for name, _ in inspect.getmembers(KeyLifecycle, inspect.isfunction) if not name.startswith("_")}
    assert methods == {*EVENTS, "state", "wants_fetch", "wait", "not_before"}


def test_the_first_attempt_is_due_at_once():
    """A new life cycle waits for nothing, on a machine that just started too."""
    made = KeyLifecycle()
    assert made.wants_fetch(0.0)
    assert made.wait(0.0, WALL) == 0.0
    assert made.state(0.0) == "none"


@pytest.mark.parametrize(("draw", "wait"), [(0.0, 270.0), (0.5, 300.0), (0.9999999, 330.0)])
def test_a_success_is_fresh_for_an_interval_and_a_tenth_either_way(draw, wait):
    """Jitter spreads refreshes over plus and minus ten percent."""
    made = no_keys_attempt()
    made.succeeded(1000.0, WALL, draw)
    assert made.wait(1000.0, WALL) == pytest.approx(wait)
    assert not made.wants_fetch(1000.0 + wait - 0.1)
    assert made.wants_fetch(1000.0 + wait + 0.1)
    assert made.state(1000.0) == "fresh"


@pytest.mark.parametrize(
    ("max_age", "period"),
    [(None, 300.0), (0.0, 60.0), (59.0, 60.0), (61.0, 61.0), (600.0, 600.0), (3600.0, 3600.0), (1e9, 3600.0)],
)
def test_the_response_says_when_to_come_again_between_floor_and_ceiling(max_age, period):
    """`max-age` counts within 30 s and an hour; a response that says nothing is good for five minutes."""
    made = no_keys_attempt()
    made.succeeded(NOW, WALL, 0.5, max_age=max_age)
    assert made.due == pytest.approx(NOW + period)


def test_keys_are_asked_for_twice_before_they_are_too_old():
    """A `max_stale` shorter than the period does not withdraw keys of an issuer that is well."""
    made = KeyLifecycle(max_stale=100.0)
    made.begin()
    made.succeeded(NOW, WALL, 0.999, max_age=3600.0)
    assert made.due <= NOW + 55


def test_b3_without_any_key_the_next_attempt_comes_within_a_second_for_ever():
    """A cold start recovers within a second of the issuer's recovery, however long that takes (K5)."""
    made = KeyLifecycle()
    now = 0.0
    for attempt in range(500):
        made.begin()
        made.failed(now, attempt % 10 / 10)
        assert 0.39 <= made.wait(now, WALL) <= 0.81
        assert made.state(now) == "none"
        now = made.due
    made.begin()
    made.succeeded(now, WALL, 0.5)
    assert made.wait(now, WALL) == pytest.approx(300.0)


def test_with_keys_failures_back_off_to_one_interval():
    """1, 2, 4, 8 … seconds, never more than the interval, and from the start again after a success."""
    made = KeyLifecycle(interval=20.0, floor=5.0)
    made.begin()
    made.succeeded(0.0, WALL, 0.5)
    waits = []
    for _ in range(8):
        made.begin()
        made.failed(0.0, 0.5)
        waits.append(made.due)
        assert made.state(0.0) == "stale"
    assert waits == pytest.approx([1, 2, 4, 8, 16, 20, 20, 20])
    made.begin()
    made.succeeded(0.0, WALL, 0.5, max_age=6.0)
    for _ in range(6):
        made.begin()
        made.failed(0.0, 0.5)
    assert made.due == pytest.approx(6)


def test_a_year_of_failures_overflows_nothing():
    """Ten thousand failures in a row still give one interval."""
    made = keys_idle()
    for _ in range(10_000):
        made.begin()
        made.failed(NOW, 0.5)
    assert made.due == pytest.approx(NOW + 300.0)


def test_b2_no_number_of_failures_takes_keys_away_before_their_time():
    """Every retry of a day fails; the keys are in force until the day is over, and then, once, they are not."""
    made = no_keys_attempt()
    made.succeeded(NOW, WALL, 0.5)
    now = NOW
    while made.due < NOW + DAY:
        now = made.due
        assert not made.withdraw(now, WALL + now - NOW)
        made.begin()
        made.failed(now, 0.5)
        assert made.has_keys
    assert not made.withdraw(NOW + DAY - 0.001, WALL + DAY - 0.001)
    assert made.withdraw(NOW + DAY, WALL + DAY)
    assert not made.withdraw(NOW + DAY, WALL + DAY)
    assert made.state(NOW + DAY) == "none"
    assert made.wants_fetch(NOW + DAY)
    made.begin()
    made.failed(NOW + DAY, 0.5)
    assert made.due == pytest.approx(NOW + DAY + 0.6)


def test_b4_an_unknown_key_id_starts_one_attempt_in_a_cooldown():
    """After any attempt, whoever asked for it, ten seconds pass before an unknown key id starts another."""
    made = no_keys_attempt()
    made.succeeded(NOW, WALL, 0.5)
    assert not made.unknown_kid(NOW + 9.99)
    assert made.not_before(NOW + 5) == NOW + 10
    assert made.unknown_kid(NOW + 10)
    assert not made.unknown_kid(NOW + 10)
    assert made.not_before(NOW + 11) == NOW + 11
    made.failed(NOW + 15, 0.5)
    assert not made.unknown_kid(NOW + 24.99)
    assert made.unknown_kid(NOW + 25)


def test_b4_ten_thousand_random_key_ids_a_second_get_one_fetch_a_cooldown():
    """A minute of them: at most seven fetches (K2), with an issuer that answers in 50 ms."""
    made = no_keys_attempt()
    made.succeeded(NOW - 60, WALL - 60, 0.5)
    fetches, ends = 0, math.inf
    for tick in range(60_000):
        now = NOW + tick / 1000
        if now >= ends:
            made.succeeded(now, WALL, 0.5)
            ends = math.inf
        for _ in range(10):
            if made.unknown_kid(now):
                fetches += 1
                ends = now + 0.05
    assert 2 <= fetches <= 7


def test_b4_a_flood_during_an_outage_is_bounded_too():
    """An hour of random key ids at an issuer that is down: one attempt a cooldown and the first retries, no more."""
    made = no_keys_attempt()
    made.succeeded(NOW, WALL, 0.5)
    now, attempts = NOW, 0
    while now < NOW + HOUR:
        now += 0.25
        if made.unknown_kid(now) or (made.wants_fetch(now) and made.begin() is None):
            attempts += 1
            made.failed(now, 0.5)
    assert attempts <= HOUR / 10 + 8
    assert made.has_keys


def test_b19_a_refresh_needs_no_traffic():
    """With nobody asking for anything the next attempt is due all the same."""
    made = keys_idle()
    assert made.wait(NOW, WALL) == pytest.approx(200.0)
    assert made.wants_fetch(NOW + 200.0)
    assert made.state(NOW + 400.0) == "stale"


def test_a_stored_copy_counts_from_its_own_time():
    """A copy of 23 hours ago is in force for one more hour, and the issuer is asked at once."""
    made = KeyLifecycle()
    life = ShelfLife.of(NOW, WALL, WALL - 23 * HOUR, DAY)
    assert life is not None
    made.restored(life)
    assert made.wants_fetch(NOW)
    assert made.state(NOW) == "stale"
    assert not made.withdraw(NOW + HOUR - 1, WALL + HOUR - 1)
    assert made.withdraw(NOW + HOUR, WALL + HOUR)


@pytest.mark.parametrize("max_stale", [600.0, DAY])
@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_k13_a_set_clock_makes_no_keys_older_or_younger(jump, max_stale):
    """The wall clock jumps an hour and back during an outage: keys end when their time has passed on the steady clock, timers do not move."""
    made = KeyLifecycle(max_stale=max_stale)
    made.begin()
    made.succeeded(NOW, WALL, 0.5)
    due = made.due
    assert not made.withdraw(NOW + 10, WALL + 10 + jump)
    assert made.due == due
    assert not made.withdraw(NOW + max_stale - 1, WALL + max_stale - 1 + jump)
    assert not made.withdraw(NOW + max_stale - 0.5, WALL + max_stale - 0.5)
    assert made.withdraw(NOW + max_stale, WALL + max_stale + jump)


def test_a_machine_that_slept_for_days_believes_nothing_it_remembers():
    """The steady clock stood still meanwhile; the wall clock tells."""
    made = keys_idle()
    assert made.wait(NOW, WALL + 3 * DAY) == 0.0
    assert made.withdraw(NOW, WALL + 3 * DAY)


def test_shelf_life_of_a_document_of_another_process():
    """Age is counted from the wall clock's word at the start and on the steady clock from then on."""
    life = ShelfLife.of(NOW, WALL, WALL - 100, 300)
    assert life.left(NOW, WALL) == 200
    assert life.left(NOW + 50, WALL + HOUR) == 150
    assert life.left(NOW + 200, WALL - HOUR) == 0
    soon = ShelfLife.of(NOW, WALL, WALL + HOUR, 300)  # stored before the clock was set back
    assert soon.left(NOW, WALL) == 300


@given(interval=st.floats(1, DAY), draw=DRAW, max_age=st.none() | st.floats(0, 1e10), failures=st.integers(0, 40))
def test_no_wait_leaves_its_bounds(interval, draw, max_age, failures):
    """Whatever the response said and however often it failed: never more often than twice a second, never later than 1.1 times the ceiling."""
    made = KeyLifecycle(interval=interval, floor=min(30.0, interval), ceiling=max(HOUR, interval), max_stale=10 * DAY)
    made.begin()
    made.succeeded(NOW, WALL, draw, max_age=max_age)
    assert 0.9 * made.floor - 0.001 <= made.due - NOW <= 1.1 * made.ceiling + 0.001
    for _ in range(failures):
        made.begin()
        made.failed(NOW, draw)
        assert 0.5 <= made.due - NOW <= 1.1 * interval + 0.001


class Life(RuleBasedStateMachine):
    """Any history, with a model beside it that knows only what was promised."""

    def __init__(self):
        super().__init__()
        self.made = KeyLifecycle()
        self.now, self.drift = NOW, WALL - NOW
        self.last_success = None  # steady clock
        self.last_end = -math.inf
        self.kid_starts = []

    @property
    def wall(self):
        return self.now + self.drift

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 9.9, 10.0, 60.0, 300.0, HOUR, DAY]) | st.floats(0, 1e5))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(jump=st.sampled_from([-HOUR, HOUR]))
    def clock_is_set(self, jump):
        if abs(self.drift + jump - (WALL - NOW)) <= HOUR:  # an hour off, and back
            self.drift += jump

    @rule()
    def tick(self):
        if self.made.withdraw(self.now, self.wall):
            assert self.now - self.last_success >= self.made.max_stale
            self.last_success = None
        if self.made.wants_fetch(self.now):
            self.made.begin()

    @rule()
    def unknown_kid(self):
        before = self.made.under_way
        if self.made.unknown_kid(self.now):
            assert not before
            assert self.now >= self.last_end + self.made.cooldown
            assert not self.kid_starts or self.now >= self.kid_starts[-1] + self.made.cooldown
            self.kid_starts.append(self.now)
        else:
            assert before or self.now < self.last_end + self.made.cooldown

    @precondition(lambda self: self.made.under_way)
    @rule(draw=DRAW, max_age=st.none() | st.floats(0, 1e9))
    def success(self, draw, max_age):
        self.made.succeeded(self.now, self.wall, draw, max_age=max_age)
        self.last_success = self.last_end = self.now
        assert self.made.state(self.now) == "fresh"

    @precondition(lambda self: self.made.under_way)
    @rule(draw=DRAW)
    def failure(self, draw):
        held = self.made.has_keys
        self.made.failed(self.now, draw)
        self.last_end = self.now
        assert self.made.has_keys is held
        assert self.made.wait(self.now, self.wall) <= (330.0 if held else 1.0)

    @precondition(lambda self: self.made.under_way)
    @rule()
    def abandon(self):
        self.made.abandoned(self.now)
        self.last_end = self.now

    @invariant()
    def keys_are_there_exactly_as_long_as_promised(self):
        assert self.made.has_keys is (self.last_success is not None)

    @invariant()
    def there_is_always_something_to_come(self):
        wait = self.made.wait(self.now, self.wall)
        assert wait >= 0
        assert wait <= 1.1 * self.made.ceiling or self.made.under_way
        assert self.made.wants_fetch(self.now) is (not self.made.under_way and self.now >= self.made.due)

    @invariant()
    def the_word_for_those_who_wait_is_true(self):
        can = self.made.under_way or self.now >= self.last_end + self.made.cooldown
        assert (self.now >= self.made.not_before(self.now)) is can


Life.TestCase.settings = settings(max_examples=examples(100), stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
