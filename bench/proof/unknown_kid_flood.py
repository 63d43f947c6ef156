"""A flood of tokens with key ids that nobody has neither makes the issuer's server work nor hurts those with good tokens."""

from __future__ import annotations

import time
from pathlib import Path

from bench.proof.keyscene import described, findings, key_scene, refused
from bench.proof.registry import Bar, Result
from tests.harness.flood import Flood
from tests.harness.keyserver import KeyServer
from tests.harness.load import drive, jobs, quantile
from tests.harness.publisher import Issuer

FULL = 300_000  # worthless tokens: 5,000 a second for a minute
QUICK = 6000  # 2,000 a second for 3 s
GOOD = 100.0  # requests a second with a good token


def run(n: int, directory: Path) -> Result:
    """The cool-down is 10 s at full size and 1 s at the quick one; two workers share it."""
    full = n >= FULL
    rate, cooldown = (5000.0, 10.0) if full else (2000.0, 1.0)
    seconds = n / rate
    with KeyServer() as server:
        issuer = Issuer(server)
        keys = {"refresh_interval": "1h", "cooldown": f"{cooldown:g}s"}
        with key_scene(directory, [issuer], keys=keys, workers=2) as stage:
            warm = drive(stage.port, jobs(200, stage.token, prefix="warm", fresh_every=4))
            quiet = drive(stage.port, jobs(int(GOOD * min(seconds, 20)), stage.token, prefix="quiet"), rate=GOOD)
            fetched, began = issuer.fetches, time.monotonic()
            with Flood(stage.port, "unknown-kid", rate, seconds, stage.token) as flood:
                good = drive(
                    stage.port, jobs(int(GOOD * seconds), stage.token, prefix="good", fresh_every=10), rate=GOOD
                )
            time.sleep(0.2)
            fetches, lasted = issuer.fetches - fetched, max(seconds, time.monotonic() - began - 0.2)
            found = findings(stage, [*warm, *quiet, *good])
    allowed = int(lasted / cooldown) + 1
    statuses: dict[str, int] = flood.result["statuses"]
    wrong = sum(count for status, count in statuses.items() if status not in ("401", "503"))
    bad = len(refused([*quiet, *good]))
    calm, stormy = (quantile((sample.latency for sample in samples), 0.99) for samples in (quiet, good))
    figure = (
        f"{fetches} fetches in {lasted:.1f} s (at most {allowed}), {bad} of {len(good):,} good requests refused, "
        f"p99 {stormy * 1000:.1f} ms against {calm * 1000:.1f} ms quiet ({stormy / calm:.2f}×)"
    )
    passed = fetches <= allowed and bad == 0 and wrong == 0 and not found and (not full or stormy <= 1.5 * calm)
    note = f"flood: {flood.result['sent']:,} sent, answers {statuses}, {flood.result['lost']} lost; good: {described(good)}"
    if not full:
        note += "; p99 is judged at full size only"
    return Result(n, figure, passed and fetches > 0, failures=bad + wrong, note="\n".join([note, *found[:5]]))


BAR = Bar(
    "unknown_kid_flood",
    "flood of unknown key ids: at most one fetch per cool-down and one more over all workers, 0 good refused, good p99 at most 1.5×",
    QUICK,
    FULL,
    run,
    alias="K2",
)
