"""Which endpoints count when one is ejected or few are healthy: weights, drains and backups of this moment, before and after a reload."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lbjwt.config.ejection import Ejection
from lbjwt.upstream._ejection import EjectionRules
from tests.playbooks.ejection_stage import asks, errs, is_ejected, one_bad, serves, state
from tests.playbooks.stage import Stage, endpoint, request

FAILING = 2


def sets(stage: Stage, at: int, **words: Any) -> None:
    """The control process or an operator changes what is known of an endpoint; every worker sees it within a moment."""
    for name, value in words.items():
        stage.board.endpoint_states.set(at, name, value)
    stage.context.expire()


def went(stage: Stage, times: int = 6) -> set[int]:
    """Who serves so many requests, one after another."""
    return {asks(stage, stage.client(), serves) for _ in range(times)}


# --- who may be ejected ---------------------------------------------------------------------------------------------------


def test_an_endpoint_that_got_a_weight_at_run_time_is_ejected_like_others() -> None:
    """It has weight 0 in the configuration, so that one endpoint of two would never be ejected."""
    stage = Stage(weights=[1, 0], endpoints=2, max_idle=0)
    sets(stage, 1, weight=1 + 1)
    for _ in range(20):
        asks(stage, stage.client(), one_bad(errs, 1))
    assert is_ejected(stage, 1) and went(stage) == {0}


@pytest.mark.parametrize("word", [{"service": 1}, {"weight": 1}], ids=["drained", "weight 0"])
def test_drained_endpoints_leave_no_room_for_ejections(word: dict[str, int]) -> None:
    """Two of four are drained and the other two err: half of those that carry the load is ejected, not both."""
    stage = Stage(endpoints=4, max_idle=0)
    sets(stage, 0, **word)
    sets(stage, 1, **word)
    for _ in range(40):
        asks(stage, stage.client(), errs)
    assert [is_ejected(stage, at) for at in (2, 3)].count(True) == 1


def test_the_last_endpoint_is_ejected_while_a_healthy_backup_is_there() -> None:
    """The backup serves until the endpoint is tried again; the backup itself stays, also when it errs too."""
    stage = Stage(endpoints=[endpoint(0), endpoint(1, backup=True)], max_idle=0)
    assert [asks(stage, stage.client(), errs) for _ in range(12)] == [0] * 5 + [1] * 7
    assert is_ejected(stage, 0) and not is_ejected(stage, 1)


@pytest.mark.parametrize("word", [{"service": 1}, {"check": FAILING}, {"on_trial": 1}], ids=str)
def test_a_backup_that_cannot_take_over_keeps_the_last_endpoint_in(word: dict[str, int]) -> None:
    """It is drained, fails its checks or was ejected."""
    stage = Stage(endpoints=[endpoint(0), endpoint(1, backup=True)], max_idle=0)
    sets(stage, 1, **word)
    assert {asks(stage, stage.client(), errs) for _ in range(9)} == {0}


# --- healthy endpoints, healthy backups, panic ----------------------------------------------------------------------------


def backed_up(**options: Any) -> Stage:
    """Two endpoints that fail their checks, and a healthy backup."""
    stage = Stage(endpoints=[endpoint(0), endpoint(1), endpoint(2, backup=True)], **options)
    for at in (0, 1):
        sets(stage, at, check=FAILING)
    return stage


def test_a_healthy_backup_serves_before_all_are_used() -> None:
    """As long as it is healthy there is no panic; then there is, until an endpoint passes its checks."""
    stage = backed_up()
    assert went(stage) == {2} and not stage.cluster.ejector.panic
    assert [state(stage, at)["panic"] for at in range(3)] == [0, 0, 0]
    sets(stage, 2, check=FAILING)
    assert went(stage) == {0, 1} and stage.cluster.ejector.panic
    sets(stage, 2, service=1, check=0)
    assert went(stage) == {0, 1}, "a drained backup is none"
    sets(stage, 2, service=0)
    assert went(stage) == {2} and not stage.cluster.ejector.panic
    sets(stage, 1, check=1)
    assert went(stage) == {1}


def test_after_a_full_backup_all_are_used() -> None:
    """A request does not wait for the one connection of the backup while the others may be able to serve."""
    stage = backed_up(max_connections=1)
    servers = []
    for _ in range(3):
        stage.client().sends(request())
        servers.append(stage.server())
    assert [stage.endpoints.index(server.endpoint) for server in servers] == [2, 0, 1]
    assert stage.totals["pending"] == 0


# --- reloads --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed", [endpoint(0, backup=True), endpoint(0, weight=0), None], ids=["backup", "weight 0", "left"]
)
def test_an_endpoint_that_does_not_count_any_more_is_in_no_panic(changed: Any) -> None:
    """It failed its checks in a cluster that panics; afterwards its checks decide again."""
    stage = Stage(endpoints=3)
    for at in (0, 1):
        sets(stage, at, check=FAILING)
    assert [state(stage, at)["panic"] for at in range(3)] == [1, 1, 1]
    stage.use_endpoints(*([changed] if changed else []), 2, 3 - 2)
    sets(stage, 1, check=1)
    assert [state(stage, at)["panic"] for at in range(3)] == [0, 0, 0]
    assert 0 not in went(stage)


@pytest.mark.parametrize(
    ("cause", "off"), [(0, {"consecutive_5xx": 0}), (1, None), (4, {"success_rate": 0.0})], ids=str
)
def test_a_cause_that_is_turned_off_keeps_nobody_out(cause: int, off: dict[str, Any] | None) -> None:
    """By a reload with `ejection: false`, or with this threshold at 0."""
    stage = Stage(endpoints=2)
    until = time.monotonic() + 60.0
    sets(stage, 0, on_trial=1 + cause, ejected_until=until)
    assert went(stage) == {1}
    stage.use_endpoints(0, 1, ejection=EjectionRules.off() if off is None else Ejection(**off).rules)
    assert not is_ejected(stage) and not state(stage)["on_trial"]
    assert went(stage) == {0, 1}


def test_an_ejection_ends_when_its_endpoint_leaves() -> None:
    """A request that was under way there fails after that, which ejects nobody. An endpoint that comes back is no suspect."""
    stage = Stage(endpoints=2, retries=0)
    stage.client().sends(request())
    under_way = stage.server(0)
    assert under_way.take()
    sets(stage, 0, on_trial=2, ejected_until=time.monotonic() + 60.0)
    stage.use_endpoints(1)
    assert not is_ejected(stage) and not state(stage)["on_trial"]
    stage.board.endpoint_states.set(0, "consecutive", 99)
    errs(under_way)
    assert not is_ejected(stage)
    stage.use_endpoints(0, 1)
    assert went(stage) == {0, 1}
