"""Every way to be refused gets the one answer that RFC 6750 has for it, and nothing more; over HTTP/2 the same one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bench.proof.refusals import ask_all, faults, otherwise_over_http2
from bench.proof.registry import Bar, Result
from bench.proof.scene import taken
from tests.harness.deny import denials
from tests.harness.house import Denial, House, controls, get
from tests.harness.ports import free_port
from tests.harness.stage import Stage


def run(n: int, directory: Path) -> Result:
    """The whole corpus, and the requests that must pass before and after it; then the answer for who fails too often."""
    house = House(directory)
    cases = denials(house)
    with scene_of(house, directory) as stage:
        wrong = [f"before: {line}" for line in unserved(stage, house)]
        asked = ask_all(stage, cases, "t5")
        wrong += otherwise_over_http2(stage.port, [one for one in asked if one.case.style != "grpc"])
        wrong += [f"after: {line}" for line in unserved(stage, house)]
        seen = [record for record in taken(stage) if record.id.startswith("t5")]
    limited = directory / "limited"
    limited.mkdir()
    with scene_of(house, limited, fail_limit={"failures": 5, "window": "60s"}) as stage:
        asked_too_often = ask_all(stage, too_many(house), "often")[5:]
        seen += [record for record in taken(stage) if record.id.startswith("often")]
    judged = [*asked, *asked_too_often]
    bad = [f"{one.case.name}: {fault}" for one in judged for fault in faults(one)]
    wrong += [f"reached a backend: {record.id} {record.target}" for record in seen]
    statuses = Counter(one.answer.status for one in judged)
    failures = len(bad) + len(wrong)
    figure = f"{failures} of {len(judged)} refusals not exact"
    note = "client saw " + ", ".join(f"{count} × {status}" for status, count in statuses.most_common())
    return Result(
        len(judged),
        figure,
        failures == 0 and len(judged) >= 400,
        failures=failures,
        note="\n".join([note, *wrong[:5], *bad[:10]]),
    )


def scene_of(house: House, directory: Path, **changes: object) -> Stage:
    """The house with a balancer in front; entering it waits for readiness, which one issuer without keys does not hinder."""
    port = free_port()
    listeners = [{"address": f"127.0.0.1:{port}", "h2c": True}]
    options = {"access_log": ..., "listeners": listeners, **house.configuration(), **changes}
    stage = Stage(directory, tokens=house, processes=1, shadow=False, **options)
    stage.listens_on = port
    return stage


def unserved(stage: Stage, house: House) -> list[str]:
    """Requests that must pass and do not."""
    found = []
    for name, data in controls(house).items():
        with stage.client() as client:
            client.send(data.replace(b"<id>", b"control"))
            answer = client.response()
            if answer.status != 200:
                found.append(f"{name} got {answer.status}")
    return found


def too_many(house: House) -> list[Denial]:
    """Five failures, and then requests that are refused unseen, the good one too."""
    failures = [Denial(f"failure {number}", "malformed", get("rubbish")) for number in range(5)]
    tokens = {"a good token": house.mint(), "rubbish": "rubbish", "an expired one": house.mint(exp=1)}
    return [*failures, *(Denial(f"too often: {name}", "rate_limited", get(token)) for name, token in tokens.items())]


BAR = Bar(
    "refusal_answers",
    "at least 400 requests to be refused: status, challenge and body of each exactly as RFC 6750 has them, over HTTP/2 too",
    400,
    400,
    run,
    alias="T5",
)
