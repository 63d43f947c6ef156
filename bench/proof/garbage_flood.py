"""A flood of garbage leaves the memory of good tokens as it was: as many hits, as many bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.proof.keyscene import ask, described, findings, refused
from bench.proof.registry import Bar, Result
from bench.proof.scene import scene, settle
from tests.harness.flood import KINDS, Flood
from tests.harness.load import Job, Sample, drive
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

FULL = 300_000  # worthless tokens: 5,000 a second for a minute, a third of the time each kind
QUICK = 6000  # 2,000 a second for 3 s
GOOD = 200.0  # requests a second with a good token
TOKENS = 200  # good ones in use, in a memory with little room beyond them
ROOM = "512KiB"
POINTS = 1.0  # percent
GROWTH = 256 << 10  # bytes; a few pages that the allocator gave no one yet


def hits(stage: Stage) -> float:
    """Tokens found among the remembered ones so far."""
    return stage.balancer.metric("lbjwt_cache_hits_total")


def rate_of(stage: Stage, tokens: list[str], prefix: str, count: int) -> tuple[float, list[Sample]]:
    """Hits for each hundred good requests; garbage never is one."""

    def work() -> Iterator[Job]:
        for number in range(count):
            yield ask(f"{prefix}-{number}", tokens[number % TOKENS])

    before = hits(stage)
    samples = drive(stage.port, work(), rate=GOOD, connections=8)
    eventually(lambda: hits(stage) - before >= count, 15.0)  # counters are published once a second
    return 100.0 * (hits(stage) - before) / count, samples


def run(n: int, directory: Path) -> Result:
    """The hit rate without a flood, then under each kind of garbage in turn; one worker, so that there is one memory."""
    rate = 5000.0 if n >= FULL else 2000.0
    seconds = n / rate / len(KINDS)
    with scene(directory, processes=1, token_cache={"max_bytes": ROOM}) as stage:
        tokens = [stage.tokens.mint("ES256", sub=f"user-{number}") for number in range(TOKENS)]
        warm = drive(stage.port, (ask(f"warm-{number}", token) for number, token in enumerate(tokens)), connections=8)
        for kind in KINDS:
            with Flood(stage.port, kind, rate, 0.3, tokens[0]):
                pass
        quiet, samples = rate_of(stage, tokens, "quiet", TOKENS)
        before = settle(stage, 1.0)
        rates: dict[str, float] = {}
        answers: dict[str, dict[str, int]] = {}
        samples = [*warm, *samples]
        for kind in KINDS:
            with Flood(stage.port, kind, rate, seconds, tokens[0]) as flood:
                rates[kind], more = rate_of(stage, tokens, kind, int(GOOD * seconds))
            answers[kind] = flood.result["statuses"]
            samples += more
        grown = settle(stage, 1.0) - before
        evicted = stage.balancer.metric("lbjwt_cache_evictions_total")
        found = findings(stage, samples)
    worst = quiet - min(rates.values())
    bad = len(refused(samples))
    passed_through = sum(
        count for some in answers.values() for status, count in some.items() if status not in ("400", "401")
    )
    figure = (
        f"hit rate {quiet:.1f} % quiet, at worst {min(rates.values()):.1f} % under garbage; memory {grown / 1024:+.0f} KiB; "
        f"{evicted:.0f} evicted, {bad} good refused"
    )
    passed = worst <= POINTS and quiet > 99.0 and grown <= GROWTH and bad == 0 and passed_through == 0 and not found
    note = f"garbage got {answers}; good: {described(samples)}"
    return Result(n, figure, passed, failures=bad + passed_through, note="\n".join([note, *found[:5]]))


BAR = Bar(
    "garbage_flood",
    "a flood of garbage: the hit rate of good tokens falls by at most 1 point, memory does not grow",
    QUICK,
    FULL,
    run,
    alias="C-4",
)
