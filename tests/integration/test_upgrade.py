"""SIGUSR2: the program is replaced while it serves. Real processes, and clients that count every request without an answer."""

import contextlib
import errno
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.ports import free_port
from tests.harness.procfs import children, name_of
from tests.harness.short_path import short_directory
from tests.harness.waiting import eventually
from tests.integration.logged import LoggedProcess
from tests.integration.serve_scene import JWKS, get, http_server, token
from tests.integration.upgrade_scene import Backend, Clients, living

# `lbjwt serve` as a program that a test can break before it is started again.
PROGRAM = """
import os, signal, sys, time
from pathlib import Path

mode = Path("mode").read_text() if Path("mode").exists() else ""
if mode == "import":
    import lbjwt.no_such_module
if mode == "hangs":
    time.sleep(600)
from lbjwt.process import upgrade
from lbjwt.process.handover import Predecessor
class Hasty:
    def __radd__(self, now):  # the sum is made when the new program is started
        return now + (4.0 if Path("hasty").exists() else 60.0)
upgrade.TIME = Hasty()
if Path("settles").exists():
    upgrade.SETTLE = 60.0
told = Predecessor.tell_ready
if mode == "waits":
    def tell_ready(self, **more):
        while Path("mode").read_text() == "waits":
            time.sleep(0.02)
        told(self, **more)
    Predecessor.tell_ready = tell_ready
if mode == "dies":
    Predecessor.tell_ready = lambda self, **more: (told(self, **more), os.kill(os.getpid(), signal.SIGKILL))
from lbjwt.cli import main
main(["serve", "lbjwt.json"])
"""

UPGRADED = r"upgraded: process (\d+) serves"
FAILED = "the upgrade failed: "


class Service(LoggedProcess):
    """A service whose program and configuration can be changed between upgrades."""

    def __init__(self, folder, *, wrapper=(), environment=None, hasty=False, settles=False, **changes):
        self.folder = folder
        if settles:  # both programs serve for a minute, or until one of them ends
            (folder / "settles").touch()
        if hasty:  # a new program has four seconds to become ready
            (folder / "hasty").touch()
        (folder / "program.py").write_text(PROGRAM)
        (folder / "jwks.json").write_text(JWKS)
        self.configuration = {
            "listeners": [{"address": "127.0.0.1:0", "health": {"path": "/up"}}],
            "issuers": {"main": {"issuer": "i", "audiences": ["a"], "jwks_file": "jwks.json"}},
            "admin": {"address": "127.0.0.1:0"},
            "timeouts": {"drain": "5s"},
        }
        self.configure(**changes)
        super().__init__([*wrapper, "program.py"], folder, environment)

    def configure(self, **changes):
        self.configuration |= changes
        (self.folder / "lbjwt.json").write_text(json.dumps(self.configuration))

    def patient(self):
        """From now on a new program has as long as it needs."""
        (self.folder / "hasty").unlink(missing_ok=True)

    def mode(self, mode):
        (self.folder / "mode").write_text(mode)

    def up(self):
        self.wait_for(r"INFO lbjwt\[supervisor\]: ready:")
        return self

    def address(self, name="listeners[0]"):
        return self.wait_for(re.escape(name) + r" on 127\.0\.0\.1:(\d+)")

    @property
    def port(self):
        return int(self.address()[1])

    @property
    def admin(self):
        return f"http://127.0.0.1:{self.address('admin')[1]}"

    def ask(self, path="/"):
        return get(f"http://127.0.0.1:{self.port}{path}", bearer=token())[0]

    def count(self, pattern):
        return len(re.findall(pattern, self.log))

    def upgrade(self, outcome=UPGRADED):
        """SIGUSR2, and what the log says when it is over; for an upgrade, once the old program has drained and the new one owns all."""
        outcomes, drained = self.count(outcome), self.count("lbjwt.supervisor.: drained")
        self.process.send_signal(signal.SIGUSR2)
        assert eventually(lambda: self.count(outcome) > outcomes, 60.0), self.log
        if outcome == UPGRADED:
            assert eventually(lambda: self.count("lbjwt.supervisor.: drained") > drained, 30.0), self.log
        return int(re.findall(UPGRADED, self.log)[-1]) if outcome == UPGRADED else 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def family(self):
        """All living processes of the service."""
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            if living(pid):
                found.append(pid)
                with contextlib.suppress(OSError):
                    queue += children(pid)
        return found


@pytest.fixture
def scene():
    backend = Backend()
    with backend.serving() as port:
        backend.address = f"127.0.0.1:{port}"
        yield backend


@pytest.fixture
def service(tmp_path, scene):
    made = []

    def make(**changes):
        changes.setdefault("clusters", {"main": {"endpoints": [{"address": scene.address}]}})
        made.append(Service(tmp_path, **changes))
        return made[-1].up()

    yield make
    for one in made:
        family = one.family()
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(15)
        for pid in family:
            with contextlib.suppress(OSError):
                if b"program.py" in Path(f"/proc/{pid}/cmdline").read_bytes() or name_of(pid).startswith("lbjwt"):
                    os.kill(pid, signal.SIGKILL)
        one.end()


@pytest.mark.quiet
def test_five_upgrades_under_load(service):
    """Kept connections and new ones: every request is answered, the process that was started stays, and in the end only one program is left."""
    running = service(workers=2)
    with Clients(running.port) as clients:
        for _ in range(5):
            serving = running.upgrade()
    assert clients.failures == []
    assert clients.answered["kept"] > 100
    assert clients.answered["fresh"] > 100
    assert clients.closed >= 5
    assert running.process.poll() is None
    assert eventually(lambda: children(running.process.pid) == [serving])
    assert len(running.family()) == 2 + 2 + 1  # the relay, the supervisor, two workers, the control process
    assert get(f"{running.admin}/readyz")[0] == 200
    assert running.stop() == 0, running.log
    assert not living(serving)


@pytest.mark.quiet
@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("configuration", "the new program ended with code 2"),
        ("import", "the new program ended with code 1"),
        ("hangs", "the new program did not become ready in time"),
        ("dies", "the new program (ended right after its start|was killed by SIGKILL)"),
    ],
)
def test_a_program_that_cannot_start_changes_nothing(service, tmp_path, mode, why):
    """The old one goes on, with a new control process; revocations can be made again, and a later upgrade succeeds."""
    running = service(workers=2, state_directory="state", revocation={}, hasty=mode == "hangs")
    with Clients(running.port) as clients:
        if mode == "configuration":
            (tmp_path / "lbjwt.json").write_text('{"listeners": 7}')
        running.mode(mode)
        running.upgrade(FAILED + why)
        assert get(f"{running.admin}/readyz")[0] == 200
        assert post(running, {"jti": "one"}) == 200
        running.configure()
        running.mode("")
        running.patient()
        running.upgrade()
        assert post(running, {"jti": "two"}) == 200
    assert clients.failures == []
    assert running.stop() == 0, running.log


def post(running, entry, path="/revocations"):
    connection = http.client.HTTPConnection(running.admin.removeprefix("http://"), timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(entry), {"Content-Type": "application/json"})
        return connection.getresponse().status


@pytest.mark.parametrize("place", ["configured", "temporary"])
def test_revocations_survive(service, tmp_path, place):
    """Also those in a temporary state directory, which goes with the program that ends last."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    more = {"state_directory": "state"} if place == "configured" else {}
    running = service(revocation={}, environment={"TMPDIR": str(temporary)}, **more)
    assert running.ask() == 200
    assert post(running, {"issuer": "i", "issued_before": int(time.time()) + 30}) == 200
    assert eventually(lambda: running.ask() == 401)
    for _ in range(2):
        running.upgrade()
        assert running.ask() == 401
    assert len(list(temporary.glob("lbjwt-*"))) == (place == "temporary")
    assert running.stop() == 0, running.log
    assert list(temporary.iterdir()) == []


def test_a_locked_directory_stays_locked(service, tmp_path):
    """After an upgrade another service is refused the state directory, and what was set at run time is found there; after the end it is free."""
    running = service(revocation={}, state_directory="state")
    endpoint = running.configuration["clusters"]["main"]["endpoints"][0]["address"]
    assert post(running, {"weight": 7}, f"/clusters/main/endpoints/{endpoint}") == 200
    running.upgrade()
    assert json.loads(get(f"{running.admin}/status")[2])["endpoints"][0]["weight"] == 7
    other = tmp_path / "other"
    other.mkdir()
    (other / "jwks.json").write_text(JWKS)
    configuration = {**running.configuration, "state_directory": str(tmp_path / "state")}
    (other / "lbjwt.json").write_text(json.dumps(configuration))
    command = ["-m", "lbjwt", "serve", "lbjwt.json"]
    second = LoggedProcess(command, other)
    assert second.end() == 2
    assert "another lbjwt uses" in second.log, second.log
    assert running.stop() == 0, running.log
    third = LoggedProcess(command, other)
    third.wait_for("ready: 1 worker")
    third.process.send_signal(signal.SIGTERM)
    assert third.end() == 0


@pytest.mark.quiet
def test_the_number_of_workers_may_change(service):
    """More, fewer, and fewer by no whole ratio: no connection is lost, also of those queued where no worker is any more."""
    running = service(workers=1)
    with Clients(running.port, kept=2, fresh=6, pause=0.0) as clients:
        for workers in (3, 2, 4, 1):
            running.configure(workers=workers)
            running.upgrade()
            running.wait_for(rf"ready: {workers} worker")
    assert clients.failures == []
    assert clients.answered["fresh"] > 200
    assert running.stop() == 0, running.log


def refuses(port):
    """Nobody listens there."""
    with socket.socket() as client:
        client.settimeout(30)
        return client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def asked(path):
    """The status of a question at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(path))
        head = f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n\r\n"
        connection.sendall(head.encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_a_listener_may_come_and_go(service):
    """The new program opens what the new configuration has, and does not keep what it has not. A path is handed on like an address."""
    with short_directory() as directory:
        path, leaves = directory / "a.sock", directory / "b.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))  # as by a process that was killed
        one, two = (
            {"address": f"unix:{at}", "mode": "authorize", "authorize": {"profile": "envoy"}} for at in (path, leaves)
        )
        running = service(workers=2)
        other = free_port()
        first = running.configuration["listeners"]
        for listeners in ([{**one, "socket_mode": "0600"}, two], [one]):
            running.configure(listeners=[*first, *listeners])
            running.process.send_signal(signal.SIGHUP)
            assert eventually(lambda there=two in listeners: leaves.exists() is there, 60.0), running.log
        assert eventually(lambda: path.stat().st_mode & 0o777 == 0o660, 60.0)
        assert eventually(lambda: [asked(path) for _ in range(8)] == [200] * 8, 60.0)
        first = [*first, one]
        running.configure(listeners=[*first, {"address": f"127.0.0.1:{other}", "health": {"path": "/up"}}])
        running.upgrade()
        assert get(f"http://127.0.0.1:{other}/up")[0] == 200
        assert [asked(path) for _ in range(8)] == [200] * 8
        running.configure(listeners=first)
        running.upgrade()
        # the old program says that it has drained, and then closes what it has
        assert eventually(lambda: refuses(other))
        assert running.ask() == 200
        assert asked(path) == 200
        assert running.stop() == 0, running.log
        assert list(directory.iterdir()) == []


def test_what_is_under_way_gets_its_response_from_the_old_program(service, scene):
    """A response that takes longer than the upgrade. Meanwhile a second upgrade is refused, and a health check on a kept connection says ready."""
    running = service(timeouts={"drain": "60s"})  # it ends with the response
    slow = http.client.HTTPConnection(f"127.0.0.1:{running.port}", timeout=30)
    checks = http.client.HTTPConnection(f"127.0.0.1:{running.port}", timeout=30)
    with contextlib.closing(slow), contextlib.closing(checks):
        slow.request("GET", "/slow", headers={"Authorization": f"Bearer {token()}"})
        assert scene.asked.wait(60)
        checks.request("GET", "/up")
        response = checks.getresponse()
        assert (response.status, response.read()) == (200, b"ready\n")
        running.mode("waits")
        running.process.send_signal(signal.SIGUSR2)
        running.wait_for("the new program starts")
        running.process.send_signal(signal.SIGUSR2)
        running.wait_for("SIGUSR2: an upgrade is under way already")
        running.mode("")
        running.wait_for(UPGRADED)

        def is_told_to_leave() -> bool:
            checks.request("GET", "/up")
            response = checks.getresponse()
            assert (response.status, response.read()) == (200, b"ready\n")
            return response.headers["Connection"] == "close"

        assert eventually(is_told_to_leave)  # the old worker hears a moment after the log that it drains
        scene.release.set()
        response = slow.getresponse()
        assert (response.status, response.read(), response.headers["Connection"]) == (200, b"hello", "close")
    running.wait_for("supervisor.: drained")
    assert running.count(UPGRADED) == 1
    assert running.stop() == 0, running.log


def test_fetched_keys_survive_an_issuer_that_is_down(service):
    """The new program starts with the keys that the old one had fetched, without a state directory."""
    port = free_port()
    issuer = {
        "issuer": "i",
        "audiences": ["a"],
        "remote_jwks": {"uri": f"http://127.0.0.1:{port}/jwks", "timeout": "1s"},
    }
    with http_server(port, JWKS.encode()):
        running = service(issuers={"main": issuer})
        assert eventually(lambda: running.ask() == 200)
    running.upgrade()
    assert running.ask() == 200
    assert get(f"{running.admin}/readyz")[0] == 200
    assert running.stop() == 0, running.log


def test_a_program_without_keys_does_not_replace_one_that_has_them(service):
    """The new configuration names an issuer that cannot be asked: nothing would be served, so the old program goes on."""
    running = service(hasty=True)
    uri = f"http://127.0.0.1:{free_port()}/jwks"
    running.configure(
        issuers={"main": {"issuer": "i", "audiences": ["a"], "remote_jwks": {"uri": uri, "timeout": "1s"}}}
    )
    running.upgrade(FAILED)
    assert running.ask() == 200
    assert running.stop() == 0, running.log


@pytest.mark.quiet
@pytest.mark.parametrize("moment", ["before it is ready", "while both serve"])
def test_sigterm_during_an_upgrade_ends_both(service, moment):
    """The new program ends too, with the drain of the old one, and nothing is left."""
    running = service()
    if moment == "before it is ready":
        running.mode("hangs")
    running.process.send_signal(signal.SIGUSR2)
    new = int(running.wait_for(r"the new program starts as process (\d+)")[1])
    if moment == "while both serve":
        assert eventually(lambda: running.count("ready: 1 worker") == 2, 30.0)
    told = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 0
    assert time.monotonic() - told < 6.0
    assert not living(new)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port), timeout=5)


def test_the_process_that_was_started_ends_with_the_code_of_the_last_program(service):
    """A supervisor that is killed after an upgrade: exit code 1, as if the service had been killed."""
    running = service()
    serving = running.upgrade()
    os.kill(serving, signal.SIGKILL)
    assert running.end() == 1
    assert f"process {serving} was killed by SIGKILL" in running.log


@pytest.mark.quiet
def test_without_the_process_that_was_started_the_service_ends(service):
    """Nobody can signal the service any more: it drains, and the port is free."""
    running = service()
    running.upgrade()
    serving = running.upgrade()
    running.process.kill()
    assert eventually(lambda: not living(serving), 10.0)
    running.end()
    assert "the process that stands for the service is gone" in running.log


@pytest.mark.quiet
def test_as_the_first_process_of_a_container(service):
    """Process 1 stays, passes signals on, and buries orphans; three upgrades, one of them to a broken program."""
    if subprocess.run(["unshare", "--pid", "--fork", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs unshare(1) of util-linux, and the right to make a PID namespace (root, or CAP_SYS_ADMIN)")
    program = "import os, sys\nos.execvp('unshare', ['unshare', '--pid', '--fork', sys.executable, 'program.py'])\n"
    running = service(wrapper=["-c", program], environment={"NOTIFY_SOCKET": "@nobody-listens-there"})
    (first,) = children(running.process.pid)
    with Clients(running.port, kept=1, fresh=1) as clients:
        for mode, outcome in (("", UPGRADED), ("import", FAILED), ("", UPGRADED)):
            running.mode(mode)
            before = running.count(outcome)
            os.kill(first, signal.SIGUSR2)
            assert eventually(lambda: running.count(outcome) > before, 30.0), running.log  # noqa: B023
            if outcome == UPGRADED:
                assert eventually(lambda: len(children(first)) == 1, 10.0)
    assert clients.failures == []
    os.kill(first, signal.SIGTERM)
    assert running.end() == 0
    assert running.count("supervisor.: stopped") == 1, running.log


@pytest.mark.quiet
def test_systemd_is_told_who_follows(service, tmp_path):
    """READY=1 at the start, MAINPID= of the new program from the old one, which then ends; STOPPING=1 at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        running = service(environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert manager.recv(100) == b"READY=1"
        running.process.send_signal(signal.SIGUSR2)
        new = int(running.wait_for(UPGRADED)[1])
        said = {manager.recv(100), manager.recv(100)}
        assert said == {b"READY=1", b"MAINPID=%d" % new}
        assert running.process.wait(30) == 0
        assert living(new)
        assert running.ask() == 200
        os.kill(new, signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
        assert eventually(lambda: not living(new), 10.0)


def test_signals_go_to_the_program_that_serves(service, tmp_path):
    """SIGUSR1 to the process that was started: the new program reopens its access log."""
    running = service(access_log={"path": "access.log"})
    running.upgrade()
    assert running.ask() == 200
    (tmp_path / "access.log").rename(tmp_path / "access.1")
    running.process.send_signal(signal.SIGUSR1)
    assert eventually((tmp_path / "access.log").exists)
    assert running.stop() == 0, running.log


def test_a_variable_that_is_not_meant_for_it_prevents_a_start(tmp_path):
    """What claims to be left by another program, and is not: exit code 1, with the cause."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        left = {"format": 1, "parent": os.getpid() + 1, "link": theirs.fileno(), "listeners": [], "admin": None}
        for text, why in (
            ("{", "LBJWT_UPGRADE cannot be read"),
            (json.dumps({"format": 99}), "LBJWT_UPGRADE is in the format of another version"),
            (json.dumps(left), "LBJWT_UPGRADE"),
        ):
            process = Service(tmp_path, environment={"LBJWT_UPGRADE": text}, clusters=NOWHERE)
            assert process.end() == 1
            assert f"cannot take over: {why}" in process.log


NOWHERE = {"main": {"endpoints": [{"address": "127.0.0.1:9"}]}}


def test_a_reload_works_after_an_upgrade(service):
    """With a listener that came by the reload, and another upgrade that takes it over."""
    running = service(workers=2)
    running.upgrade()
    other = free_port()
    first = running.configuration["listeners"]
    running.configure(listeners=[*first, {"address": f"127.0.0.1:{other}", "health": {"path": "/up"}}])
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("configuration reloaded: 1 change")
    assert get(f"http://127.0.0.1:{other}/up")[0] == 200
    with Clients(running.port, kept=1, fresh=1) as clients:
        running.upgrade()
        assert get(f"http://127.0.0.1:{other}/up")[0] == 200
        running.configure(workers=3)
        running.upgrade()
        running.configure(workers=2, listeners=first)
        running.upgrade()
    assert clients.failures == []
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("configuration reloaded: no changes")
    assert running.stop() == 0, running.log


def test_a_file_that_changes_during_an_upgrade_is_told_once_and_read_afterwards(service):
    """`watch: true`, and a new program that does not become ready: one line for four looks at the file, and the reload afterwards."""
    running = service(watch=True)
    running.mode("hangs")
    running.process.send_signal(signal.SIGUSR2)
    new = int(running.wait_for(r"the new program starts as process (\d+)")[1])
    running.configure(realm="other")
    running.wait_for("the configuration file has changed")
    time.sleep(3)  # further looks, which say nothing
    assert FAILED not in running.log
    os.kill(new, signal.SIGKILL)  # only now, however late the first look was
    running.wait_for("configuration reloaded: 1 change: realm changed")
    assert FAILED in running.log.partition("configuration reloaded")[0]
    assert running.count("the configuration file has changed") == 1
    assert running.stop() == 0, running.log


def test_signals_during_an_upgrade_reach_the_new_program(service):
    """The new program may have read the file and opened the log before: it reloads and reopens once it serves."""
    running = service()
    running.mode("waits")
    running.process.send_signal(signal.SIGUSR2)
    running.wait_for("SIGUSR2: upgrading")
    running.process.send_signal(signal.SIGHUP)
    running.process.send_signal(signal.SIGUSR1)
    running.wait_for("SIGUSR1: workers reopen")
    running.mode("")
    running.wait_for(UPGRADED)
    running.wait_for("configuration reloaded: no changes")
    assert eventually(lambda: running.count("SIGUSR1: workers reopen") == 2), running.log
    assert running.stop() == 0, running.log


def test_a_reload_during_an_upgrade_is_answered_when_no_program_judges_by_the_old_configuration(service):
    """Both programs serve: one client has a kept connection to the old one, one has sent half a head there. New clients may get to either."""
    running = service(workers=2)
    head = f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n".encode()
    with contextlib.ExitStack() as stack:
        kept, half = (
            stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=30)) for _ in range(2)
        )
        kept.sendall(head + b"\r\n")
        assert kept.recv(4096).startswith(b"HTTP/1.1 200 ")
        half.sendall(head)
        running.process.send_signal(signal.SIGUSR2)
        assert eventually(lambda: running.count("ready: 2 workers") == 2, 60.0), running.log
        running.configure(issuers={"main": {"issuer": "i", "audiences": ["other"], "jwks_file": "jwks.json"}})
        assert post(running, {}, "/reload") == 200
        assert [running.ask() for _ in range(20)] == [401] * 20
        assert b" 200 " not in last_answer(kept, head + b"\r\n")
        assert b" 200 " not in last_answer(half, b"\r\n")
    assert running.stop() == 0, running.log


def last_answer(sock, data):
    """What comes on a connection that may have been closed."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        sock.sendall(data)
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(4096):
            answer += part
    return answer


def test_a_reload_during_an_upgrade_that_fails_takes_no_listener_from_the_old_program(service):
    """The new program is told to remove a listener, and dies: the old one goes on with it, and removes it when it reads the file."""
    port = free_port()
    first = {"address": "127.0.0.1:0", "health": {"path": "/up"}}
    second = {"address": f"127.0.0.1:{port}", "health": {"path": "/up"}}
    running = service(listeners=[first, second], watch=False, settles=True)
    running.process.send_signal(signal.SIGUSR2)
    new = int(running.wait_for(r"the new program starts as process (\d+)")[1])
    assert eventually(lambda: running.count("ready: 1 worker") == 2, 60.0), running.log
    running.configure(listeners=[first])
    os.kill(new, signal.SIGHUP)
    time.sleep(0.3)  # it would have reloaded by now
    os.kill(new, signal.SIGKILL)
    running.wait_for(FAILED)
    assert get(f"http://127.0.0.1:{port}/up")[0] == 200
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("configuration reloaded: 1 change")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert running.stop() == 0, running.log
