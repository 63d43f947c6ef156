"""Endpoints, workers, processes and doors: who gets the request, and what happens when somebody dies."""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.harness.backend import Backend
from tests.harness.balancer import Balancer
from tests.harness.behaviour import good, slowed
from tests.harness.client import Client
from tests.harness.ledger import compare, summary
from tests.harness.load import drive, jobs
from tests.harness.ports import free_port
from tests.harness.procfs import is_alive
from tests.harness.stage import Stage, curl
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually


def test_the_ledgers_agree(tmp_path: Path) -> None:
    """Client, access log and three backends tell the same story of 3,000 mixed requests."""
    with Stage(tmp_path, behaviours=[good] * 3) as stage:
        bad = stage.tokens.mint(lifetime=-600)
        work = [
            *jobs(1500, stage.token, prefix="get"),
            *jobs(600, stage.token, prefix="post", method="POST", body=b"hello"),
            *jobs(300, bad, prefix="bad"),
            *jobs(300, stage.token, prefix="fresh", fresh_every=1),
            *jobs(200, stage.token, prefix="head", method="HEAD"),
            *jobs(100, stage.token, prefix="chunked", target="/chunked/5000/{id}"),
        ]
        samples = drive(stage.port, work, connections=16)
        log = stage.balancer.settled_access_log(len(work))
        findings = compare(samples, stage.seen, log)
        assert not findings, summary(findings)
        assert Counter(sample.status for sample in samples) == {200: 2700, 401: 300}
        # How much each got is for least connections to say: a backend that the machine starves gets less, and rightly.
        assert {record.backend for record in stage.seen} == {"b0", "b1", "b2"}


@pytest.mark.quiet
def test_least_connections_gives_a_slow_backend_less(tmp_path: Path) -> None:
    """With one of three backends far slower, it gets far less than a third."""
    # So slow that two fast ones with a busy machine to run on are still far faster.
    with Stage(tmp_path, behaviours=[slowed(400), slowed(5), slowed(5)]) as stage:
        drive(stage.port, jobs(900, stage.token, prefix="lc"), connections=12)
        shares = Counter(record.backend for record in stage.seen)
        assert shares["b0"] < 150, shares
        assert min(shares["b1"], shares["b2"]) > 300, shares


def test_weights_share_requests_that_come_one_after_another(tmp_path: Path) -> None:
    """Weights 4, 1, 1 and sixty requests: 40, 10 and 10, as by nginx's least_conn."""
    with ExitStack() as backends:
        weighted = [
            {"address": backends.enter_context(Backend(good, name=f"b{number}")).address, "weight": weight}
            for number, weight in enumerate((4, 1, 1))
        ]
        with Stage(tmp_path, clusters={"main": {"endpoints": weighted}}) as stage:
            assert drive(stage.port, jobs(60, stage.token, prefix="w"), connections=1)
            totals = json.loads(stage.balancer.admin_get("/status")[1])["endpoints"]
            assert [total["requests"] for total in totals] == pytest.approx([40, 10, 10], abs=1)


def test_the_share_of_a_dead_endpoint_goes_to_all_others(tmp_path: Path) -> None:
    """One of three refuses connections: sixty requests one after another are 30 for each of the others."""
    with Stage(tmp_path, behaviours=[good, good], endpoints=[f"127.0.0.1:{free_port()}"]) as stage:
        assert drive(stage.port, jobs(60, stage.token, prefix="d"), connections=1)
        shares = Counter(record.backend for record in stage.seen)
        assert [shares["b0"], shares["b1"]] == pytest.approx([30, 30], abs=1)


def test_a_refused_connect_tries_the_next_endpoint(tmp_path: Path) -> None:
    """Dead endpoints in the list cost no request."""
    with Stage(tmp_path, endpoints=[f"127.0.0.1:{free_port()}"]) as stage:
        samples = drive(
            stage.port,
            [*jobs(100, stage.token, prefix="get"), *jobs(100, stage.token, prefix="post", method="POST", body=b"x")],
            connections=4,
        )
        findings = compare(samples, stage.seen, retries=0)
        assert not findings, summary(findings)


def test_all_endpoints_dead_is_503_or_502(tmp_path: Path) -> None:
    """Nobody there: the answer is ours, and waits for nothing."""
    with (
        Balancer(tmp_path, tokens := TokenFactory(), [f"127.0.0.1:{free_port()}"]) as balancer,
        Client(balancer.port) as client,
    ):
        started = time.monotonic()
        assert client.ask("/r/x", token=tokens.mint()).status in (502, 503)
        assert time.monotonic() - started < 4.0


def test_a_dead_reused_connection_is_retried_for_get_only_when_safe(tmp_path: Path) -> None:
    """Backends that close idle connections cost no GET, and no POST is ever executed twice."""
    with Stage(tmp_path, idle_close=(0.0, 0.01)) as stage:
        work = [*jobs(600, stage.token, prefix="get"), *jobs(600, stage.token, prefix="post", method="POST", body=b"x")]
        samples = drive(stage.port, work, rate=400, connections=4)
        findings = [
            finding
            for finding in compare(samples, stage.seen)
            if finding.kind != "loss" or finding.id.startswith("get")
        ]
        assert not findings, summary(findings)


def test_unix_socket_backend(tmp_path: Path) -> None:
    """An endpoint may be a Unix socket."""
    tokens = TokenFactory()
    with (
        Backend(good, path=tmp_path / "app.sock") as backend,
        Balancer(tmp_path, tokens, [backend.address]) as balancer,
        Client(balancer.port) as client,
    ):
        assert [client.ask("/r/x", token=tokens.mint(), id=str(number)).echo_id for number in range(5)] == list("01234")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = directory / "cert.pem", directory / "key.pem"
    cert_path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_path, key_path


def test_tls_listener(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """curl over TLS: small and large bodies, the scheme told to the backend, TLS 1.1 refused."""
    cert, key = certificate
    port = free_port()
    listeners = [{"address": f"127.0.0.1:{port}", "tls": {"certificate": str(cert), "private_key": str(key)}}]
    with Stage(tmp_path, listeners=listeners) as stage:
        stage.balancer.port = port
        head = curl(stage, "/head", "--cacert", str(cert), token=stage.token, scheme="https")
        assert head.status == 200
        assert b"x-forwarded-proto: https" in head.body.lower()
        assert curl(stage, "/r/x", "--cacert", str(cert), scheme="https").status == 401
        assert (
            len(curl(stage, "/bytes/5000000", "--cacert", str(cert), token=stage.token, scheme="https").body)
            == 5_000_000
        )
        old = curl(
            stage,
            "/r/x",
            "--cacert",
            str(cert),
            "--tls-max",
            "1.1",
            "--ciphers",
            "DEFAULT:@SECLEVEL=0",
            token=stage.token,
            scheme="https",
        )
        assert old.exit_code == 35, old
        context = ssl.create_default_context(cafile=str(cert))
        with Client(port, tls=context) as client:
            for number in range(20):
                assert client.ask("/r/x", token=stage.token, id=f"t{number}").echo_id == f"t{number}"


def test_flags_and_no_file(tmp_path: Path) -> None:
    """The flags of the public contract start the same balancer."""
    tokens = TokenFactory()
    jwks = tokens.write_jwks(tmp_path / "jwks.json")
    log = tmp_path / "access.log"
    with Backend(good) as one, Backend(good, name="c") as two:

        def flags(port: int, admin: int) -> list[str]:
            return [
                "--listen",
                f"127.0.0.1:{port}",
                "--backend",
                one.address,
                "--backend",
                two.address,
                "--jwks",
                str(jwks),
                "--issuer",
                tokens.issuer,
                "--audience",
                "first",
                "--audience",
                tokens.audience,
                "--algorithm",
                "RS256",
                "--claim-header",
                "sub=X-User",
                "--workers",
                "1",
                "--admin",
                f"127.0.0.1:{admin}",
                "--access-log",
                str(log),
            ]

        with Balancer(tmp_path, tokens, [], flags=flags) as balancer, Client(balancer.port) as client:
            assert b"X-User: alice" in client.ask("/head", token=tokens.mint()).body
            assert client.ask("/r/x", token=tokens.mint("ES256")).status == 401
            assert len(balancer.settled_access_log(2)) == 2


def test_print_config_shows_what_flags_mean() -> None:
    """--print-config writes the configuration as YAML and serves nothing."""
    arguments = [
        "--listen",
        "127.0.0.1:1",
        "--backend",
        "127.0.0.1:2",
        "--jwks",
        "keys.json",
        "--issuer",
        "me",
        "--audience",
        "you",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "lbjwt", "serve", "--print-config", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1:1" in done.stdout
    assert "issuer: me" in done.stdout


def test_issuer_and_audience_are_needed() -> None:
    """Leaving out the audience is an error that names it; nothing starts."""
    arguments = ["--listen", "127.0.0.1:0", "--backend", "127.0.0.1:2", "--jwks", "keys.json", "--issuer", "me"]
    done = subprocess.run(
        [sys.executable, "-m", "lbjwt", "serve", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "audience" in done.stderr.lower()


def test_admin_door(tmp_path: Path) -> None:
    """/livez, /readyz, /metrics and /status answer on the admin port, and none of them on the public one."""
    with Stage(tmp_path) as stage:
        curl(stage, "/r/x", token=stage.token)
        curl(stage, "/r/x")
        time.sleep(0.2)
        assert stage.balancer.admin_status("/livez") == 200
        assert stage.balancer.admin_status("/readyz") == 200
        status, metrics = stage.balancer.admin_get("/metrics")
        assert status == 200
        assert b"lbjwt_" in metrics
        assert b"# TYPE" in metrics
        status, document = stage.balancer.admin_get("/status")
        assert status == 200
        assert document.startswith(b"{")
        secret = stage.token.rpartition(".")[2].encode()
        assert secret not in metrics
        assert secret not in document
        for path in ("/livez", "/readyz", "/metrics", "/status"):
            assert curl(stage, path).status == 401


def test_sigterm_drains_what_is_in_flight(tmp_path: Path) -> None:
    """Readiness goes, requests in flight end well, then the process ends with 0."""
    with Stage(tmp_path, behaviours=[slowed(6000)], timeouts={"drain": "30s"}) as stage:
        statuses: list[int] = []

        def ask(number: int) -> None:
            with stage.client() as client:
                statuses.append(client.ask("/r/x", token=stage.token, id=f"drain-{number}").status)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        assert eventually(lambda: len(stage.seen) == 10)
        stage.balancer.signal(signal.SIGTERM)
        assert eventually(lambda: stage.balancer.admin_status("/readyz") == 503, 5.0)
        for thread in threads:
            thread.join()
        assert statuses == [200] * 10
        assert stage.balancer.wait(30.0) == 0


def test_second_sigterm_does_not_wait(tmp_path: Path) -> None:
    """A second SIGTERM ends the drain at once."""
    with Stage(tmp_path, behaviours=[slowed(20_000)], timeouts={"drain": "30s"}) as stage, stage.client() as client:
        client.socket.sendall(
            b"GET /r/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + stage.token.encode() + b"\r\n\r\n"
        )
        assert eventually(lambda: stage.seen)
        stage.balancer.signal(signal.SIGTERM)
        # Two signals that wait for a process that does not run are one.
        assert eventually(lambda: stage.balancer.admin_status("/readyz") == 503)
        time.sleep(0.2)  # a repetition within a tenth of a second is an echo
        stage.balancer.signal(signal.SIGTERM)
        stage.balancer.wait(15.0)


def test_two_workers_share_the_work_and_the_counts(tmp_path: Path) -> None:
    """Both workers serve; metrics and log are of both; the ledgers agree."""
    with Stage(tmp_path, behaviours=[good] * 2, workers=2) as stage:
        assert len(stage.balancer.workers) == 2
        work = list(jobs(1000, stage.token, prefix="w", fresh_every=2))
        samples = drive(stage.port, work, connections=16)
        findings = compare(samples, stage.seen, stage.balancer.settled_access_log(1000))
        assert not findings, summary(findings)
        metrics = stage.balancer.admin_get("/metrics")[1].decode()
        total = sum(
            float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith("lbjwt_requests_total{")
        )
        assert total == 1000


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    """kill -9 of one of two workers: there is a new one, and new connections are all served."""
    with Stage(tmp_path, workers=2) as stage:
        victim, other = stage.balancer.workers
        os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: len(set(stage.balancer.workers) - {victim}) == 2)
        assert other in stage.balancer.workers
        samples = drive(stage.port, jobs(200, stage.token, prefix="after", fresh_every=1), connections=8)
        assert all(sample.is_good for sample in samples)


def test_workers_end_with_the_supervisor(tmp_path: Path) -> None:
    """kill -9 of the supervisor leaves no worker behind, and the port can be bound again."""
    with Stage(tmp_path, workers=2, timeouts={"drain": "1s"}) as stage:
        workers = stage.balancer.workers
        stage.balancer.signal(signal.SIGKILL)
        stage.balancer.wait(15.0)
        assert eventually(lambda: not [pid for pid in workers if is_alive(pid)])

        def is_free() -> bool:
            with socket.socket() as probe, suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", stage.port))
                return True
            return False

        assert eventually(is_free)  # the control process, which is no worker, may end after them


def test_no_secret_in_logs(tmp_path: Path) -> None:
    """Neither standard error nor the access log holds a token, a query or a key."""
    with Stage(tmp_path) as stage:
        canary = stage.tokens.mint(sub="canary")
        curl(stage, f"/r/x?token={canary}", token=canary)
        curl(stage, "/r/x", "-H", f"Authorization: Bearer {canary}x")
        stage.balancer.settled_access_log(2)
        text = stage.balancer.stderr + stage.balancer.access_log_path.read_text()
        assert canary.rpartition(".")[2] not in text
        assert canary.split(".")[1] not in text


@pytest.mark.parametrize("trusted", [["127.0.0.0/8"], []])
def test_the_log_names_the_request_as_the_backend_knows_it(tmp_path: Path, trusted: list[str]) -> None:
    """The request id in the access log is the X-Request-Id that was forwarded, the client's own only when it is trusted."""
    with Stage(tmp_path, trusted_proxies=trusted) as stage:
        curl(stage, "/r/x", "-H", "X-Request-Id: theirs", token=stage.token)
        (record,) = stage.balancer.settled_access_log(1)
        assert record["request_id"] == stage.seen[0].request_id
        assert (record["request_id"] == "theirs") is bool(trusted)
