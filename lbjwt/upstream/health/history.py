"""
The health of one endpoint by the results of its checks, and when the next check is due. Pure: callers pass the time and a random number.

| state | result | state after it |
| --- | --- | --- |
| unchecked | passed or failed | passing or failing at once: there is nothing else to go by |
| passing | failed `fall` times in a row | failing |
| failing | passed `rise` times in a row | passing |
| any | no result | the same, and the row goes on |
"""

from dataclasses import dataclass
from typing import Final

from lbjwt.upstream.health.settings import HealthCheck

NOT_CHECKED: Final = 0
PASSING: Final = 1
FAILING: Final = 2
"""As `CheckState` in the shared state of an endpoint."""


@dataclass(slots=True)
class CheckHistory:
    """
    Args:
        state: What is known of the endpoint so far.
        due: When its next check is to start, in monotonic seconds.
    """

    check: HealthCheck
    state: int
    due: float
    in_row: int = 0
    """Results in a row that were equal to the last one."""
    passed: bool | None = None
    """The last result; None before the first."""

    def ended(self, passed: bool | None, started: float, now: float, chance: float) -> bool:
        """
        Take in a result; return whether the state is another one than before.

        Args:
            passed: None: the check could not be made, for a reason that is not the endpoint's.
            started: When the check started, in monotonic seconds.
            chance: Random, from 0 to 1.
        """
        check = self.check
        # Jitter only shortens, so `interval` is the longest that a dead endpoint stays unnoticed.
        self.due = max(now, started + check.interval * (1.0 - check.jitter * chance))
        if passed is None:
            return False
        self.in_row = self.in_row + 1 if passed == self.passed else 1
        self.passed = passed
        state = PASSING if passed else FAILING
        enough = 1 if self.state == NOT_CHECKED else check.rise if passed else check.fall
        if state == self.state or self.in_row < enough:
            return False
        self.state = state
        return True
