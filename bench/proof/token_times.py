"""The edges of a token's time, on the second, by the real clock and through the real door."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.proof.pipeline import DEPTH, answers
from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.client import request
from tests.harness.stage import issuer

SKEWS = (0, 30)  # seconds
PHASE = 0.05  # seconds after the full second at which a volley begins
MOST_TRIES = 20
Case = tuple[str, dict[str, float | None], bool]  # name, claims by their distance from now, whether it must pass


def edges(skew: int) -> list[Case]:
    """
    Claims one second and less from their edges, as distances from a second that has just begun.

    A token is good while now < exp + skew, now >= nbf - skew and now >= iat - skew (RFC 7519 section 4.1, THREATS C3).
    """
    cases: list[Case] = []
    for distance in (-2, -1, 0, 1, 2):
        # now is a little after the full second: at distance 0 the edge has just been reached
        cases.append((f"exp {distance:+d}", {"exp": distance - skew}, distance > 0))
        cases.append((f"nbf {distance:+d}", {"nbf": distance + skew}, distance <= 0))
        cases.append((f"iat {distance:+d}", {"iat": distance + skew}, distance <= 0))
        for other in (-1, 1):
            passes = distance > 0 and other <= 0
            cases.append((f"exp {distance:+d}, nbf {other:+d}", {"exp": distance - skew, "nbf": other + skew}, passes))
    for fraction in (0.9, 0.99):
        cases.append((f"exp +{fraction}", {"exp": fraction - skew}, True))
        cases.append((f"nbf +{fraction}", {"nbf": fraction + skew}, False))
        cases.append((f"exp -{fraction}", {"exp": -fraction - skew}, False))
        cases.append((f"nbf -{fraction}", {"nbf": -fraction + skew}, True))
    return cases


def volley(port: int, cases: list[Case], count: int) -> tuple[list[str], int] | None:
    """Ask `count` cases within one second; the wrong ones and how many were asked, or None when the second was over too soon."""
    second = int(time.time()) + 1
    asked: dict[bytes, Case] = {}
    for number in range(count):
        case = cases[number % len(cases)]
        times = {name: second + distance for name, distance in case[1].items() if distance is not None}
        claims = {"iat": None, "exp": second + 600, **times, "jti": f"{number}"}
        asked[request("/r/t6", token=issuer().mint("EdDSA", **claims))] = case

    def on_the_second() -> Iterator[bytes]:
        yield from asked

    time.sleep(max(0.0, second + PHASE - time.time()))
    wrong = [
        f"{asked[data][0]}: {status}"
        for data, status in answers(port, on_the_second())
        if (status == 200) != asked[data][2]
    ]
    # what 0.9 of a second says is true for less long
    return (wrong, len(asked)) if time.time() < second + 0.85 else None


def run(n: int, directory: Path) -> Result:
    """Half the cases without a skew, half with one; a volley that did not end within its second proves nothing and is asked again."""
    wrong: list[str] = []
    judged = repeated = 0
    for skew in SKEWS:
        place = directory / str(skew)
        place.mkdir()
        cases = edges(skew)
        with scene(place, processes=1, issuers={"main": {"clock_skew": f"{skew}s"}}) as stage:
            left = n // len(SKEWS)
            while left > 0 and repeated < MOST_TRIES:
                result = volley(stage.port, cases, min(left, DEPTH))
                if result is None:
                    repeated += 1
                    continue
                wrong += [f"skew {skew}: {line}" for line in result[0]]
                judged += result[1]
                left -= result[1]
    figure = f"{len(wrong)} of {judged} verdicts wrong, {repeated} volleys repeated as they took too long"
    return Result(judged, figure, not wrong and judged >= n, failures=len(wrong), note="\n".join(wrong[:8]))


BAR = Bar(
    "token_times",
    "the edges of exp, nbf, iat and the clock skew, to the second: every verdict exact",
    128,
    512,
    run,
    alias="T6",
)
