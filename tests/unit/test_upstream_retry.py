"""Which requests are sent again: the rule of a route and the budget of a cluster, as tables."""

import pytest

from lbjwt.upstream._retry import STATUSES, RetryCause, RetryRule, is_within_budget

CONNECT_FAILURE, RESET, TIMEOUT, STATUS = (
    RetryCause.CONNECT_FAILURE,
    RetryCause.RESET,
    RetryCause.TIMEOUT,
    RetryCause.STATUS,
)
EVERYTHING = ("connect_failure", "reset", "refused", "timeout", *STATUSES)


@pytest.mark.parametrize(
    ("on", "cause", "status", "covered"),
    [
        (("connect_failure", "reset"), CONNECT_FAILURE, 0, True),
        (("connect_failure", "reset"), RESET, 0, True),
        (("connect_failure", "reset"), TIMEOUT, 0, False),
        (("connect_failure", "reset"), RetryCause.REFUSED, 0, False),
        (("connect_failure", "reset"), STATUS, 503, False),
        ((), CONNECT_FAILURE, 0, False),
        ((), RESET, 0, False),
        (("refused",), RetryCause.REFUSED, 0, True),
        (("timeout",), TIMEOUT, 0, True),
        (("timeout",), RESET, 0, False),
        ((503,), STATUS, 503, True),
        ((503,), STATUS, 502, False),
        ((503,), STATUS, 429, False),
        ((503,), RESET, 0, False),
        *[(EVERYTHING, STATUS, status, True) for status in STATUSES],
        *[(EVERYTHING, STATUS, status, False) for status in (0, 200, 204, 304, 404, 428, 430, 499, 505, 511, 599, 999)],
    ],
)
def test_a_rule_covers_what_it_names(on: tuple[str | int, ...], cause: RetryCause, status: int, covered: bool) -> None:
    """A cause that `on` does not name is passed on; a status only when it is that very one."""
    assert RetryRule(on=on).covers(cause, status) is covered


def test_the_default_is_what_harms_nobody() -> None:
    """No connection, no response to what may be repeated, and not processed."""
    rule = RetryRule()
    assert [cause for cause in RetryCause if rule.covers(cause, 503)] == [
        CONNECT_FAILURE,
        RESET,
        RetryCause.REFUSED,
    ]
    assert (rule.attempts, rule.any_status, rule.timeout < 0, rule.try_timeout < 0) == (-1, False, True, True)


@pytest.mark.parametrize(
    ("cause", "replayable", "begun", "sent_again", "again"),
    [
        (RESET, True, False, 0, True),
        (RESET, False, False, 0, False),  # a POST, or a body that is not kept
        (RESET, True, True, 0, False),  # the endpoint began to answer
        (TIMEOUT, True, False, 0, True),
        (TIMEOUT, False, False, 0, False),
        (TIMEOUT, True, True, 0, False),
        (STATUS, True, True, 0, True),  # its head is whole, and the client saw nothing of it
        (STATUS, False, True, 0, False),
        (RESET, True, False, 1, True),
        (RESET, True, False, 2, False),  # often enough
        (STATUS, True, True, 2, False),
    ],
)
def test_what_may_be_sent_again(cause: RetryCause, replayable: bool, begun: bool, sent_again: int, again: bool) -> None:
    """Only what is harmless to repeat, before the client saw anything, and up to `attempts` times."""
    rule = RetryRule(attempts=2, on=EVERYTHING)
    assert rule.may_send_again(cause, 503 if cause == STATUS else 0, replayable, begun, sent_again, 0) is again


@pytest.mark.parametrize(("attempts", "retries", "again"), [(-1, 0, False), (-1, 1, True), (0, 5, False), (1, 0, True)])
def test_the_cluster_has_the_default_of_attempts(attempts: int, retries: int, again: bool) -> None:
    """`attempts` of the route goes before `retries` of the cluster, also when it is 0."""
    assert RetryRule(attempts=attempts).may_send_again(RESET, 0, True, False, 0, retries) is again


@pytest.mark.parametrize(
    ("retrying", "savings", "within"),
    [
        (0, 0.0, True),
        (2, -9.0, True),
        (3, 2.9, False),  # three at a time are always allowed, a fourth is not
        (3, 3.0, True),
        (500, 40.0, True),
    ],
)
def test_the_budget_is_what_was_saved_and_three_at_a_time(retrying: int, savings: float, within: bool) -> None:
    """So retries add no more than that share to the load, and a service with little traffic has some."""
    assert is_within_budget(retrying, savings) is within


@pytest.mark.parametrize("cause", [200, 404, 505, "sometimes"])
def test_what_is_no_cause_is_refused(cause: int | str) -> None:
    """A status that another try would not change, or a word that means nothing."""
    with pytest.raises((ValueError, KeyError)):
        RetryRule(on=[cause])
