"""`lbjwt serve` with its real workers: the start with and without keys, the admin door, log rotation, a wrong certificate."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.harness.ports import free_port
from tests.harness.procfs import children
from tests.harness.waiting import eventually
from tests.integration.serve_scene import JWKS, get, http_server, token


def test_a_start_without_keys_recovers_by_itself(serve):
    """The issuer is down at the start: alive, not ready, 503 with Retry-After for every token; two seconds after it is up, 200 (K5, B1)."""
    issuer_port = free_port()
    with http_server(0, b"hello") as backend:
        process = serve(
            issuers={
                "main": {
                    "issuer": "i",
                    "audiences": ["a"],
                    "remote_jwks": {"uri": f"http://127.0.0.1:{issuer_port}/jwks"},
                }
            },
            clusters={"main": {"endpoints": [{"address": f"127.0.0.1:{backend}"}]}},
        )
        process.wait_for("ready: 1 worker")
        admin = process.url("admin")
        assert get(f"{admin}/livez")[0] == 200
        status, _, text = get(f"{admin}/readyz")
        assert (status, text) == (503, "no keys\n")
        status, fields, _ = get(process.url(), bearer=token())
        assert status == 503
        assert fields["Retry-After"]
        with http_server(issuer_port, JWKS.encode()):
            deadline = time.monotonic() + 30.0
            while get(f"{admin}/readyz")[0] != 200:
                assert time.monotonic() < deadline, process.log
                time.sleep(0.02)
        assert get(process.url(), bearer=token())[::2] == (200, "hello")


def test_health_on_the_traffic_port_says_what_readyz_says(serve, files):
    """Two workers, in the clear and under TLS: 503 without keys, 200 with them, 503 in a drain; a listener without it asks for a token."""
    issuer_port = free_port()
    tls = {"certificate": str(files / "cert.pem"), "private_key": str(files / "key.pem")}
    health = {"path": "/up"}
    process = serve(
        listeners=[
            {"address": "127.0.0.1:0", "health": health},
            {"address": "127.0.0.1:0", "health": health, "tls": tls},
            {"address": "127.0.0.1:0"},
        ],
        issuers={
            "main": {"issuer": "i", "audiences": ["a"], "remote_jwks": {"uri": f"http://127.0.0.1:{issuer_port}/jwks"}}
        },
        workers=2,
    )
    process.wait_for("ready: 2 workers")
    admin = process.url("admin")
    clear, secure, other = (int(process.url(f"listeners[{at}]").rpartition(":")[2]) for at in range(3))
    context = ssl.create_default_context(cafile=files / "cert.pem")

    def asked(port, context=None):
        """Status and body, asked as HAProxy asks: HTTP/1.0 without a Host."""
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            if context is not None:
                sock = stack.enter_context(context.wrap_socket(sock, server_hostname="localhost"))
            sock.sendall(b"GET /up HTTP/1.0\r\n\r\n")
            head, _, body = b"".join(iter(lambda: sock.recv(4096), b"")).partition(b"\r\n\r\n")
            return int(head.split()[1]), body

    assert get(f"{admin}/readyz")[0] == 503
    assert {asked(clear) for _ in range(8)} == {asked(secure, context)} == {(503, b"not ready\n")}
    with http_server(issuer_port, JWKS.encode()):
        deadline = time.monotonic() + 30.0
        while get(f"{admin}/readyz")[0] != 200:
            assert time.monotonic() < deadline, process.log
            time.sleep(0.02)
    assert {asked(clear) for _ in range(8)} == {asked(secure, context)} == {(200, b"ready\n")}
    assert get(f"http://127.0.0.1:{other}/up")[0] == 401
    # counted after the response has left
    assert eventually(lambda: json.loads(get(f"{admin}/status")[2])["requests"] == 1)
    kept = http.client.HTTPConnection("127.0.0.1", clear, timeout=30)
    with contextlib.closing(kept):
        kept.request("GET", "/up")
        assert kept.getresponse().read() == b"ready\n"
        process.process.send_signal(signal.SIGTERM)
        process.wait_for("draining")
        kept.request("GET", "/up")
        assert kept.getresponse().status == 503
    assert process.end() == 0


def test_rotation_restart_and_counters(serve, tmp_path):
    """SIGUSR1 moves the access log to a new file, a killed worker is replaced, and totals only grow."""
    with http_server(0, b"hello") as backend:
        process = serve(
            clusters={"main": {"endpoints": [{"address": f"127.0.0.1:{backend}"}]}},
            access_log={"path": "access.log"},
            workers=2,
        )
        process.wait_for("ready: 2 workers")
        admin, url, bearer = process.url("admin"), process.url(), token()
        assert get(url, bearer=bearer)[0] == 200
        assert get(url)[0] == 401
        (tmp_path / "access.log").rename(tmp_path / "access.1")
        process.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 30.0
        while not (tmp_path / "access.log").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        logs = (tmp_path / "access.1", tmp_path / "access.log")
        # what the worker that is killed has not written yet would be lost
        assert eventually(lambda: sum(len(log.read_text().splitlines()) for log in logs) == 2)
        children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        process.wait_for("was killed by SIGKILL")
        process.wait_for("all workers are ready again")
        assert get(url, bearer=bearer)[0] == 200
        # counted after the response has left
        assert eventually(lambda: json.loads(get(f"{admin}/status")[2])["requests"] == 3)
        found = json.loads(get(f"{admin}/status")[2])
        assert found["worker_restarts"] == 1
        assert (found["requests"], found["refusals"]) == (3, 1)
        assert [worker["state"] for worker in found["workers"]] == ["ready", "ready"]
        process.process.send_signal(signal.SIGTERM)
        assert process.end() == 0
    statuses = [sorted(json.loads(line)["status"] for line in log.read_text().splitlines()) for log in logs]
    assert statuses[0] in (
        [200, 401],
        [200],
        [401],
        [],
    )  # what a worker had not written yet goes to the old file on SIGUSR1
    assert sorted(statuses[0] + statuses[1]) == [200, 200, 401]


@pytest.mark.parametrize("whole_group", [False, True], ids=["supervisor", "whole group, twice"])
def test_a_drain_answers_what_is_under_way(serve, whole_group):
    """SIGTERM during a slow response, as kill or as systemd and timeout send it: the response comes whole, new clients are refused, exit code 0."""
    release = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self):
            release.wait(60)
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"done")

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as backend:
        thread = threading.Thread(target=backend.serve_forever, args=(0.02,))
        thread.start()
        process = serve(
            clusters={"main": {"endpoints": [{"address": f"127.0.0.1:{backend.server_port}"}]}},
            timeouts={"drain": "60s"},  # it ends with the response
        )
        process.wait_for("ready: 1 worker")
        admin, url = process.url("admin"), process.url()
        answers = []
        client = threading.Thread(target=lambda: answers.append(get(url, bearer=token())))
        client.start()
        while json.loads(get(f"{admin}/status")[2])["requests_in_flight"] == 0:
            time.sleep(0.02)
        if whole_group:
            # nothing else between the two to the supervisor: a second signal that comes later is a wish to end at once
            for pid in (process.process.pid, *children(process.process.pid)):
                os.kill(pid, signal.SIGTERM)
        process.process.send_signal(signal.SIGTERM)
        process.wait_for("draining")
        assert get(f"{admin}/readyz")[::2] == (503, "draining\n")
        deadline = time.monotonic() + 30.0
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=1).close()
            except ConnectionRefusedError:
                break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        release.set()
        client.join()
        assert answers[0][::2] == (200, "done")
        assert process.end() == 0
        backend.shutdown()
        thread.join()


def test_ps_shows_what_each_process_is(serve):
    """As the command (`ps -e`, `top`) and with arguments (`ps aux`): workers and keeper have names, the supervisor its command line."""
    process = serve(workers=2)
    process.wait_for("ready: 2 workers")

    def shown():
        found = []
        for pid in children(process.process.pid):
            command = Path(f"/proc/{pid}/comm").read_text().strip()
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
            found.append((command, arguments))
        return sorted(found)

    # workers do not wait for the keeper to take its name
    expected = [("lbjwt-keeper", "lbjwt-keeper")] + 2 * [("lbjwt-worker", "lbjwt-worker")]
    assert eventually(lambda: shown() == expected), shown()
    assert b"serve" in Path(f"/proc/{process.process.pid}/cmdline").read_bytes().split(b"\0")


def test_a_certificate_of_another_key_ends_the_start(serve, files):
    """Exit code 2 and one sentence with the configuration key; nothing ever listens."""
    process = serve(
        listeners=[
            {
                "address": "127.0.0.1:0",
                "tls": {"certificate": str(files / "cert.pem"), "private_key": str(files / "other.pem")},
            }
        ]
    )
    assert process.end() == 2
    assert "belong" in process.log, process.log
    assert "Traceback" not in process.log


EARLY = {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


def blocked(pid):
    """Those of `EARLY` that a process blocks, and SIGTERM, which the supervisor blocks too."""
    mask = int(re.search(r"SigBlk:\t(\w+)", Path(f"/proc/{pid}/status").read_text())[1], 16)
    return {number for number in (*EARLY, signal.SIGTERM) if mask >> (number - 1) & 1}


def test_signals_that_come_while_the_program_loads_wait_for_the_supervisor(serve):
    """SIGHUP and SIGUSR1 before the configuration was read: a reload and a reopening follow the start; workers block nothing of it."""
    process = serve()
    pid = process.process.pid
    assert eventually(lambda: blocked(pid) == EARLY)
    assert process.log == ""
    process.process.send_signal(signal.SIGHUP)
    process.process.send_signal(signal.SIGUSR1)
    process.wait_for("workers reopen the access log")
    process.wait_for("configuration reloaded: no changes")
    process.wait_for("ready: 1 worker")
    served = children(pid)
    assert len(served) == 2  # with the control process
    assert [blocked(child) for child in served] == [set(), set()]
    process.process.send_signal(signal.SIGTERM)
    assert process.end() == 0, process.log


@pytest.mark.parametrize(("arguments", "code"), [(["--print-config"], 0), ([], 2)])
def test_a_signal_does_not_change_how_a_command_without_a_service_ends(tmp_path, arguments, code):
    """--print-config, and a file with problems: SIGHUP while the program loads, and its exit code and output are those of any other time."""
    (tmp_path / "lbjwt.yaml").write_text("listeners: 3" if code else CONFIGURATION)
    command = [sys.executable, "-m", "lbjwt", "serve", *arguments, str(tmp_path / "lbjwt.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert eventually(lambda: blocked(process.pid) == EARLY)
        process.send_signal(signal.SIGHUP)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "issuers:" in out or "listeners" in errors


CONFIGURATION = json.dumps(
    {
        "listeners": [{"address": "127.0.0.1:0"}],
        "issuers": {"main": {"issuer": "i", "audiences": ["a"], "jwks_file": "jwks.json"}},
        "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:9"}]}},
    }
)


def test_a_worker_that_starts_during_a_reload_never_serves_under_the_configuration_before(serve, tmp_path):
    """It waits for its keys while another configuration comes: no client gets in where that one has no listener."""
    before, after = free_port(), free_port()
    asked, release = threading.Event(), threading.Event()

    class Issuer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.set()
            release.wait(30)
            self.send_response(200)
            self.send_header("Content-Length", str(len(JWKS)))
            self.end_headers()
            self.wfile.write(JWKS.encode())

        def log_message(self, *arguments):
            pass

    def connects(port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        return True

    with ThreadingHTTPServer(("127.0.0.1", 0), Issuer) as issuer:
        threading.Thread(target=issuer.serve_forever, args=(0.02,)).start()
        keys = {"uri": f"http://127.0.0.1:{issuer.server_port}/jwks", "timeout": "20s"}
        process = serve(
            listeners=[{"address": f"127.0.0.1:{before}"}],
            issuers={"main": {"issuer": "i", "audiences": ["a"], "remote_jwks": keys}},
        )
        try:
            assert asked.wait(60)
            configuration = json.loads((tmp_path / "lbjwt.json").read_text())
            configuration["listeners"] = [{"address": f"127.0.0.1:{after}"}]
            (tmp_path / "lbjwt.json").write_text(json.dumps(configuration))
            process.process.send_signal(signal.SIGHUP)
            process.wait_for(rf"listeners\[0\] on 127\.0\.0\.1:{after}")
            release.set()
            seen = []
            assert eventually(lambda: seen.extend(connects(before) for _ in range(500)) or connects(after))
            assert not any(seen)
        finally:
            release.set()
            issuer.shutdown()
