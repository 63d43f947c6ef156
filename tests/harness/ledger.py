"""
Three ledgers, one truth: what the client saw, what the balancer logged, and what the backends saw must tell the same story of every request id.

`compare` returns every contradiction as a `Finding`; an empty list is the proof. It knows what a fault that the test itself injected excuses
(`may_fail`), but nothing excuses a wrong owner, a duplicate, an unverified request or a cut response that looks whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.harness.client import Outcome
from tests.harness.load import Sample
from tests.harness.record import Seen

IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction."""

    kind: str  # loss, duplication, cross-delivery, unverified, ghost, leak, truncation, garbage, log
    id: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.id or '-'}: {self.text}"


def compare(
    client: Iterable[Sample],
    backends: Iterable[Seen],
    access_log: Iterable[dict[str, Any]] | None = None,
    *,
    may_fail: bool = False,
    retries: int = 1,
) -> list[Finding]:
    """
    Every contradiction between the ledgers.

    Args:
        client: One sample for each request sent; ids are unique.
        backends: Every request any backend saw.
        access_log: Records of the balancer, or None to leave them out.
        may_fail: Failed requests (reset, 502, 503, 504) are no loss: the test broke something.
        retries: How many further times an idempotent request may reach a backend.
    """
    samples = {sample.id: sample for sample in client}
    seen: dict[str, list[Seen]] = defaultdict(list)
    by_exchange: dict[tuple[str, int], Seen] = {}
    crossed: dict[str, int] = {}  # connection -> first request that stray bytes crossed
    findings: list[Finding] = []
    for record in backends:
        seen[record.id].append(record)
        by_exchange[record.conn, record.ordinal] = record
        if record.crossed:
            crossed[record.conn] = min(record.ordinal, crossed.get(record.conn, record.ordinal))
        if record.verified not in ("ok", "off"):
            findings.append(
                Finding(
                    "unverified", record.id, f"{record.backend} saw {record.method} {record.target}: {record.verified}"
                )
            )
        if record.id not in samples:
            findings.append(
                Finding(
                    "ghost",
                    record.id,
                    f"{record.backend} saw a request no client sent: {record.method} {record.target}",
                )
            )
    for sample in samples.values():
        findings += _judge(sample, seen.get(sample.id, []), by_exchange, crossed, may_fail, retries)
    if access_log is not None:
        findings += _judge_log(samples, seen, access_log)
    return findings


def _judge(
    sample: Sample,
    records: list[Seen],
    by_exchange: dict[tuple[str, int], Seen],
    crossed: dict[str, int],
    may_fail: bool,
    retries: int,
) -> list[Finding]:
    """One request, as client and backends saw it."""
    found: list[Finding] = []

    def add(kind: str, text: str) -> None:
        found.append(Finding(kind, sample.id, text))

    allowed = 1 + (retries if sample.method in IDEMPOTENT else 0)
    if len(records) > allowed:
        add(
            "duplication",
            f"{sample.method} reached backends {len(records)} times: {[record.conn for record in records]}",
        )
    if sample.outcome is Outcome.GARBAGE:
        add("garbage", sample.problem)
    if sample.echo_id != sample.id and sample.echo_ordinal >= crossed.get(sample.echo_conn, sample.echo_ordinal + 1):
        return found  # stray bytes that a request crossed, or the answer they pushed out of its place
    if sample.stray or (sample.echo_id and sample.echo_id != sample.id):
        add("cross-delivery", f"got the response to {sample.echo_id!r}{' (stray)' if sample.stray else ''}")
        return found
    if sample.outcome is not Outcome.COMPLETE:
        if not may_fail:
            add("loss", f"{sample.method} ended {sample.outcome.value} with status {sample.status}: {sample.problem}")
        return found
    if sample.echo_id:
        record = by_exchange.get((sample.echo_conn, sample.echo_ordinal))
        if record is None or record.id != sample.id:
            add(
                "cross-delivery",
                f"response of {sample.echo_conn}#{sample.echo_ordinal}, which served {record.id if record else 'nothing'!r}",
            )
        elif not record.whole and sample.status < 500:
            add(
                "truncation",
                f"{record.backend} sent a broken response and the client saw a whole one of {sample.body_size} bytes",
            )
    elif 200 <= sample.status < 300:
        add("loss", f"answered {sample.status} by nobody: no backend's tags")
    elif sample.status in (400, 401, 403) and records:
        add("leak", f"refused with {sample.status}, yet {records[0].backend} saw it")
    elif sample.status >= 500 and not may_fail:
        add("loss", f"answered {sample.status} by the balancer")
    return found


def log_id(record: dict[str, Any], known: dict[str, Sample]) -> str:
    """The request id of an access-log record: its request id when that is one of ours, else the last segment of its path."""
    id = str(record.get("request_id") or "")
    return id if id in known else str(record.get("path") or "").rpartition("/")[2]


def _judge_log(
    samples: dict[str, Sample], seen: dict[str, list[Seen]], access_log: Iterable[dict[str, Any]]
) -> list[Finding]:
    """The balancer's own records against what client and backends saw."""
    found: list[Finding] = []
    counts: Counter[str] = Counter()
    for record in access_log:
        id = log_id(record, samples)
        counts[id] += 1
        sample = samples.get(id)
        if sample is None:
            found.append(Finding("log", id, f"logged a request no client sent: {record}"))
            continue
        status, complete = int(record.get("status") or 0), bool(record.get("complete"))
        if sample.outcome is Outcome.COMPLETE and status != sample.status:
            found.append(Finding("log", id, f"logged status {status}, the client saw {sample.status}"))
        if sample.outcome is Outcome.COMPLETE and not complete:
            found.append(Finding("log", id, "logged as incomplete, the client saw it whole"))
        if complete and sample.outcome in (Outcome.TRUNCATED, Outcome.GARBAGE):
            found.append(Finding("log", id, f"logged as complete, the client saw it {sample.outcome.value}"))
        if seen.get(id) and not record.get("endpoint"):
            found.append(Finding("log", id, f"logged without an endpoint, yet {seen[id][0].backend} saw it"))
    for id, sample in samples.items():
        if counts[id] > 1:
            found.append(Finding("log", id, f"logged {counts[id]} times"))
        elif not counts[id] and (sample.status or seen.get(id)):
            found.append(Finding("log", id, "not logged"))
    return found


def summary(findings: list[Finding]) -> str:
    """Counts by kind and the first few findings, for a person."""
    if not findings:
        return "the ledgers agree"
    kinds = Counter(finding.kind for finding in findings)
    lines = [", ".join(f"{count} × {kind}" for kind, count in kinds.most_common())]
    return "\n".join(lines + [f"  {finding}" for finding in findings[:8]])
