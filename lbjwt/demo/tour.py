"""The lines a visitor copies into a second terminal, each with what must come of it, and a run of all of them.

A line is run exactly as it is printed, by the shell.
"""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lbjwt.demo.backends import IDENTITY_HEADER
from lbjwt.demo.issuer import Issuer

BURST = 30  # requests of the loop line
PATIENCE = 30.0  # seconds a line may take


@dataclass(frozen=True, slots=True)
class Step:
    """One line to copy and what its answer is."""

    title: str
    line: str
    status: int  # of the answer
    subject: str | None = None  # the identity the backend must have seen


@dataclass(frozen=True, slots=True)
class Tour:
    """All lines: single requests first, then many at once."""

    steps: tuple[Step, ...]
    burst: str


def plan(issuer: Issuer, stranger: Issuer, url: str) -> Tour:
    """
    Compose the lines for a balancer at `url`.

    Args:
        issuer: Whom the balancer trusts.
        stranger: Calls itself the same but signs with another key.
        url: Of the balancer, without a path.
    """

    def get(path: str, token: str | None = None, header: str | None = None) -> str:
        fields = ([f"Authorization: Bearer {token}"] if token else []) + ([header] if header else [])
        return " ".join(["curl -i", *(f"-H '{field}'" for field in fields), f"{url}{path}"])

    good = issuer.mint("alice")
    return Tour(
        steps=(
            Step("a valid token", get("/hello", good), 200, "alice"),
            Step(
                "a valid token and a forged identity header: the backend still sees alice",
                get("/hello", good, f"{IDENTITY_HEADER}: admin"),
                200,
                "alice",
            ),
            Step("no token", get("/hello"), 401),
            Step("an expired token", get("/hello", issuer.mint("alice", lifetime=-3600)), 401),
            Step("a token for another audience", get("/hello", issuer.mint("alice", audience="another-api")), 401),
            Step("a token signed by a stranger", get("/hello", stranger.mint("alice")), 401),
        ),
        burst=f"seq {BURST} | xargs -P 10 -I {{}} curl -s -H 'Authorization: Bearer {good}' {url}/orders/{{}}",
    )


async def shell(line: str) -> str:
    """
    Run one line and return what it printed.

    Raises:
        RuntimeError: It failed or took longer than `PATIENCE`.
    """
    child = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        line,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        printed, _ = await asyncio.wait_for(child.communicate(), PATIENCE)
    except TimeoutError:
        raise RuntimeError(f"took longer than {PATIENCE:.0f} s") from None
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    if child.returncode:
        raise RuntimeError(f"ended with {child.returncode}; is curl installed?")
    return printed.decode("utf-8", "replace")


def judge(step: Step, printed: str) -> str | None:
    """Return what is wrong with the answer that `curl -i` printed, or None when it is as it must be."""
    head, _, body = printed.replace("\r\n", "\n").partition("\n\n")
    words = head.partition("\n")[0].split(" ")
    if len(words) < 2 or words[1] != str(step.status):
        return f"expected status {step.status}, got {' '.join(words[1:]) or 'nothing'}"
    if step.subject is not None:
        seen = json.loads(body).get("subject")
        if seen != step.subject:
            return f"expected the backend to see {step.subject}, it saw {seen}"
    return None


def judge_burst(printed: str, names: Sequence[str]) -> tuple[str | None, Counter[str]]:
    """Return what is wrong with the answers to the loop line, or None, and how many each backend gave."""
    answers = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    share = Counter(str(answer["backend"]) for answer in answers)
    if len(answers) != BURST:
        return f"{len(answers)} of {BURST} requests were answered", share
    if set(share) != set(names):
        return f"only {', '.join(sorted(share))} answered", share
    return None, share


async def walk(tour: Tour, names: Sequence[str]) -> bool:
    """Run every line and print what came of it; True when each came out as it must. `names`: of the backends."""
    good = True
    for step in tour.steps:
        try:
            complaint = judge(step, await shell(step.line))
        except (RuntimeError, ValueError) as error:
            complaint = str(error)
        print(
            f"{'FAILED' if complaint else 'ok':6}  {step.status}  {step.title}{f': {complaint}' if complaint else ''}"
        )
        good = good and complaint is None
    share: Counter[str] = Counter()
    try:
        complaint, share = judge_burst(await shell(tour.burst), names)
    except (RuntimeError, ValueError) as error:
        complaint = str(error)
    shares = ", ".join(f"{name} {share[name]}" for name in names)
    print(f"{'FAILED' if complaint else 'ok':6}  200  {BURST} requests, 10 at a time: {complaint or shares}")
    return good and complaint is None
