"""One token, two routes that ask for different things, in turn: what one route remembers is nothing to the other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from bench.proof.keyscene import findings
from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.client import request
from tests.harness.load import Job, drive

RULES: dict[str, dict[str, object]] = {
    "read": {"scopes": {"all": ["read"]}},
    "write": {"scopes": {"all": ["write"]}},
    "a": {"audiences": ["a"]},
    "b": {"audiences": ["b"]},
    "admin": {"rules": [{"claim": ["realm", "roles"], "contains": "admin"}]},
    "any": {},
}
REFUSED = {"read": 403, "write": 403, "admin": 403, "a": 401, "b": 401}
ALIKE = 5  # routes with the same rules: more in all than a token can have verdicts remembered, so that these push each other out
ROUND = 20_000  # requests judged at a time
TOKENS: dict[str, tuple[dict[str, object], set[str]]] = {  # claims, routes that they open
    "reader": ({"scope": "read"}, {"read", "any"}),
    "writer": ({"scope": "write"}, {"write", "any"}),
    "both": ({"scope": "read write"}, {"read", "write", "any"}),
    "for a": ({"aud": ["api", "a"]}, {"a", "any"}),
    "for b": ({"aud": ["api", "b"]}, {"b", "any"}),
    "for both": ({"aud": ["api", "a", "b"], "scope": "read"}, {"a", "b", "read", "any"}),
    "admin": ({"realm": {"roles": ["admin"]}}, {"admin", "any"}),
    "nobody": ({"scope": "other"}, {"any"}),
}


def run(n: int, directory: Path) -> Result:
    """The routes of a token in random order, on a few connections, so that each remembers what another route said a moment ago."""
    chance = random.Random(n)
    wrong: list[str] = []
    found: list[str] = []
    leaks = sent = 0
    routes = [
        {"name": f"{name}-{number}", "prefix": f"/r/{name}-{number}", **rules}
        for number in range(ALIKE)
        for name, rules in RULES.items()
    ]
    with scene(directory, routes=routes, workers=2) as stage:
        minted = {name: stage.tokens.mint("ES256", **claims) for name, (claims, _) in TOKENS.items()}
        names, rules = list(minted), list(RULES)
        may: dict[str, tuple[bool, str]] = {}

        def work(count: int) -> Iterator[Job]:
            name = names[0]
            for number in range(sent, sent + count):
                if number % 50 == 0:
                    name = chance.choice(names)  # the same token for a while
                rule = chance.choice(rules)
                id = f"c3-{number}"
                may[id] = (rule in TOKENS[name][1], f"{name} on {rule}")
                yield Job(id, request(f"/r/{rule}-{chance.randrange(ALIKE)}/{id}", token=minted[name], id=id))

        while sent < n:
            may.clear()
            samples = drive(stage.port, work(min(ROUND, n - sent)), connections=4)
            sent += len(samples)
            for sample in samples:
                passes, what = may[sample.id]
                if sample.status != (200 if passes else REFUSED[what.rpartition(" ")[2]]):
                    leaks += not passes and sample.status == 200
                    wrong.append(f"{what}: {sample.status}")
            found += findings(stage, samples)
    bad = len(wrong) + len(found)
    figure = f"{leaks} of {sent:,} leaked to another route, {len(wrong) - leaks} answered wrongly besides"
    return Result(sent, figure, bad == 0, failures=bad, note="\n".join([*wrong[:6], *found[:3]]))


BAR = Bar(
    "cross_route_cache",
    "one token on routes that ask for different audiences, scopes and claims, in turn: 0 leaks",
    3000,
    100_000,
    run,
    alias="C-3",
)
