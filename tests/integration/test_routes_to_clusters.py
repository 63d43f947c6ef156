"""Routes with several clusters, before real backends: canary and tenants as in the examples, several workers, and a reload."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bench.proof.reloadscene import Reloads
from tests.harness.stage import Stage
from tests.harness.waiting import eventually


def example(name: str) -> dict[str, Any]:
    """An example as a document."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(Path("examples", name))
    return document


def scene(directory: Path, document: dict[str, Any], **changes: Any) -> _Stage:
    """The routes and clusters of a document, each endpoint a recording backend, in the order of the file. Two workers."""
    count = sum(len(cluster["endpoints"]) for cluster in document["clusters"].values())
    return _Stage(directory, document, processes=count, workers=2, **changes)


class _Stage(Stage):
    def __init__(self, directory: Path, document: dict[str, Any], **options: Any) -> None:
        super().__init__(directory, **options)
        addresses = iter([backend.address for backend in self.processes])
        clusters = {
            name: {"endpoints": [{"address": next(addresses)} for _ in cluster["endpoints"]]}
            for name, cluster in document["clusters"].items()
        }
        labels = [name for name, cluster in document["clusters"].items() for _ in cluster["endpoints"]]
        self.names = {backend.name: name for backend, name in zip(self.processes, labels, strict=True)}
        self._changes |= {"clusters": {"main": ..., **clusters}, "routes": document["routes"]}

    def went(self) -> list[str]:
        """The clusters that requests reached since the last call, in no order."""
        return [self.names[record.backend] for backend in self.processes for record in backend.take()]


def statuses(stage: Stage, tokens: Iterable[str], path: str = "/api/x", clients: int = 1) -> list[int]:
    """One request with each token, over so many connections in turn."""
    connections = [stage.client() for _ in range(clients)]
    found = [connections[at % clients].ask(path, token=token).status for at, token in enumerate(tokens)]
    for connection in connections:
        connection.close()
    return found


def test_the_canary_gets_its_share_of_users_and_each_stays(tmp_path: Path) -> None:
    """400 users over both workers: about 5 %, all asked twice go the same way; with 20 % after a reload nobody leaves the canary."""
    with scene(tmp_path, example("canary.yaml")) as stage:
        users = {f"user-{at}": stage.tokens.mint(sub=f"user-{at}") for at in range(400)}

        def canaries() -> set[str]:
            found = set()
            for name, token in users.items():
                assert statuses(stage, [token]) == [200]
                if stage.went() == ["canary"]:
                    found.add(name)
            return found

        first = canaries()
        assert 8 <= len(first) <= 36
        assert canaries() == first
        reloads = Reloads(stage)
        reloads.document["routes"][0]["cluster"]["split"] = {"stable": 80, "canary": 20}
        assert "routes.all" in " ".join(reloads.publish("post")["changes"])
        more = canaries()
        assert first <= more and 50 <= len(more) <= 115
        records = stage.balancer.settled_access_log(1200)
        assert Counter(record["cluster"] for record in records).keys() == {"stable", "canary"}


def test_a_split_without_a_key_is_kept_by_every_worker(tmp_path: Path) -> None:
    """Of 400 requests over 8 connections 20 reach the canary, give or take what two workers began with; no weight gets nothing."""
    document = example("canary.yaml")
    del document["routes"][0]["cluster"]["by"]
    with scene(tmp_path, document) as stage:
        assert set(statuses(stage, [stage.token] * 400, clients=8)) == {200}
        assert 14 <= Counter(stage.went())["canary"] <= 26
        reloads = Reloads(stage)
        reloads.document["routes"][0]["cluster"]["split"] = {"stable": 0, "canary": 1}
        reloads.publish("post")
        assert set(statuses(stage, [stage.token] * 40, clients=8)) == {200}
        assert set(stage.went()) == {"canary"}
        expected = {
            "name": "all",
            "clusters": ["stable", "canary"],
            "split": {"stable": 0, "canary": 1},
            "requests": 440,
        }
        assert eventually(lambda: json.loads(stage.balancer.admin_get("/status")[1])["routes"][0] == expected)


@pytest.mark.parametrize(
    ("claims", "shared", "billed"),
    [
        ({"tenant": "acme"}, "acme", "acme"),
        ({"tenant": "globex"}, "globex", "globex"),
        ({"tenant": "Acme Labs"}, "acme", None),
        ({"tenant": "ACME"}, "shared", None),
        ({"tenant": ["acme"]}, "shared", None),
        ({"tenant": {"acme": 1}}, "shared", None),
        ({"tenant": 7}, "shared", None),
        ({"tenant": ""}, "shared", None),
        ({"tenant": "äöü" * 100}, "shared", None),
        ({}, "shared", None),
    ],
    ids=lambda value: str(value)[:24],
)
def test_the_claim_chooses_the_cluster(
    tenants: _Stage, claims: dict[str, Any], shared: str, billed: str | None
) -> None:
    """Whatever the claim is: exactly the listed texts reach their cluster; others the default, or 403 where there is none."""
    token = tenants.tokens.mint(**claims)
    assert statuses(tenants, [token] * 6, clients=3) == [200] * 6
    assert tenants.went() == [shared] * 6
    assert statuses(tenants, [token] * 4, "/billing/x", clients=2) == [403 if billed is None else 200] * 4
    assert tenants.went() == ([] if billed is None else [billed] * 4)


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example with tenants."""
    with scene(tmp_path_factory.mktemp("tenants"), example("tenants-to-clusters.yaml")) as stage:
        yield stage


def test_a_refused_tenant_has_its_reason(tmp_path: Path) -> None:
    """Log and metrics say no_cluster, and the log names no cluster for a request that went to none."""
    with scene(tmp_path, example("tenants-to-clusters.yaml")) as stage:
        assert statuses(stage, [stage.tokens.mint(tenant="other")], "/billing/x") == [403]
        assert statuses(stage, [stage.tokens.mint(tenant="acme")], "/billing/x") == [200]
        passed, refused = sorted(stage.balancer.settled_access_log(2), key=lambda record: record["status"])
        assert refused["reason"] == "no_cluster" and "cluster" not in refused
        assert passed["cluster"] == "acme"
        assert stage.balancer.metric("lbjwt_refusals_total", reason="no_cluster") == 1
