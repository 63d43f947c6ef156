"""What is forwarded is our own serialisation, and other parsers read it as the backend does."""

from __future__ import annotations

import email.parser
import random
from pathlib import Path

import h11

from bench.proof.registry import Bar, Result
from tests.harness.stage import Stage, issuer
from tests.harness.wire import parse_head

SPACES = [": ", ":", ":\t", ":  ", ": \t "]
VALUES = ["a", "", "a b", "a\tb", '(c) ;=,"q"', "x" * 300, "caf\xc3\xa9", "a: b", "HTTP/1.1", "\xff\xfe"]


def odd_fields(chance: random.Random) -> list[tuple[str, str, str]]:
    """Legal fields in unusual dress: (name, separator, value with white space behind it)."""
    names = [f"X-{chance.choice('AbCdEf')}{chance.randint(0, 99)}" for _ in range(chance.randint(0, 12))]
    return [
        (name, chance.choice(SPACES), chance.choice(VALUES) + chance.choice(["", " ", "\t", "  "])) for name in names
    ]


def by_h11(raw: bytes) -> tuple[str, str, list[tuple[str, str]]]:
    """The head as h11 reads it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    return (
        event.method.decode(),
        event.target.decode(),
        [(name.decode().lower(), value.decode("latin-1")) for name, value in event.headers],
    )


def by_email(raw: bytes) -> tuple[str, str, list[tuple[str, str]]]:
    """The head as the standard library's parser of `http.server` reads it."""
    line, _, rest = raw.decode("latin-1").partition("\r\n")
    message = email.parser.HeaderParser().parsestr(rest)
    method, target, _ = line.split(" ")
    return method, target, [(name.lower(), value) for name, value in message.items()]


def run(n: int, directory: Path) -> Result:
    """Random heads through the balancer; the recorded bytes are judged."""
    chance = random.Random(4)
    wrong: list[str] = []
    with Stage(directory, tokens=issuer(), access_log=...) as stage, stage.client() as client:
        for number in range(n):
            fields = odd_fields(chance)
            lines = [name + separator + value for name, separator, value in fields]
            answer = client.ask(
                f"/r/{number}?q={chance.randint(0, 9)}",
                token=stage.token,
                id=f"h-{number}",
                fields=lines,
                method=chance.choice(["GET", "DELETE", "OPTIONS"]),
            )
            if answer.status != 200:
                wrong.append(f"h-{number}: status {answer.status} for {lines}")
                client = stage.client()
                continue
            raw = stage.backends[0].seen[-1].head
            ours = parse_head(raw)
            mine = [(name.decode().lower(), value.decode("latin-1")) for name, value in ours.fields]
            same = (ours.method.decode(), ours.target.decode(), mine)
            if by_h11(raw) != same or by_email(raw) != same:
                wrong.append(f"h-{number}: read differently: {raw!r}")
            if any(
                line not in {name + b": " + value for name, value in ours.fields} for line in raw.split(b"\r\n")[1:-2]
            ):
                wrong.append(f"h-{number}: not in our own form: {raw!r}")
            sent = [(name.lower(), value.strip(" \t")) for name, _, value in fields]
            if [pair for pair in mine if pair[0] in dict(sent) and pair[0] != "x-request-id"] != sent:
                wrong.append(f"h-{number}: fields changed: {sent} became {mine}")
    return Result(n, f"{len(wrong)} heads not canonical", not wrong, failures=len(wrong), note="\n".join(wrong[:4]))


BAR = Bar(
    "canonical_heads",
    "forwarded heads are canonical: read alike by two other parsers, 0 raw client lines forwarded",
    300,
    20_000,
    run,
    alias="H-4",
)
