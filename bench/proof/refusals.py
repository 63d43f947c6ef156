"""What the bars about refusals share: every case of the corpus asked once, and what an answer must look like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from tests.harness.client import Client, Response
from tests.harness.house import Denial
from tests.harness.http2 import Http2Client, from_http1
from tests.harness.stage import Stage

CHALLENGE = re.compile(
    r'Bearer realm="lbjwt"(?:, error="([a-z_]+)")?(?:, error_description="([a-z_]+)")?(?:, scope="([^"]+)")?'
)
GRPC = {400: 3, 401: 16, 403: 7, 429: 8, 503: 14}
HIDDEN = {401: 404, 403: 404}


@dataclass
class Asked:
    """One case with its id and the answer it got."""

    case: Denial
    id: str
    answer: Response

    @property
    def shape(self) -> tuple[str, ...]:
        """What a client could tell answers apart by, without what belongs to the single request."""
        return shape_of(self.answer.status, self.answer.head.fields if self.answer.head else [], self.answer.body)


def shape_of(status: int, fields: Iterable[tuple[bytes, bytes]], body: bytes) -> tuple[str, ...]:
    """What a client could tell answers apart by, without what belongs to the single request or its connection."""
    told = sorted(f"{name.decode().lower()}: {value.decode()}" for name, value in fields)
    own = ("date:", "x-request-id:", "connection:")
    return (str(status), *(line for line in told if not line.startswith(own)), body.decode("latin-1"))


def ask_all(stage: Stage, cases: Iterable[Denial], prefix: str) -> list[Asked]:
    """Each case in turn, on one connection as long as it lives."""
    asked: list[Asked] = []
    client: Client | None = None
    for number, case in enumerate(cases):
        id = f"{prefix}-{number}"
        client = client or Client(stage.port, timeout=10.0)
        client.send(case.data.replace(b"<id>", id.encode()))
        answer = client.response()
        asked.append(Asked(case, id, answer))
        if not answer.is_complete or answer.field("Connection").lower() == "close":
            client.close()
            client = None
    if client is not None:
        client.close()
    return asked


def otherwise_over_http2(port: int, asked: Iterable[Asked]) -> list[str]:
    """The same requests over HTTP/2, and which of them get another answer. A head that HTTP/2 forbids gets RST_STREAM in place of its 400."""
    wrong = []
    with Http2Client(port) as client:
        for one in asked:
            number = client.begin(*from_http1(one.case.data.replace(b"<id>", one.id.encode())))
            reply = client.reply(number)
            got = shape_of(reply.status, reply.fields[1:], reply.body)
            if got != one.shape and not (one.answer.status == 400 and (reply.status, reply.reset) == (0, 1)):
                wrong.append(f"over HTTP/2: {one.case.name}: {got} instead of {one.shape}")
    return wrong


def faults(asked: Asked) -> list[str]:
    """What is wrong with the answer: RFC 6750 section 3, RFC 9110 section 11.6.1, RFC 9457, the gRPC protocol over HTTP."""
    case, answer = asked.case, asked.answer
    if not answer.is_complete or answer.head is None:
        return [f"no whole answer: {answer.outcome.value} {answer.problem}"]
    wrong: list[str] = []

    def expect(what: str, got: object, wanted: object) -> None:
        if got != wanted:
            wrong.append(f"{what} {got!r} instead of {wanted!r}")

    challenges = [value.decode() for value in answer.head.get_all(b"www-authenticate")]
    expect("Cache-Control", answer.field("Cache-Control"), "no-store")
    if case.style == "grpc":
        expect("status", answer.status, 200)
        expect("Content-Type", answer.field("Content-Type"), "application/grpc")
        expect("grpc-status", answer.field("grpc-status"), str(GRPC[case.status]))
        expect("body", answer.body, b"")
        return wrong
    status = HIDDEN.get(case.status, case.status) if case.style == "hidden" else case.status
    expect("status", answer.status, status)
    if case.status in (429, 503) or status not in (case.status, 401):
        expect("challenges", challenges, [])
    else:
        match = CHALLENGE.fullmatch(challenges[0]) if len(challenges) == 1 else None
        told = (match[1] or "", match[2] or "", match[3] or "") if match else None
        description = case.reason if case.style == "told" and case.error else ""
        expect("challenge", told, (case.error, description, case.told_scopes))
    expect("Retry-After", answer.field("Retry-After").isdigit(), case.status in (429, 503))
    phrase = HTTPStatus(status).phrase
    if case.style in ("json", "told"):
        problem = {"type": "about:blank", "title": phrase, "status": status}
        problem |= {"reason": case.reason} if case.style == "told" else {}
        expect("Content-Type", answer.field("Content-Type"), "application/problem+json")
        expect("body", json.loads(answer.body), problem)
    else:
        expect("body", answer.body, phrase.lower().encode() + b"\n")
    if case.style != "told" and case.reason != case.error and case.reason.encode() in answer.head.raw + answer.body:
        wrong.append("the reason is told")
    return wrong
