"""The section of a cluster about passive health: when an endpoint whose requests fail is passed over, and for how long."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from lbjwt.config.fields import Percent, Seconds, whole
from lbjwt.config.section import Section, across
from lbjwt.units import format_duration
from lbjwt.upstream._ejection import EjectionRules

_DAY = 86_400


class Ejection(Section):
    """
    Passive health: an endpoint whose requests fail gets no requests for a while. On by default; `ejection: false` turns it off.
    """

    consecutive_5xx: Annotated[int, whole(0, 1000)] = Field(
        default=5, description="Responses with any 5xx status in a row that eject an endpoint. 0: these never do."
    )
    consecutive_connect_failures: Annotated[int, whole(0, 1000)] = Field(
        default=1,
        description="Failed connects in a row that eject an endpoint, for a tenth of `base_time` at first, for all of it at most. 0: never.",
    )
    consecutive_timeouts: Annotated[int, whole(0, 1000)] = Field(
        default=3,
        description="Requests in a row without a response within `response_timeout` that eject an endpoint. 0: these never do.",
    )
    consecutive_resets: Annotated[int, whole(0, 1000)] = Field(
        default=3,
        description="Connections in a row that ended before the response was whole that eject an endpoint. Idle connections that the endpoint closed "
        "do not count. 0: these never do.",
    )
    success_rate: Annotated[float, Percent(0, 1)] = Field(
        default=0.9,
        description="Eject an endpoint whose share of good responses is below this and far below that of the others. 0%: never.",
    )
    interval: Annotated[float, Seconds(1, 3_600)] = Field(
        default=10.0, description="How often lbjwt compares the success rates of the endpoints."
    )
    base_time: Annotated[float, Seconds(0.1, _DAY)] = Field(
        default=10.0, description="Length of the first ejection, ± 10%. Each further one in a row lasts twice as long."
    )
    max_time: Annotated[float, Seconds(0.1, _DAY)] = Field(
        default=300.0, description="Length of the longest ejection, ± 10%."
    )
    max_ejected: Annotated[float, Percent(0.01, 1)] = Field(
        default=0.5,
        description="Share of the endpoints that may be ejected at the same time: at least one of several, and never all unless a "
        "healthy backup is there. Endpoints to which connecting fails do not count.",
    )

    @field_validator("max_time")
    @classmethod
    def _longest_is_longer(cls, seconds: float, info: ValidationInfo) -> float:
        base = info.data.get("base_time")
        if base is not None and seconds < base:
            raise across(f"max_time is shorter than base_time, which is {format_duration(base)}", "max_time")
        return seconds

    @property
    def rules(self) -> EjectionRules:
        """The same as rules on numbers."""
        return EjectionRules(
            consecutive_5xx=self.consecutive_5xx,
            consecutive_connect_failures=self.consecutive_connect_failures,
            consecutive_timeouts=self.consecutive_timeouts,
            consecutive_resets=self.consecutive_resets,
            base_time=self.base_time,
            max_time=self.max_time,
            max_ejected=self.max_ejected,
            success_rate=self.success_rate,
            interval=self.interval,
        )
