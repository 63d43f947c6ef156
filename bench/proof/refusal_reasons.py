"""Whatever is refused has one reason of a closed list, the same in log and counter; and the client can tell four things apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from bench.proof.refusal_answers import scene_of, too_many
from bench.proof.refusals import Asked, ask_all
from bench.proof.registry import Bar, Result
from tests.harness.deny import denials
from tests.harness.house import Denial, House
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

SHAPES = 4  # of what a client learns about a token; that none was judged (429, 503) says nothing of one
NEVER = {"internal"}  # a fault of ours: no request brings it about


def counted(stage: Stage) -> Counter[str]:
    """The refusal counters by reason, over all issuers and workers."""
    counts: Counter[str] = Counter()
    for (name, labels), value in stage.balancer.metrics():
        if name == "lbjwt_refusals_total":
            counts[dict(labels)["reason"]] += int(value)
    return counts


def part(stage: Stage, cases: list[Denial], prefix: str) -> tuple[list[Asked], list[str], set[str]]:
    """Ask; what log and counters say otherwise; the reasons that have a counter."""
    before = counted(stage)
    asked = ask_all(stage, cases, prefix)
    wanted = Counter(case.reason for case in cases)
    eventually(lambda: (counted(stage) - before).total() >= len(cases), 3.0)
    got = counted(stage) - before
    wrong = [
        f"counter {reason}: {got[reason]} instead of {wanted[reason]}"
        for reason in sorted({*got, *wanted})
        if got[reason] != wanted[reason]
    ]
    records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in stage.balancer.settled_access_log(len(cases), 6.0):
        records[str(record.get("request_id"))].append(record)
    for one in asked:
        found = [str(record.get("reason")) for record in records[one.id]]
        if found != [one.case.reason]:
            wrong.append(f"log of {one.case.name}: {found} instead of {one.case.reason}")
    return asked, wrong, set(before)


def run(n: int, directory: Path) -> Result:
    """The whole corpus with counters before and after it, and the log of it; shapes are told apart per route."""
    house = House(directory)
    log = {"path": str(directory / "access.log")}
    with scene_of(house, directory, access_log=log, workers=2) as stage:
        asked, wrong, reasons = part(stage, denials(house), "o3")
    limited = directory / "limited"
    limited.mkdir()
    log = {"path": str(limited / "access.log")}
    with scene_of(house, limited, fail_limit={"failures": 5, "window": "60s"}, access_log=log) as stage:
        often, more, _ = part(stage, too_many(house), "often")
    wrong += more
    asked += often
    shapes: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for one in asked:
        if one.case.status not in (429, 503):
            shapes[f"{one.case.style} {one.case.scopes}"].add(one.shape)
    most = max(len(different) for style, different in shapes.items() if not style.startswith("told"))
    unproved = reasons - NEVER - {one.case.reason for one in asked}
    figure = (
        f"{len(wrong)} of {len(asked)} refusals without their reason, {len(reasons) - len(unproved) - len(NEVER)} of "
        f"{len(reasons) - len(NEVER)} reasons seen, at most {most} shapes"
    )
    passed = not wrong and not unproved and most <= SHAPES and len(asked) >= n
    note = [f"no case for: {', '.join(sorted(unproved))}"] if unproved else []
    return Result(len(asked), figure, passed, failures=len(wrong), note="\n".join([*note, *wrong[:8]]))


BAR = Bar(
    "refusal_reasons",
    "every refusal has its reason in counter and log, every reason a case; a client can tell at most 4 answers about a token apart",
    400,
    400,
    run,
    alias="O-3",
)
