"""When an endpoint begins to fail its checks and to pass them again, and when it is checked next; over every state and result."""

import pytest

from lbjwt.upstream.health.history import FAILING, NOT_CHECKED, PASSING, CheckHistory
from lbjwt.upstream.health.settings import HealthCheck, Statuses

CHECK = HealthCheck(interval=5.0, jitter=0.2, rise=2, fall=3)
STATES = {"-": NOT_CHECKED, "P": PASSING, "F": FAILING}


@pytest.mark.parametrize(
    ("state", "results", "states"),
    [
        # + passed, x failed, ? could not be made
        ("-", "+", "P"),
        ("-", "x", "F"),
        ("-", "?", "-"),
        ("-", "?x", "-F"),
        ("-", "+xxx", "PPPF"),
        ("P", "xxx", "PPF"),
        ("P", "xx+xx", "PPPPP"),
        ("P", "xx+xxx", "PPPPPF"),
        ("P", "xx?x", "PPPF"),
        ("F", "++", "FP"),
        ("F", "+x+", "FFF"),
        ("F", "+?+", "FFP"),
        ("F", "x++xxx", "FFPPPF"),
        ("F", "?", "F"),
    ],
)
def test_states_by_results(state: str, results: str, states: str) -> None:
    """The state after each result, and `ended` says exactly when it is another one."""
    history = CheckHistory(CHECK, STATES[state], 0.0)
    before = state
    for result, after in zip(results, states, strict=True):
        moved = history.ended({"+": True, "x": False, "?": None}[result], 0.0, 0.1, 0.5)
        assert (history.state, moved) == (STATES[after], after != before)
        before = after


def test_results_in_a_row_are_counted_for_the_log() -> None:
    """Equal results count up; another one begins at 1; one that could not be made changes nothing."""
    history = CheckHistory(CHECK, PASSING, 0.0)
    counts = []
    for passed in (True, True, False, None, False, False, True):
        history.ended(passed, 0.0, 0.0, 0.0)
        counts.append(history.in_row)
    assert counts == [1, 2, 1, 1, 2, 3, 1]


@pytest.mark.parametrize(
    ("chance", "took", "due"),
    [
        (0.0, 0.1, 105.0),  # at most the interval, from start to start
        (1.0, 0.1, 104.0),  # shortened by the whole jitter
        (0.5, 0.1, 104.5),
        (0.0, 7.0, 107.0),  # it took longer than the interval: at once, and never two at a time
    ],
)
def test_the_next_check_is_due_after_an_interval_that_jitter_shortens(chance: float, took: float, due: float) -> None:
    """Whatever the result is."""
    for passed in (True, False, None):
        history = CheckHistory(CHECK, PASSING, 100.0)
        history.ended(passed, 100.0, 100.0 + took, chance)
        assert history.due == pytest.approx(due)


@pytest.mark.parametrize(
    ("value", "text", "within", "without"),
    [
        (204, "204", [204], [200, 205]),
        ("200-399", "200-399", [200, 301, 399], [199, 400]),
        ([200, 204], "200, 204", [200, 204], [202]),
        ("200, 301 - 302", "200, 301-302", [200, 301, 302], [300, 303]),
        ([200, "301-302"], "200, 301-302", [200, 302], [303]),
    ],
)
def test_statuses_are_read_and_written(value: object, text: str, within: list[int], without: list[int]) -> None:
    """What is written reads back as the same set."""
    statuses = Statuses.read(value)
    assert str(statuses) == text
    assert Statuses.read(text) == statuses == Statuses.read(statuses)
    assert all(status in statuses for status in within) and not any(status in statuses for status in without)


@pytest.mark.parametrize(
    "value", [True, 100, 199, 600, 20, "2xx", "399-200", "100-200", "", [], [[200]], None, 200.0, "200-", "0200"]
)
def test_other_values_are_no_statuses(value: object) -> None:
    with pytest.raises(ValueError, match="stat"):
        Statuses.read(value)
