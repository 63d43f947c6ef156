"""A cached token is refused once its time is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.client import request
from tests.harness.load import Job, drive
from tests.harness.stage import issuer


def asks(tokens: list[str], prefix: str) -> Iterator[Job]:
    """One request for each token."""
    for number, token in enumerate(tokens):
        yield Job(f"{prefix}-{number}", request(f"/r/{prefix}-{number}", token=token, id=f"{prefix}-{number}"))


def run(n: int, directory: Path) -> Result:
    """N tokens that expire together: used and cached before, all of them refused from 100 ms after."""
    mint = issuer().mint
    with scene(directory, issuers={"main": {"clock_skew": "0s"}}) as stage:
        began = time.monotonic()
        for number in range(50):
            mint("ES256", jti=f"trial-{number}")
        per_token = (time.monotonic() - began) / 50
        # Minting, then the warm-up with a verification each; whole seconds, as exp has no others.
        expiry = int(time.time() + 3 + n * (per_token + 0.0006))
        tokens = [mint("ES256", jti=f"c2-{number}", exp=expiry) for number in range(n)]
        warm = drive(stage.port, asks(tokens, "warm"), connections=16)
        again = drive(stage.port, asks(tokens[:200], "hot"), connections=16)
        in_time = time.time() < expiry
        time.sleep(max(0.0, expiry + 0.1 - time.time()))
        late = drive(stage.port, asks(tokens, "late"), connections=16)
    accepted = sum(sample.status != 401 for sample in late)
    early = sum(sample.status != 200 for sample in [*warm, *again])
    figure = f"{n - accepted} of {n} refused after expiry, {early} refused too early"
    note = "" if in_time else "the warm-up outlasted the tokens: the run proves less than it should"
    return Result(n, figure, accepted == 0 and early == 0 and in_time, failures=accepted + early, note=note)


BAR = Bar(
    "cached_expiry", "a cached token is refused at most 100 ms after exp + clock skew", 300, 10_000, run, alias="C-2"
)
