"""What a health check asks of an endpoint, and when: the values of `health_check`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, Self

LEAST_STATUS: Final = 200
MOST_STATUS: Final = 599
"""Responses with 1xx are interim (RFC 9110 §15.2): lbjwt waits for the one that follows."""

_ONE: Final = re.compile(r"[1-9][0-9]{2}", re.ASCII)
_RANGE: Final = re.compile(r"([1-9][0-9]{2})\s*-\s*([1-9][0-9]{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Statuses:
    """
    A set of response statuses.

    Args:
        ranges: First and last status of each range.
    """

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def read(cls, value: object) -> Self:
        """
        Read `204`, `"200-399"`, `"200, 301-302"`, or a list of these.

        Raises:
            ValueError: It is none of them, or a status is not from 200 to 599.
        """
        if isinstance(value, Statuses):
            return cls(value.ranges)
        parts: Iterable[object] = value if isinstance(value, list | tuple) else [value]
        texts = [text for part in parts for text in (part.split(",") if isinstance(part, str) else [part])]
        if not texts:
            raise ValueError("must have at least one status")
        return cls(tuple(map(_range, texts)))

    def __contains__(self, status: int) -> bool:
        return any(first <= status <= last for first, last in self.ranges)

    def __str__(self) -> str:
        return ", ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in self.ranges)


def _range(text: object) -> tuple[int, int]:
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if isinstance(text, str):
        text = text.strip()
        found = _RANGE.fullmatch(text)
        if found is not None or _ONE.fullmatch(text):
            first, last = (int(found[1]), int(found[2])) if found is not None else (int(text), int(text))
            if LEAST_STATUS <= first <= last <= MOST_STATUS:
                return first, last
            if LEAST_STATUS <= last < first <= MOST_STATUS:
                raise ValueError(f"a range begins with the lower status; did you mean {last}-{first}?")
            raise ValueError(f"statuses are from {LEAST_STATUS} to {MOST_STATUS}")
    raise ValueError('must be a status such as 200, a range such as "200-399", or a list of these')


DEFAULT_STATUSES: Final = Statuses(((200, 399),))


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """
    The check of the endpoints of one cluster.

    Args:
        scheme: Of the request; None: that of the endpoint.
        host: Value of the `Host` header; None: the address of the endpoint.
        body: Text that must be in the body; None: any body.
        interval: Seconds between the starts of two checks of one endpoint.
        jitter: Share of the interval, 0 to 1, by which it is shortened at random.
        timeout: Seconds for the whole check: resolving, connecting, TLS, response.
        rise: Passed checks in a row after which an endpoint gets requests again.
        fall: Failed checks in a row after which it gets none.
        port: To connect to; None: the port of the endpoint.
    """

    type: Literal["http", "tcp"] = "http"
    scheme: Literal["http", "https"] | None = None
    path: str = "/"
    method: Literal["GET", "HEAD", "OPTIONS"] = "GET"
    host: str | None = None
    statuses: Statuses = DEFAULT_STATUSES
    body: str | None = None
    interval: float = 5.0
    jitter: float = 0.1
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3
    port: int | None = None

    def is_over_tls(self, *, https: bool) -> bool:
        """
        Whether an endpoint is checked over TLS.

        Args:
            https: Requests go there over TLS.
        """
        return self.type == "http" and (https if self.scheme is None else self.scheme == "https")
