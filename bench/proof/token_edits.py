"""One edit anywhere in a valid token, of any algorithm, and it is worth nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.proof.keyscene import findings
from bench.proof.pipeline import answers
from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.client import request
from tests.harness.publisher import Assortment

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
OTHERS = bytes([*range(0x20, 0x7F), 0x09, 0x80, 0xA0, 0xC3, 0xE9, 0xFF])  # what may stand in a field at all
CONTROL = 500  # every so many requests one with an untouched token, which must pass
MARKER = "TOKEN"


def edited(token: bytes, chance: random.Random) -> bytes:
    """The token after one edit; never the token itself, nor the token in spaces, which is the token."""
    while True:
        dots = [at for at, character in enumerate(token) if character == 0x2E]
        if chance.random() < 0.15:  # where the parts meet and end, mistakes live
            at = min(len(token) - 1, max(0, chance.choice([*dots, len(token) - 1, 0]) + chance.randint(-2, 2)))
        else:
            at = chance.randrange(len(token))
        character = bytes([chance.choice(ALPHABET if chance.random() < 0.8 else OTHERS)])
        kind = chance.randrange(8)
        if kind < 3:
            made = token[:at] + character + token[at + 1 :]
        elif kind == 3:
            made = token[:at] + token[at + 1 :]
        elif kind == 4:
            made = token[:at] + character + token[at:]
        elif kind == 5:
            made = token[:at] + token[at + 1 : at + 2] + token[at : at + 1] + token[at + 2 :]
        elif kind == 6:
            made = token[:at] if at else token + character
        else:
            made = token[:at] + token[at : at + 1].swapcase() + token[at + 1 :]
        if made.strip(b" \t") != token:
            return made


def run(n: int, directory: Path) -> Result:
    """As many edits of each algorithm's token; seeded, so that a failure can be had again."""
    chance = random.Random(n)
    source = Assortment(directory)
    with scene(directory, tokens=source, processes=1, workers=2, issuers=source.entries()) as stage:
        tokens = {name: source.mint(name).encode() for name in source.signers}
        plain = {request("/r/t2", token=token.decode(), id="t2"): name for name, token in tokens.items()}
        before, after = request("/r/t2", token=MARKER, id="t2").split(MARKER.encode())
        names = list(tokens)

        def work() -> Iterator[bytes]:
            for number in range(n):
                name = names[number % len(names)]
                if number % CONTROL == 0:
                    yield from plain
                yield before + edited(tokens[name], chance) + after

        statuses: Counter[int] = Counter()
        accepted: list[bytes] = []
        missed: Counter[str] = Counter()
        controls = 0
        for asked, status in answers(stage.port, work()):
            if (name := plain.get(asked, "")) != "":
                controls += 1
                missed[name] += status != 200
                continue
            statuses[status] += 1
            if status not in (400, 401, 0):
                accepted.append(asked[len(before) : -len(after)])
        found = findings(stage, [], aside="t2")
    broken = +missed
    equal = sum(
        any(token.rpartition(b".")[0] == made.rpartition(b".")[0] for token in tokens.values()) for made in accepted
    )
    told = ", ".join(f"{count:,} × {status or 'closed'}" for status, count in statuses.most_common())
    figure = f"{len(accepted)} of {n:,} edits accepted over {len(names)} algorithms ({equal} of them with the same signing input)"
    note = [f"client saw {told}; {controls:,} untouched tokens, {broken.total()} refused"]
    note += [f"untouched tokens refused: {dict(broken)}"] if broken else []
    note += [made.decode("latin-1")[:300] for made in accepted[:3]]
    passed = not accepted and not broken and not found and sum(statuses.values()) == n
    return Result(n, figure, passed, failures=len(accepted), note="\n".join([*note, *found[:3]]))


BAR = Bar(
    "token_edits",
    "one edit anywhere in a valid token of any algorithm: 0 accepted",
    6_000,
    1_000_000,
    run,
    alias="T2",
)
