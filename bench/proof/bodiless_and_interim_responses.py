"""Bodies where none may be, interim responses by the thousand, 101 unasked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.scene import Tally, scene, taken
from tests.harness.ledger import compare
from tests.harness.load import Job, drive, jobs

MOST_INTERIM = 8
ROUND = 10_000


def work(number: int, count: int, token: str) -> Iterator[Job]:
    """Half misbehaviour, half honest requests on the same connections; ids tell what to expect."""
    chance = random.Random(number)
    honest = jobs(count, token, prefix=f"ok{number}")
    for index in range(count):
        kind = chance.randrange(8)
        framing = chance.choice(["cl", "chunked", "none"]) + chance.choice(["", "&when=soon"])
        if kind == 0:
            yield from jobs(
                1,
                token,
                prefix=f"body{number}-{index}",
                method="HEAD",
                target=f"/evil/bodied?framing={framing}&id={{id}}",
            )
        elif kind == 1:
            yield from jobs(
                1,
                token,
                prefix=f"body{number}-{index}",
                target=f"/evil/bodied?status={chance.choice([204, 304])}&framing={framing}&id={{id}}",
            )
        elif kind == 2:
            few = chance.randint(1, MOST_INTERIM)
            yield from jobs(
                1,
                token,
                prefix=f"few{number}-{index}",
                target=f"/evil/interim?n={few}&code={chance.choice([102, 103])}&id={{id}}",
            )
        elif kind == 3 and chance.random() < 0.3:
            many = chance.randint(MOST_INTERIM + 1, 1000)
            yield from jobs(
                1,
                token,
                prefix=f"many{number}-{index}",
                target=f"/evil/interim?n={many}&code={chance.choice([102, 103])}&id={{id}}",
            )
        elif kind == 4 and chance.random() < 0.3:
            yield from jobs(1, token, prefix=f"switch{number}-{index}", target="/evil/switch?id={id}")
        else:
            yield next(honest)


def run(n: int, directory: Path) -> Result:
    """No desync, no more than eight interim responses, and every honest request answered."""
    tally = Tally()
    wrong: list[str] = []
    with scene(directory, processes=2) as stage:
        for number in range(max(1, n // ROUND)):
            samples = drive(stage.port, work(number, min(n, ROUND), stage.token), connections=16)
            records = taken(stage)
            crossed = {record.id for record in records if record.crossed}
            findings = compare(samples, records, may_fail=True)
            tally.add(samples, [finding for finding in findings if finding.kind != "truncation"])
            for sample in samples:
                kind = sample.id.rstrip("0123456789-")
                fine = {
                    "ok": sample.is_good,
                    "few": sample.is_good,
                    "body": (sample.status in (200, 204, 304, 502) and not sample.body_size) or sample.status == 502,
                    "many": sample.status in (502, 0) and sample.interim <= MOST_INTERIM,
                    "switch": sample.status == 502,
                }[kind]
                # Who got what is the ledger's to judge, which knows what stray bytes crossed.
                if not fine and sample.id not in crossed and sample.echo_id in ("", sample.id):
                    wrong.append(
                        f"{sample.id}: {sample.outcome.value} {sample.status} after {sample.interim} interim, "
                        f"body {sample.body_size} {sample.problem}"
                    )
    bad = tally.count() + len(wrong)
    figure = f"{tally.count()} findings, {len(wrong)} wrong answers"
    return Result(tally.sent, figure, bad == 0, failures=bad, note="\n".join([tally.note, *wrong[:6]]))


BAR = Bar(
    "bodiless_and_interim_responses",
    "HEAD/204/304 with a body, 1–1,000 × 1xx, unsolicited 101: 0 desync, at most 8 interim responses accepted",
    2000,
    50_000,
    run,
    alias="B-11",
)
