"""What a reload changes, from the very next request on, and what it says about the rest."""

from __future__ import annotations

import json
import os
import signal
from copy import deepcopy
from pathlib import Path
from typing import Any

from bench.proof.reloadscene import SUCCESSFUL, Reloads, Watchers, reload_command, reload_scene, write_file
from tests.harness.client import Client, request
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually


def test_a_changed_policy_holds_for_the_next_request_of_every_kept_connection(tmp_path: Path) -> None:
    """Audience, rule, route and limit: what passed before is refused by every worker as soon as the reload is done, and passes again."""
    with reload_scene(tmp_path) as stage:
        reloads, watchers = Reloads(stage), Watchers(stage)
        first = deepcopy(reloads.document)
        all_routes = first["routes"][0]
        changes: dict[int, dict[str, Any]] = {
            401: {"issuers": {**first["issuers"], "main": {**first["issuers"]["main"], "audiences": ["other"]}}},
            403: {"routes": [{**all_routes, "rules": [{"claim": "sub", "equals": "bob"}]}]},
            404: {"routes": [{**all_routes, "prefix": "/elsewhere"}]},
            431: {"limits": {"max_request_fields": 2}},
        }
        for status, change in changes.items():
            assert watchers.statuses(stage.token) == [200, 200]
            reloads.document.update(deepcopy(change))
            reloads.publish("post")
            assert watchers.statuses(stage.token) == [status, status]
            watchers.close()
            reloads.document = deepcopy(first)
            reloads.publish("post")
            watchers = Watchers(stage)
        watchers.close()


def test_issuers_come_and_go(tmp_path: Path) -> None:
    """A token of an issuer that was added passes, and is refused when the issuer is gone."""
    newcomer = TokenFactory(issuer="https://newcomer.test")
    with reload_scene(tmp_path, shadow=False) as stage:
        reloads, watchers = Reloads(stage), Watchers(stage)
        token = newcomer.mint()
        assert watchers.statuses(token) == [401, 401]
        reloads.document["issuers"]["newcomer"] = {
            "issuer": newcomer.issuer,
            "audiences": [newcomer.audience],
            "jwks_file": str(newcomer.write_jwks(tmp_path / "newcomer.json")),
        }
        assert "newcomer" in " ".join(reloads.publish("post")["changes"])
        assert watchers.statuses(token) == [200, 200]
        assert watchers.statuses(stage.token) == [200, 200]
        del reloads.document["issuers"]["newcomer"]
        reloads.publish("post")
        assert watchers.statuses(token) == [401, 401]
        watchers.close()


def test_what_needs_a_restart_is_told_and_the_rest_applied(tmp_path: Path) -> None:
    """More workers need a restart: the reply says so, their number stays, and the other change is in force."""
    with reload_scene(tmp_path) as stage:
        reloads, watchers = Reloads(stage), Watchers(stage)
        processes = stage.balancer.workers
        reloads.document["workers"] = 3
        reloads.document["state_directory"] = str(tmp_path / "elsewhere")
        reply = reloads.publish("post")
        assert set(reply["restart"]) == {"workers", "state_directory"}
        assert watchers.wait_for(reloads.realm) < 1.0
        assert stage.balancer.workers == processes
        done = reload_command(stage)
        assert done.returncode == 0
        assert "workers" in done.stdout + done.stderr
        watchers.close()


def test_a_worker_that_starts_after_a_reload_has_the_new_configuration(tmp_path: Path) -> None:
    """A killed worker is replaced by one that never knew the old configuration."""
    with reload_scene(tmp_path) as stage:
        reloads = Reloads(stage)
        reloads.publish("post")
        for pid in stage.balancer.workers:
            os.kill(pid, signal.SIGKILL)
            assert eventually(
                lambda pid=pid: (
                    pid not in stage.balancer.workers  # type: ignore[misc]
                    and len(stage.balancer.workers) == 2
                    and stage.balancer.metric("lbjwt_workers", state="ready") == 2
                )
            )
        watchers = Watchers(stage)
        assert watchers.realms() == [reloads.realm] * 2
        watchers.close()


def test_a_watched_file_needs_no_signal(tmp_path: Path) -> None:
    """With `watch: true` a replaced file is read by itself; a broken one changes nothing, and the next good one is read again."""
    with reload_scene(tmp_path, watch=True) as stage:
        reloads, watchers = Reloads(stage), Watchers(stage)
        reloads.write()
        assert watchers.wait_for(reloads.realm, 60.0) < 60.0
        write_file(stage.balancer.config_path, '{"listeners": ')
        assert eventually(lambda: stage.balancer.metric(SUCCESSFUL) == 0)
        assert watchers.realms() == [reloads.realm] * 2
        reloads.write()
        assert watchers.wait_for(reloads.realm, 60.0) < 60.0
        assert eventually(lambda: stage.balancer.metric(SUCCESSFUL) == 1)
        watchers.close()


def test_the_command_prints_what_changed_or_every_problem_with_its_place(tmp_path: Path) -> None:
    """Exit code 0 with the changes, 2 with the problems, 1 when nobody answers; the log has the problems too."""
    with reload_scene(tmp_path) as stage:
        reloads = Reloads(stage)
        reloads.document["routes"].insert(0, {"name": "orders", "prefix": "/orders", "cluster": "main"})
        reloads.write()
        done = reload_command(stage)
        assert done.returncode == 0, done
        assert "routes: orders added" in done.stdout
        broken = deepcopy(reloads.document)
        broken["routes"][0]["cluster"] = "nowhere"
        broken["realmm"] = "x"
        write_file(stage.balancer.config_path, json.dumps(broken, indent=2))
        done = reload_command(stage)
        said = done.stdout + done.stderr
        assert done.returncode == 2, done
        for part in ("nowhere", "realmm"):
            lines = [line for line in said.splitlines() if part in line]
            assert lines, said
            assert lines[0].startswith(f"{stage.balancer.config_path}:"), lines
            assert part in stage.balancer.stderr
        assert stage.balancer.metric(SUCCESSFUL) == 0
        with stage.client() as client:
            assert client.ask("/orders/1", token=stage.token).status == 200
    done = reload_command(stage)
    assert done.returncode == 1, done


def test_a_request_that_a_browser_could_send_reloads_nothing(tmp_path: Path) -> None:
    """Only JSON, and nothing from another origin: a page that an operator visits must not reach the admin API."""
    with reload_scene(tmp_path, workers=1) as stage:
        reloads, watchers = Reloads(stage), Watchers(stage, 1)
        reloads.write()
        for fields in (["Content-Type: text/plain"], ["Content-Type: application/json", "Origin: https://evil.test"]):
            with Client(stage.balancer.admin) as client:
                host = f"127.0.0.1:{stage.balancer.admin}"
                client.send(request("/reload", method="POST", body=b"{}", fields=fields, host=host))
                assert client.response().status in (400, 403, 415)
        with Client(stage.balancer.admin) as client:
            assert client.ask("/reload", host=f"127.0.0.1:{stage.balancer.admin}").status == 405
        assert watchers.realms() == ["g0"]
        watchers.close()
