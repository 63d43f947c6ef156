"""The lines to copy into a second terminal, each with its expected response, and a run of all of them by the shell."""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from lbjwt.demo.issuer import Issuer

IDENTITY_HEADER = "X-Jwt-Sub"
BURST = 30  # requests of the last line
PATIENCE = 30.0  # seconds a line may take


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    line: str
    status: int  # of every answer
    subject: str | None = None  # the identity the backend must have seen
    answers: int = 1


def plan(issuer: Issuer, stranger: Issuer, url: str) -> list[Step]:
    """The lines for a balancer at `url` that trusts `issuer`; `stranger` has the same name and another key."""

    def get(path: str, *fields: str) -> str:
        return " ".join(["curl -i", *(f"-H '{field}'" for field in fields), f"{url}{path}"])

    def bearer(token: str) -> str:
        return f"Authorization: Bearer {token}"

    good = bearer(issuer.mint("alice"))
    forged = f"{IDENTITY_HEADER}: admin"
    burst = f"seq {BURST} | xargs -P 10 -I {{}} curl -s -i -H '{good}' {url}/orders/{{}}"
    return [
        Step("a valid token", get("/hello", good), 200, "alice"),
        Step(
            "a valid token and a forged identity header: the backend still sees alice",
            get("/hello", good, forged),
            200,
            "alice",
        ),
        Step("no token", get("/hello"), 401),
        Step("an expired token", get("/hello", bearer(issuer.mint("alice", expired=True))), 401),
        Step("a token for another audience", get("/hello", bearer(issuer.mint("alice", audience="another-api"))), 401),
        Step("a token signed with an unknown key", get("/hello", bearer(stranger.mint("alice"))), 401),
        Step("many requests at once: the slow backend gets fewer of them", burst, 200, "alice", BURST),
    ]


async def walk(steps: Sequence[Step]) -> bool:
    """Run every line and print its result; True when all are as expected."""
    good = True
    for step in steps:
        try:
            fault = check(step, await _shell(step.line))
        except RuntimeError as error:
            fault = str(error)
        print(f"{'FAILED' if fault else 'ok':6}  {step.status}  {step.title}{f': {fault}' if fault else ''}")
        good = good and not fault
    return good


def check(step: Step, printed: str) -> str:
    """Return what is wrong with the answers that `curl -i` printed, or ""."""
    lines = printed.splitlines()
    statuses = [line.split(" ")[1] for line in lines if line.startswith("HTTP/1.1 ")]
    if statuses != [str(step.status)] * step.answers:
        return f"expected {step.answers} x status {step.status}, got {' '.join(statuses) or 'nothing'}"
    if step.subject is not None:
        seen = [json.loads(line)["subject"] for line in lines if line.startswith("{")]
        if seen != [step.subject] * step.answers:
            return f"expected the backend to see {step.subject}, it saw {seen}"
    return ""


async def _shell(line: str) -> str:
    """Run one line and return what it printed; RuntimeError when it failed or took too long."""
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(
        "sh", "-c", line, stdin=null, stdout=pipe, stderr=null, start_new_session=True
    )
    try:
        async with asyncio.timeout(PATIENCE):
            printed, _ = await child.communicate()
    except TimeoutError:
        raise RuntimeError(f"took longer than {PATIENCE:.0f} s") from None
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    if child.returncode:
        raise RuntimeError(f"ended with {child.returncode}; is curl installed?")
    return printed.decode("utf-8", "replace")
