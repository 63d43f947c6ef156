"""Verified tokens outlive a reload that does not touch their issuer, and none outlives one that changes its policy."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from bench.proof.keyscene import EveryWorker
from bench.proof.registry import Bar, Result
from bench.proof.reloadscene import Reloads, Watchers, reload_scene, require
from bench.proof.scene import taken
from tests.harness.keyserver import KeyServer
from tests.harness.publisher import Federation, Issuer
from tests.harness.stage import Stage
from tests.harness.tokens import AUDIENCE
from tests.harness.waiting import eventually

WORKERS = 2


class Passes:
    """Every token once on every worker, and what the token cache counted meanwhile."""

    def __init__(self, stage: Stage, everyone: EveryWorker) -> None:
        self.stage = stage
        self.everyone = everyone

    def over(self, tokens: list[str]) -> tuple[list[int], int, int]:
        """Statuses in order of the tokens and workers, hits and misses."""
        before = self._counts()
        statuses = [status for token in tokens for status in self.everyone.statuses(token)]
        # Workers publish these counters about once a second.
        eventually(lambda: sum(self._counts()) - sum(before) >= len(statuses))
        after = self._counts()
        return statuses, after[0] - before[0], after[1] - before[1]

    def _counts(self) -> tuple[int, int]:
        metric = self.stage.balancer.metric
        return int(metric("lbjwt_cache_hits_total")), int(metric("lbjwt_cache_misses_total"))


def run(n: int, directory: Path) -> Result:
    """Half of the tokens by an issuer that a reload leaves alone, half by one whose audience changes; half of those name both audiences."""
    half = n // 2
    with KeyServer() as server:
        steady, changing = Issuer(server, "steady"), Issuer(server, "changing")
        entries = {issuer.label: issuer.remote(refresh_interval="1h") for issuer in (steady, changing)}
        with reload_scene(
            directory, workers=WORKERS, tokens=Federation([steady, changing]), issuers={"main": ..., **entries}
        ) as stage:
            kept = [steady.mint(sub=f"user-{number}") for number in range(half)]
            old = [changing.mint(sub=f"user-{number}") for number in range(half // 2)]
            both = [changing.mint(sub=f"user-{number}", aud=[AUDIENCE, "next"]) for number in range(half // 2)]
            judged_anew = [*old, *both]
            reloads, watchers = Reloads(stage), Watchers(stage, WORKERS)
            everyone = EveryWorker(stage, WORKERS)
            passes = Passes(stage, everyone)
            fetches = steady.fetches + changing.fetches

            def publish() -> None:
                reloads.publish("post")
                require(watchers.wait_for(reloads.realm, 30.0) < float("inf"), "not every worker changed")

            first = deepcopy(reloads.document)
            passes.over([*kept, *judged_anew])
            _, quiet_hits, quiet_misses = passes.over([*kept, *judged_anew])

            reloads.document["routes"].insert(0, {"name": "added", "prefix": "/added", "cluster": "main"})
            publish()
            after_route, route_hits, route_misses = passes.over([*kept, *judged_anew])

            reloads.document["issuers"]["changing"]["audiences"] = ["next"]
            publish()
            old_statuses, _, _ = passes.over(old)
            both_statuses, _, both_misses = passes.over(both)
            kept_statuses, _, kept_misses = passes.over(kept)

            reloads.document = first
            publish()
            back_statuses, _, back_misses = passes.over(judged_anew)
            fetched = steady.fetches + changing.fetches - fetches
            unverified = sum(record.verified != "ok" for record in taken(stage))
            everyone.close()
            watchers.close()
    passed_on = sum(status != 401 for status in old_statuses)
    refused = sum(status != 200 for status in (*after_route, *both_statuses, *kept_statuses, *back_statuses))
    remembered = WORKERS * len(judged_anew) - back_misses + WORKERS * len(both) - both_misses
    figure = (
        f"hits {quiet_hits:,} of {quiet_hits + quiet_misses:,} before, {route_hits:,} of {route_hits + route_misses:,} after a route was added; "
        f"after another audience {passed_on} of {len(old_statuses):,} old tokens passed, {remembered} were remembered, "
        f"{kept_misses} of the other issuer forgotten; {refused} wrongly refused; {fetched} fetches of keys"
    )
    passed = (
        (route_hits, route_misses) == (quiet_hits, quiet_misses)
        and not passed_on
        and not remembered
        and not kept_misses
        and not refused
        and not unverified
        and not fetched
    )
    return Result(n * WORKERS, figure, passed, failures=passed_on + refused + remembered + kept_misses)


BAR = Bar(
    "tokens_across_reload",
    "a reload that adds a route: no verified token forgotten; one that changes an issuer's audience: each of its tokens judged anew, no other",
    400,
    10_000,
    run,
    alias="RT",
)
