"""A revocation is in force in every worker within a second, whether the token is remembered or not, and however it was said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.proof.keyscene import EveryWorker
from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.stage import Stage, issuer

WORKERS = 2
LIMIT = 1.0  # seconds
WAYS = ("admin door", "watched file", "lbjwt revoke")


def by_door(stage: Stage, entry: dict[str, Any]) -> None:
    """POST to the admin door."""
    status, body = stage.balancer.admin_post("/revocations", entry)
    if status != 200:
        raise RuntimeError(f"the admin door answers {status}: {body[:200]!r}")


def by_file(stage: Stage, entry: dict[str, Any]) -> None:
    """One more line in the operator's file, put in place as editors do it."""
    path = stage.directory / "revoked.jsonl"
    new = path.with_suffix(".new")
    new.write_bytes(path.read_bytes() + json.dumps(entry).encode() + b"\n")
    os.replace(new, path)


def by_command(stage: Stage, entry: dict[str, Any]) -> None:
    """`lbjwt revoke`, at the admin door."""
    (name,) = (name for name in ("jti", "sub", "kid") if name in entry)
    admin = f"http://127.0.0.1:{stage.balancer.admin}"
    command = [sys.executable, "-m", "lbjwt", "revoke", f"--{name}", entry[name], "--for", "1h", "--admin", admin]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"lbjwt revoke ended with {done.returncode}: {done.stderr[-300:]}")


SAY: dict[str, Callable[[Stage, dict[str, Any]], None]] = dict(zip(WAYS, (by_door, by_file, by_command), strict=True))


def run(n: int, directory: Path) -> Result:
    """n revocations by jti and by sub, in each of the three ways; every second token is one that no worker has seen before."""
    (directory / "revoked.jsonl").touch()
    wrong: list[str] = []
    slowest = dict.fromkeys(WAYS, 0.0)
    mint = issuer().mint
    revoked: list[str] = []
    revocation = {"file": str(directory / "revoked.jsonl")}
    state = str(directory / "state")
    with scene(directory, processes=1, workers=WORKERS, revocation=revocation, state_directory=state) as stage:
        everyone = EveryWorker(stage, WORKERS)
        neighbour = mint("ES256", sub="neighbour")
        for number in range(n):
            way = WAYS[number % len(WAYS)]
            claim, name = ("jti", f"j{number}") if number % 2 else ("sub", f"s{number}")
            token = mint("ES256", **{claim: name})
            if number % 4 < 2 and set(got := everyone.statuses(token)) != {200}:
                wrong.append(f"{claim} {name}: {got} before its revocation")
            entry = {claim: name, "expires": int(time.time()) + 3600}
            SAY[way](stage, entry)
            took = everyone.wait_for(token, 401, 5.0)
            revoked.append(token)
            if took is None:
                wrong.append(f"{claim} {name} by {way}: still accepted after 5 s")
            else:
                slowest[way] = max(slowest[way], took)
                wrong += [f"{claim} {name} by {way}: took {took:.2f} s"] if took > LIMIT else []
        if set(got := everyone.statuses(neighbour)) != {200}:
            wrong.append(f"a token that nobody revoked: {got}")
        wrong += [
            f"accepted again: {number}"
            for number, token in enumerate(revoked)
            if set(everyone.statuses(token)) != {401}
        ]
        everyone.close()
    with scene(directory, processes=1, workers=WORKERS, revocation=revocation, state_directory=state) as stage:
        everyone = EveryWorker(stage, WORKERS)
        wrong += [
            f"accepted after a restart: {number}"
            for number, token in enumerate(revoked)
            if set(everyone.statuses(token)) != {401}
        ]
        if set(got := everyone.statuses(neighbour)) != {200}:
            wrong.append(f"a token that nobody revoked, after a restart: {got}")
        everyone.close()
    figure = f"{len(wrong)} of {n} not in force everywhere within {LIMIT:g} s; slowest " + ", ".join(
        f"{seconds:.2f} s ({way})" for way, seconds in slowest.items()
    )
    return Result(n, figure, not wrong, failures=len(wrong), note="\n".join(wrong[:8]))


BAR = Bar(
    "revocation_delay",
    "a revocation is in force in all workers within 1 s, token remembered or not, and after a restart",
    9,
    300,
    run,
    alias="C-8",
)
