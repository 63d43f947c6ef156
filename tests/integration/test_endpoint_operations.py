"""Endpoints drained, disabled, enabled and weighted at run time: `lbjwt drain` and the admin API before real workers and backends, under load."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.proof.reloadscene import Reloads, reload_scene
from bench.proof.scene import taken
from lbjwt.cli import main
from lbjwt.config.load import load_text
from lbjwt.service import LoadBalancer
from lbjwt.upstream.operations import UnknownEndpoint
from tests.harness.backend import Backend
from tests.harness.behaviour import good
from tests.harness.client import request
from tests.harness.stage import Stage
from tests.harness.waiting import eventually


Done = subprocess.CompletedProcess[str]


def program(stage: Stage, name: str, *arguments: str) -> Done:
    """Run `lbjwt NAME …` against the service."""
    command = [sys.executable, "-m", "lbjwt", name, *arguments, "--admin", f"http://127.0.0.1:{stage.balancer.admin}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120.0, check=False)


def command(stage: Stage, name: str, *arguments: str) -> Done:
    """The same command without a process of its own, which takes half a second."""
    words = [name, *arguments, "--admin", f"http://127.0.0.1:{stage.balancer.admin}"]
    result = CliRunner().invoke(main, words)
    return Done(words, result.exit_code, result.stdout, result.stderr)


@contextmanager
def load(stage: Stage, clients: int = 8) -> Iterator[list[int]]:
    """Clients that ask one request after another, each on its connection; the statuses that they got."""
    found: list[int] = []
    ended = threading.Event()

    def ask() -> None:
        with stage.client() as client:
            while not ended.wait(0.01):  # without, they take a core from the commands that are waited for
                found.append(client.ask(token=stage.token).status)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        ended.set()
        for thread in threads:
            thread.join(30.0)


def hits(stage: Stage) -> dict[str, int]:
    """Requests that reached each backend since the last call."""
    counts = dict.fromkeys((backend.name for backend in stage.processes), 0)
    for record in taken(stage):
        counts[record.backend] += 1
    return counts


def more(statuses: list[int], count: int) -> bool:
    """So many requests more are answered."""
    end = len(statuses) + count
    return eventually(lambda: len(statuses) >= end)


def arrives(stage: Stage, name: str) -> bool:
    """A request reaches the backend."""
    return eventually(lambda: hits(stage)[name] > 0)


def test_a_rolling_deploy_loses_no_request(tmp_path: Path) -> None:
    """Under load: after `drain --wait` nothing arrives there, so it may be killed; after `enable` it works again. Nobody sees an error."""
    with reload_scene(tmp_path, processes=3) as stage, load(stage) as statuses:
        for backend in stage.processes:
            done = program(stage, "drain", "main", backend.address, "--wait", "--timeout", "30s")
            assert done.returncode == 0, done.stderr
            hits(stage)
            assert more(statuses, 200)
            assert hits(stage)[backend.name] == 0
            backend.kill()
            backend.start()
            assert program(stage, "enable", "main", backend.address).returncode == 0
            assert arrives(stage, backend.name)
        assert set(statuses) == {200}


def test_a_request_under_way_ends_and_wait_knows_it(tmp_path: Path) -> None:
    """Half of a request is there: `--wait` gives up with 3, and the endpoint stays drained. The rest passes, then it returns. Readiness follows."""
    with Stage(tmp_path, workers=2) as stage, stage.client() as client:
        address = stage.backends[0].address
        client.send(request(method="POST", token=stage.token, fields=["Content-Length: 5"]) + b"ab")
        assert eventually(lambda: stage.seen)
        busy = command(stage, "drain", "main", address, "--wait", "--timeout", "100ms")
        assert busy.returncode == 3 and "in flight: 1" in busy.stderr
        assert json.loads(stage.balancer.admin_get(f"/clusters/main/endpoints/{address}")[1])["state"] == "drained"
        client.socket.sendall(b"cde")
        assert client.response().status == 200
        assert command(stage, "disable", "main", address, "--wait").returncode == 0
        assert client.ask(token=stage.token).status == 503
        assert stage.balancer.admin_status("/readyz") == 503
        assert command(stage, "enable", "main", address).returncode == 0
        assert client.ask(token=stage.token).status == 200
        assert stage.balancer.admin_status("/readyz") == 200
        assert stage.balancer.admin_post(f"/clusters/main/endpoints/{address}", {"weight": 0})[0] == 200
        assert client.ask(token=stage.token).status == 503
        assert stage.balancer.admin_status("/readyz") == 503


def test_a_reload_keeps_the_state_and_status_shows_it(tmp_path: Path) -> None:
    """Drained and weighted before a reload, so after it; /status, metrics, `lbjwt status` and the log say so."""
    with reload_scene(tmp_path) as stage:
        address = stage.processes[0].address
        assert command(stage, "weight", "main", address, "7").returncode == 0
        assert command(stage, "drain", "main", address).returncode == 0
        reloads = Reloads(stage)
        reloads.document["clusters"]["main"]["endpoints"][0]["weight"] = 3
        reloads.publish("post")
        (shown, other) = json.loads(stage.balancer.admin_get("/status")[1])["endpoints"]
        assert (shown["state"], shown["weight"], shown["configured_weight"]) == ("drained", 7, 3)
        assert (other["state"], other["health"], other["weight"]) == ("in service", "unchecked", 1)
        assert stage.balancer.metric("lbjwt_endpoint_drained", endpoint=address) == 1
        table = command(stage, "status").stdout
        assert len(table.splitlines()) == 3 and f"{address}  drained" in table
        assert command(stage, "weight", "main", address, "configured").returncode == 0
        assert json.loads(stage.balancer.admin_get("/status")[1])["endpoints"][0]["weight"] == 3
        assert f"endpoint {address} of cluster main is drained (asked for by admin API)" in stage.balancer.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["drain", "mian", "127.0.0.1:1"], 1, "there is no cluster mian; did you mean main?"),
        (["drain", "main", "127.0.0.1:1"], 1, "has no endpoint 127.0.0.1:1"),
        (["weight", "main", "ADDRESS", "1001"], 2, "0 to 1000"),
        (["weight", "main", "ADDRESS", "-1"], 2, ""),
        (["weight", "main", "ADDRESS", "many"], 2, "0 to 1000"),
        (["drain", "main", "ADDRESS", "--wait", "--timeout", "5"], 2, "unit"),
        (["drain", "main"], 2, "ENDPOINT"),
        (["status", "mian"], 1, "there is no cluster mian"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_there_is_not_is_said(quiet: Stage, arguments: list[str], code: int, said: str) -> None:
    """Unknown names with the likely one, and values that are none, each with its exit code."""
    address = quiet.processes[0].address
    done = command(quiet, *[address if word == "ADDRESS" else word for word in arguments])
    assert done.returncode == code and said in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"state": "drained"}, 200),
        ({"state": "in service", "weight": None}, 200),
        ({}, 400),
        ([], 400),
        ({"state": "gone"}, 400),
        ({"state": 1}, 400),
        ({"weight": True}, 400),
        ({"weight": 1.5}, 400),
        ({"weight": -1}, 400),
        ({"weight": "7"}, 400),
        ({"state": "drained", "wait": True}, 400),
    ],
    ids=str,
)
def test_a_body_is_read_strictly(quiet: Stage, body: object, status: int) -> None:
    """What is not understood whole changes nothing."""
    path = f"/clusters/main/endpoints/{quiet.processes[1].address}"
    before = quiet.balancer.admin_get(path)
    got, answer = quiet.balancer.admin_post(path, body)
    assert got == status, answer
    if status != 200:
        assert quiet.balancer.admin_get(path) == before and "error" in json.loads(answer)
    quiet.balancer.admin_post(path, {"state": "in service"})


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service without load."""
    with reload_scene(tmp_path_factory.mktemp("quiet")) as stage:
        yield stage


def test_an_embedding_program_drains_too(tmp_path: Path) -> None:
    """`set_endpoint` and `wait_until_quiet`, over a Unix socket; unknown names raise. With a state directory, the next start finds it so."""
    path = tmp_path / "app.sock"
    text = (
        "listeners: [{address: 127.0.0.1:0}]\n"
        "admin: {address: 127.0.0.1:0}\n"
        "state_directory: state\n"
        "issuers: {main: {issuer: i, audiences: [a], jwks: {keys: [{kty: OKP, crv: Ed25519, kid: '1', "
        "x: 4etsjoZ7Rwm6Sb_RWUU7YeHlWi-mm91Sxk7OcTMinXQ}]}}}\n"
        f"clusters: {{main: {{endpoints: [{{address: 'unix:{path}'}}]}}}}\n"
        "routes: [{name: all, public: true}]\n"
    )

    async def run(before: bytes) -> None:
        async with LoadBalancer(load_text(text, tmp_path)) as balancer:
            host, port = balancer.addresses[0]

            async def ask() -> bytes:
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
                writer.close()
                return answer[9:12]

            assert await ask() == before
            state = balancer.set_endpoint("main", f"unix:{path}", state="drained", weight=3)
            assert (state.state, state.weight) == ("drained", 3)
            assert await balancer.wait_until_quiet("main", f"unix:{path}", timeout=10.0)
            assert await ask() == b"503"
            balancer.set_endpoint("main", f"unix:{path}", state="in service", weight="configured")
            assert await ask() == b"200"
            with pytest.raises(UnknownEndpoint, match="did you mean main"):
                balancer.set_endpoint("mains", "x:1", state="drained")
            with pytest.raises(ValueError, match="state"):
                balancer.set_endpoint("main", f"unix:{path}", state="off")
            assert balancer.set_endpoint("main", f"unix:{path}", state="drained").survives_restart

    with Backend(good, path=path):
        asyncio.run(run(b"200"))
        asyncio.run(run(b"503"))
