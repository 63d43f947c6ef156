"""
The bars: what the project promises in ratios to its peers, and the verdict on a run.

A ratio is taken inside each round, between neighbours in time, and the median over the rounds is judged: a machine that
turns slow for a minute moves both sides of a ratio.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from bench.measure import Figures

CELL = tuple[str, str]  # case, peer


@dataclass(frozen=True)
class Bar:
    """``figure`` of ``ours`` over the same of ``theirs`` (or by itself) may be at most ``limit``, or at least when ``floor``."""

    about: str
    figure: str
    ours: CELL
    theirs: CELL | None
    limit: float
    floor: bool = False
    unit: str = "×"
    scale: float = 1.0
    needs_cores: bool = False  # more of them than the proxy's one and the load's one


def _plain(case: str, about: str) -> Bar:
    return Bar(f"{about}: CPU / HAProxy without auth", "cpu_us", (case, "lbjwt"), (case, "haproxy"), 1.00)


def _http2(case: str, about: str, peer: str, name: str, limit: float) -> Bar:
    return Bar(f"{about}: CPU / {name}", "cpu_us", (case, "lbjwt"), (case, peer), limit)


BARS = (
    Bar("hot RS256: CPU / HAProxy without auth", "cpu_us", ("hot", "lbjwt"), ("hot", "haproxy"), 1.00),
    Bar("hot RS256: CPU / C relay", "cpu_us", ("hot", "lbjwt"), ("hot", "floor"), 1.30),
    Bar("hot RS256: CPU / Envoy jwt_authn with cache", "cpu_us", ("hot", "lbjwt"), ("hot", "envoy-jwt"), 0.45),
    Bar("hot RS256: CPU / HAProxy jwt_verify", "cpu_us", ("hot", "lbjwt"), ("hot", "haproxy-jwt"), 0.40),
    Bar("hot RS256 with a whole policy: CPU / without", "cpu_us", ("hot", "lbjwt-policy"), ("hot", "lbjwt"), 1.02),
    Bar("hot RS256: p99 / HAProxy without auth", "p99_us", ("hot", "lbjwt"), ("hot", "haproxy"), 1.3),
    Bar("30,000 RS256 tokens: CPU / the hot figure", "cpu_us", ("rotation", "lbjwt"), ("hot", "lbjwt"), 1.15),
    Bar(
        "30,000 ES256 tokens: CPU / the hot figure", "cpu_us", ("rotation-es256", "lbjwt"), ("hot-es256", "lbjwt"), 1.15
    ),
    Bar("30,000 RS256 tokens: memory / Envoy", "memory_bytes", ("rotation", "lbjwt"), ("rotation", "envoy-jwt"), 0.25),
    Bar(
        "every token new, RS256: CPU / HAProxy jwt_verify",
        "cpu_us",
        ("new", "lbjwt-nocache"),
        ("new", "haproxy-jwt"),
        0.95,
    ),
    Bar(
        "every token new, ES256: CPU / HAProxy jwt_verify",
        "cpu_us",
        ("new-es256", "lbjwt-nocache"),
        ("new-es256", "haproxy-jwt"),
        0.95,
    ),
    _plain("headers", "15 header lines"),
    _plain("body-10k", "10 KiB response"),
    _plain("body-100k", "100 KiB response"),
    _plain("body-1m", "1 MiB response"),
    _plain("connect", "connection per request"),
    _plain("tls", "TLS"),
    _plain("connections-1000", "1,000 connections"),
    _plain("connections-2900", "2,900 connections"),
    Bar(
        "2,900 connections: p99 / HAProxy without auth",
        "p99_us",
        ("connections-2900", "lbjwt"),
        ("connections-2900", "haproxy"),
        1.00,
    ),
    _plain("tls-connect", "TLS connection per request"),
    *(
        bar
        for streams in ("10x10", "1x100")
        for bar in (
            _http2(f"h2-{streams}", f"HTTP/2 {streams}", "haproxy", "HAProxy without auth", 1.40),
            _http2(f"h2-{streams}", f"HTTP/2 {streams}", "envoy-jwt", "Envoy jwt_authn with cache", 0.65),
        )
    ),
    _http2("h2-body-100k", "100 KiB response, HTTP/2", "haproxy", "HAProxy without auth", 1.20),
    _http2("h2-body-1m", "1 MiB response, HTTP/2", "haproxy", "HAProxy without auth", 1.20),
    _http2("grpc", "unary call of gRPC", "envoy-jwt", "Envoy jwt_authn with cache", 0.70),
    Bar("refusal without a token: CPU / HAProxy's", "cpu_us", ("refusal", "lbjwt"), ("refusal", "haproxy-jwt"), 1.3),
    Bar(
        "two workers: requests/s / one worker",
        "per_second",
        ("workers", "lbjwt-2w"),
        ("workers", "lbjwt"),
        1.8,
        floor=True,
        needs_cores=True,
    ),
    Bar("idle connection: memory", "connection_bytes", ("idle", "lbjwt"), None, 6.0, unit=" KiB", scale=1024),
)


@dataclass(frozen=True)
class Verdict:
    """A bar and what came out. ``value`` is None when it was not measured; ``note`` then tells why."""

    bar: Bar
    value: float | None
    rounds: int
    note: str = ""

    @property
    def passed(self) -> bool:
        """The bar was measured and holds."""
        if self.value is None:
            return False
        return self.value >= self.bar.limit if self.bar.floor else self.value <= self.bar.limit

    @property
    def word(self) -> str:
        """Pass, falls short, or why there is no figure."""
        if self.value is None:
            return self.note
        return "pass" if self.passed else "falls short"


def _by_round(figures: Iterable[Figures], cell: CELL, name: str) -> dict[int, float]:
    return {
        figure.round: getattr(figure, name)
        for figure in figures
        if (figure.case, figure.peer) == cell and getattr(figure, name) is not None
    }


def judge(bar: Bar, figures: list[Figures], *, scales: bool) -> Verdict:
    """The verdict on one bar; ``scales`` tells whether the machine has cores for two workers beside the load."""
    if bar.needs_cores and not scales:
        return Verdict(bar, None, 0, "not measurable: needs 4 cores")
    ours = _by_round(figures, bar.ours, bar.figure)
    if bar.theirs is None:
        values = [value / bar.scale for value in ours.values()]
    else:
        theirs = _by_round(figures, bar.theirs, bar.figure)
        values = [ours[number] / theirs[number] for number in ours if theirs.get(number)]
    if not values:
        return Verdict(bar, None, 0, "not measured")
    return Verdict(bar, median(values), len(values))
