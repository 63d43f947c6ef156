"""What outlives a reload: connections, requests under way, pools, keys, revocations, counters."""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path

import pytest

from bench.proof.reloadscene import Reloads, Watchers, connections_to, reload_scene
from tests.harness.client import Outcome, request
from tests.harness.keyserver import KeyServer
from tests.harness.publisher import Federation, Issuer
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

EXTRA = {"name": "extra", "prefix": "/extra", "cluster": "main"}


def reload_with_another_route(stage: Stage) -> Reloads:
    """A reload that adds a route, applied by every worker when this returns."""
    reloads = Reloads(stage)
    reloads.document["routes"].insert(0, EXTRA)
    reloads.publish("post")
    return reloads


def test_kept_connections_pools_and_counters_go_on(tmp_path: Path) -> None:
    """A client's connection serves its next request, over the connection to the backend that served the last, and nothing counts from 0."""
    with reload_scene(tmp_path, workers=1, processes=1) as stage, stage.client() as client:
        first = client.ask("/r/a", token=stage.token, id="a")
        connects = stage.balancer.metric("lbjwt_endpoint_connects_total")
        reload_with_another_route(stage)
        second = client.ask("/r/b", token=stage.token, id="b")
        assert (second.status, second.field("X-Echo-Conn")) == (200, first.field("X-Echo-Conn"))
        assert int(second.field("X-Echo-Ordinal")) == int(first.field("X-Echo-Ordinal")) + 1
        assert stage.balancer.metric("lbjwt_endpoint_connects_total") == connects == 1
        # counted after the response has left
        counted = partial(stage.balancer.metric, "lbjwt_route_requests_total", route="all", status_class="2xx")
        assert eventually(lambda: counted() == 2)
        assert stage.balancer.metric("lbjwt_connections_accepted_total") == 1


def test_an_upload_and_a_tunnel_go_on_though_their_route_is_gone(tmp_path: Path) -> None:
    """What began under a configuration ends under it."""
    routes = [{"name": "old", "prefix": "/", "cluster": "main"}]
    with (
        reload_scene(tmp_path, routes=routes) as stage,
        stage.client() as upload,
        stage.client() as tunnel,
        stage.client() as slow,
    ):
        fields = ["Content-Length: 200000"]
        upload.send(request("/upload", method="POST", token=stage.token, id="up", fields=fields) + b"u" * 100_000)
        key = base64.b64encode(bytes(16)).decode()
        fields = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
        assert tunnel.ask("/tunnel", token=stage.token, id="tunnel", fields=fields).status == 101
        slow.send(request("/slow/1500", token=stage.token, id="slow"))
        begun: set[str] = set()

        def have_begun() -> bool:
            begun.update(record.id for backend in stage.processes for record in backend.take())
            return {"up", "slow"} <= begun

        assert eventually(have_begun)
        reloads = Reloads(stage)
        reloads.document["routes"] = [EXTRA]
        reloads.publish("post")
        frame = b"\x81\x85\0\0\0\0hello"
        tunnel.socket.sendall(frame)
        assert tunnel.receive() == frame
        upload.socket.sendall(b"u" * 100_000)
        answer = upload.response()
        assert (answer.outcome, answer.status, answer.echo_id) == (Outcome.COMPLETE, 200, "up")
        assert slow.response().echo_id == "slow"
        assert [client.ask("/r/x", token=stage.token).status for client in (upload, slow)] == [404, 404]


def test_keys_are_not_fetched_again_and_revocations_stay(tmp_path: Path) -> None:
    """An issuer that did not change keeps its keys, and what was revoked stays revoked."""
    with KeyServer() as server:
        issuer = Issuer(server)
        with reload_scene(
            tmp_path,
            tokens=Federation([issuer]),
            issuers={"main": ..., "remote": issuer.remote(refresh_interval="1h")},
            revocation={},
        ) as stage:
            good, bad = issuer.mint(jti="good"), issuer.mint(jti="bad")
            watchers = Watchers(stage)
            assert stage.balancer.admin_post("/revocations", {"jti": "bad"})[0] in (200, 201, 202)
            assert eventually(lambda: set(watchers.statuses(bad)) == {401})
            fetches = issuer.fetches
            reload_with_another_route(stage)
            assert watchers.statuses(good) == [200, 200]
            assert watchers.statuses(bad) == [401, 401]
            assert issuer.fetches == fetches
            watchers.close()


@pytest.mark.parametrize("leaves", ["endpoint", "cluster"])
def test_a_backend_that_leaves_gets_nothing_new_and_its_idle_connections_close(tmp_path: Path, leaves: str) -> None:
    """Its response under way ends whole; then nothing is connected to it."""
    with reload_scene(tmp_path) as stage, stage.client() as client:
        reloads = Reloads(stage)
        stays, goes = stage.processes
        main = {"name": "all", "prefix": "/", "cluster": "main"}
        if leaves == "cluster":
            reloads.document["clusters"] = {
                "main": {"endpoints": [{"address": stays.address}]},
                "other": {"endpoints": [{"address": goes.address}]},
            }
            reloads.document["routes"] = [{"name": "other", "prefix": "/slow", "cluster": "other"}, main]
        else:
            reloads.document["clusters"]["main"]["endpoints"] = [{"address": goes.address}]
        reloads.publish("post")
        client.send(request("/slow/1000", token=stage.token, id="last"))
        assert eventually(lambda: [record.id for record in goes.take()] == ["last"])
        reloads.document["clusters"] = {"main": {"endpoints": [{"address": stays.address}]}}
        reloads.document["routes"] = [main]
        reloads.publish("post")
        watchers = Watchers(stage)
        assert [status for _ in range(10) for status in watchers.statuses(stage.token)] == [200] * 20
        answer = client.response()
        assert (answer.status, answer.echo_id) == (200, "last")
        assert client.ask("/slow/1", token=stage.token, id="next").status == 200
        assert goes.take() == []
        assert eventually(lambda: connections_to(stage, goes.port) == 0, 20.0)
        watchers.close()
