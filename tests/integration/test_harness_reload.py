"""The load and the judges of the bars about reloads: silent when nothing is lost, and able to say what was."""

from __future__ import annotations

import json
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from bench.proof.breakages import Breaker
from bench.proof.certificate_replaced import judge
from bench.proof.drain_idle_clients import Crowd
from bench.proof.hot_reload import load
from bench.proof.releases import Releases
from bench.proof.reloadscene import Reloads, Watchers, reload_scene
from bench.proof.scene import Tally
from lbjwt.cli import main
from tests.harness.balancer import Balancer, configuration
from tests.harness.client import Client
from tests.harness.processes import BackendProcess
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually

NEVER = float("inf")


@pytest.fixture(scope="module")
def tokens() -> TokenFactory:
    """One issuer for the module."""
    return TokenFactory()


def load_on_toy(directory: Path, fault: str, tokens: TokenFactory, *, hangup: bool = False) -> Tally:
    """The load of the bars on a toy proxy, with a SIGHUP in the middle."""
    jwks = tokens.write_jwks(directory / "jwks.json")
    with BackendProcess("b0", directory, tokens) as backend:
        command = [sys.executable, "-m", "tests.harness.toy_proxy", "{port}", str(backend.port), fault]
        command += [str(directory / "access.log"), str(jwks), tokens.issuer, tokens.audience]
        with Balancer(directory, tokens, [], command=command) as toy, ThreadPoolExecutor(1) as pool:
            stage = SimpleNamespace(port=toy.port, token=tokens.mint(), processes=[backend])
            # A busy machine may take a second for the signal and the restart: the load goes on for three more.
            future = pool.submit(load, cast(Any, stage), 400 if hangup else 200, 100.0)
            if hangup:
                assert eventually(lambda: backend.records.stat().st_size > 10_000)
                toy.signal(signal.SIGHUP)
            return future.result()


def test_load_on_an_honest_proxy_has_no_findings(tmp_path: Path, tokens: TokenFactory) -> None:
    """Kept and new connections, and nothing to report."""
    tally = load_on_toy(tmp_path, "none", tokens)
    assert (tally.sent, tally.count()) == (200, 0), tally.note


def test_load_finds_every_dropped_request(tmp_path: Path, tokens: TokenFactory) -> None:
    """A proxy that drops each tenth request loses twenty of two hundred."""
    assert load_on_toy(tmp_path, "drop", tokens).kinds == {"loss": 20}


def test_load_finds_a_reload_by_restart(tmp_path: Path, tokens: TokenFactory) -> None:
    """Connections that are refused or reset while the proxy restarts are losses."""
    tally = load_on_toy(tmp_path, "restart", tokens, hangup=True)
    assert tally.count("loss") >= 3, tally.note
    assert tally.statuses["200"] > 100


def test_a_configuration_that_nobody_reads_is_not_seen(tmp_path: Path) -> None:
    """Without a reload the watchers go on seeing the old configuration, on every worker."""
    with reload_scene(tmp_path) as stage:
        reloads, watchers = Reloads(stage), Watchers(stage)
        assert watchers.realms() == ["g0", "g0"]
        reloads.write()
        assert watchers.wait_for(reloads.realm, 0.3) == NEVER
        watchers.close()


def test_clients_of_a_service_that_ends_are_failures(tmp_path: Path) -> None:
    """A crowd whose connections are reset, and whose service is gone, counts each request."""

    class Gone(Crowd):
        def __init__(self, port: int) -> None:
            self.stage = cast(Any, SimpleNamespace(port=port, token="t"))
            self.name, self.failures, self.told = "gone", [], 0

    with socket.create_server(("127.0.0.1", 0)) as server:
        crowd = Gone(server.getsockname()[1])
        client = Client(crowd.stage.port)
        server.accept()[0].close()
        crowd._ask(0, client, "during")
        client.close()
    assert len(crowd.failures) == 1


def test_releases_are_told_apart_by_their_version(tmp_path: Path) -> None:
    """The service runs the release that the link points to, and metrics name it."""
    releases = Releases(tmp_path)
    releases.install("7.8.9")
    with reload_scene(tmp_path, workers=1, program=releases.program) as stage:
        assert stage.balancer.metric("lbjwt_build_info", version="7.8.9") == 1
    releases.install("7.9.0", broken=True)
    with pytest.raises(RuntimeError, match="cannot start"), reload_scene(tmp_path, program=releases.program):
        pass


@pytest.mark.parametrize(
    ("seen", "waits", "strangers"),
    [
        ([(0.5, 1), (1.2, 1), (1.4, 2), (2.5, 2)], [pytest.approx(0.2)], 0),
        ([(0.5, 1), (1.2, 2), (2.5, 2)], [0.0], 0),
        ([(0.5, 1), (1.2, 1), (2.5, 1)], [NEVER], 0),
        ([(0.5, 1), (1.2, 2), (4.5, 1), (5.0, 2)], [3.5], 0),
        ([(0.5, 1), (1.2, 9), (2.5, 2)], [pytest.approx(0.2)], 1),
    ],
)
def test_judge_of_certificates(seen: list[tuple[float, int]], waits: list[float], strangers: int) -> None:
    """The last handshake with an older certificate counts, and one with a certificate from nowhere."""
    assert judge([(0.0, 1), (1.0, 2)], seen) == (waits, strangers)


def test_every_breakage_is_one(tmp_path: Path, tokens: TokenFactory) -> None:
    """`lbjwt check` refuses each broken file, except where only binding a socket tells."""
    document = configuration(
        tmp_path,
        tokens,
        ["127.0.0.1:9001", "127.0.0.1:9002"],
        port=18080,
        admin=18081,
        routes=[{"name": "all", "prefix": "/", "cluster": "main"}],
        timeouts={"keep_alive": "300s"},
    )
    path, runner = tmp_path / "lbjwt.yaml", CliRunner()
    path.write_text(json.dumps(document))
    assert runner.invoke(main, ["check", str(path)]).exit_code == 0
    (tmp_path / "broken").mkdir()
    accepted: list[str] = []
    for breakage in islice(Breaker(document, tmp_path / "broken", 18082), 420):
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        breakage.apply(path)
        if runner.invoke(main, ["check", str(path)]).exit_code != 2:
            accepted.append(breakage.name)
    assert set(accepted) <= {"a port in use", "('listeners', 0, 'address') = '192.0.2.1:8080'"}
