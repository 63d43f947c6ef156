"""The same verdict however the bytes of a message are cut into segments."""

from __future__ import annotations

import asyncio
from pathlib import Path

import uvloop

from bench.proof.registry import Bar, Result
from tests.harness.corpus import ACCEPTED_REQUESTS, REFUSED_REQUESTS
from tests.harness.stage import Stage, issuer

GAP = 0.002  # seconds between the segments: far more than a loop's turn
AT_ONCE = 24
Case = tuple[str, bytes, int]  # name, message, place of the cut (0: whole, -1: byte by byte)


def with_token(data: bytes, token: str) -> bytes:
    """The message with a good token behind its start line."""
    body = data.lstrip(b"\r\n")
    prefix = data[: len(data) - len(body)]
    line, end, rest = body.partition(b"\r\n")
    return prefix + line + end + b"Authorization: Bearer " + token.encode() + b"\r\n" + rest


async def verdict(port: int, data: bytes, cut: int) -> str:
    """The status line's code, or how the connection ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        pieces = (
            [data]
            if cut == 0
            else [data[:cut], data[cut:]]
            if cut > 0
            else [data[at : at + 1] for at in range(len(data))]
        )
        for piece in pieces:
            writer.write(piece)
            if len(pieces) > 1:
                await asyncio.sleep(GAP if cut > 0 else 0)
        line = await asyncio.wait_for(reader.readline(), 5.0)
        return line[9:12].decode("latin-1") or "closed"
    except ConnectionError:
        return "closed"
    except TimeoutError:
        return "silence"
    finally:
        writer.transport.abort()


async def all_verdicts(port: int, cases: list[Case]) -> list[str]:
    """Verdicts in the order of the cases, a few at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> str:
        async with gate:
            return await verdict(port, case[1], case[2])

    return list(await asyncio.gather(*(one(case) for case in cases)))


def run(n: int, directory: Path) -> Result:
    """Every message whole, byte by byte, and cut at evenly spread places: all of them when N allows."""
    token = issuer().mint("EdDSA", aud="api", iat=None)
    messages = [(name, with_token(data, token)) for name, data in [*ACCEPTED_REQUESTS, *REFUSED_REQUESTS]]
    places = [(name, data, cut) for name, data in messages for cut in range(1, min(len(data), 1500))]
    step = max(1, len(places) // n)
    cases = (
        [(name, data, 0) for name, data in messages]
        + places[::step]
        + [(name, data, -1) for name, data in messages if len(data) < 1500]
    )
    with Stage(directory, tokens=issuer(), access_log=..., shadow=True) as stage:
        verdicts = uvloop.run(all_verdicts(stage.port, cases))
    whole = {case[0]: answer for case, answer in zip(cases, verdicts, strict=True) if case[2] == 0}
    wrong = [
        f"{name} cut at {cut}: {answer} instead of {whole[name]}"
        for (name, _, cut), answer in zip(cases, verdicts, strict=True)
        if answer != whole[name]
    ]
    accepted = {name for name, _ in ACCEPTED_REQUESTS}
    wrong += [f"{name}: {answer}" for name, answer in whole.items() if (answer == "200") != (name in accepted)]
    figure = f"{len(wrong)} verdicts differ over {len(messages)} messages"
    return Result(len(cases), figure, not wrong, failures=len(wrong), note="\n".join(wrong[:8]))


BAR = Bar(
    "segmentation",
    "segmentation invariance: every corpus message, at every split and byte by byte, gets the same verdict",
    1500,
    60_000,
    run,
    alias="H-10",
)
