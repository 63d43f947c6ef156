"""The keeper under its supervisor: who waits while it is replaced, when it ends, and what its life and death mean to the workers."""

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import stat
import time
from pathlib import Path

import pytest

from tests.harness.ports import free_port
from tests.harness.procfs import children, is_alive, name_of, network_sockets
from tests.harness.waiting import eventually
from tests.integration.logged import LoggedProcess


class Service(LoggedProcess):
    """A service of the program in `keeper_scene`."""

    def __init__(self, folder, **changes):
        self.folder = folder
        temporary = folder / "temporary"
        temporary.mkdir(exist_ok=True)
        super().__init__(
            ["-m", "tests.integration.keeper_scene", str(folder), json.dumps(changes)],
            environment={"TMPDIR": str(temporary)},
        )

    def up(self):
        """Workers and keeper are ready."""
        self.wait_for(r"INFO lbjwt\[supervisor\]: ready:")
        self.get("/livez")
        return self

    @property
    def admin(self):
        return int(self.wait_for(r"admin on 127\.0\.0\.1:(\d+)")[1])

    def get(self, path):
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def status(self):
        return json.loads(self.get("/status")[1])

    def notes(self, name):
        path = self.folder / name
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def order(self, name):
        (self.folder / name).touch()

    def processes(self, name):
        return [pid for pid in children(self.process.pid) if name_of(pid) == name]

    @property
    def keeper(self):
        (pid,) = self.processes("lbjwt-keeper")
        return pid

    @property
    def workers(self):
        return self.processes("lbjwt-worker")

    def send(self, number):
        self.process.send_signal(number)

    def finish(self):
        """Drain and end; the exit code."""
        self.order("release")
        self.send(signal.SIGTERM)
        return self.end()


@pytest.fixture
def serve(tmp_path):
    """Makes services and leaves none of their processes behind."""
    made = []

    def make(folder=tmp_path, **changes):
        folder.mkdir(exist_ok=True)
        made.append(Service(folder, **changes))
        return made[-1]

    yield make
    for one in made:
        one.order("release")  # workers of a supervisor that was killed drain
        if one.process.poll() is None:
            pids = children(one.process.pid)
            one.process.kill()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        one.end()


def test_a_killed_keeper_is_replaced_and_nobody_at_the_door_is_lost(serve):
    """Twenty clients came while the keeper stood still; it is killed, and each is answered by the next. Workers and readiness know nothing of it."""
    service = serve(workers=2).up()
    first, workers = service.keeper, service.workers
    assert service.get("/pid") == (200, str(first))
    os.kill(first, signal.SIGSTOP)
    clients = []
    for _ in range(20):
        client = socket.create_connection(("127.0.0.1", service.admin), timeout=60)
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        clients.append(client)
    os.kill(first, signal.SIGKILL)
    for client in clients:
        with client, client.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
    assert service.keeper != first
    assert service.workers == workers
    service.wait_for(rf"control process \(process {first}\) was killed by SIGKILL")
    service.wait_for("the control process is ready again")
    found = service.status()
    assert (found["keeper_restarts"], found["worker_restarts"], found["ready"]) == (1, 0, True)
    assert [worker["slot"] for worker in found["workers"]] == [0, 1]
    assert 'lbjwt_workers{state="ready"} 2.0' in service.get("/metrics")[1]
    assert service.log.count("ready: 2 workers") == 1
    assert service.finish() == 0


@pytest.mark.parametrize("whole_group", [False, True], ids=["supervisor", "whole group"])
def test_the_door_answers_until_the_last_worker_is_gone(serve, whole_group):
    """During a drain /readyz says draining, also when an init system sent SIGTERM to all; then workers end, then the keeper, with exit code 0."""
    service = serve(workers=2, timeouts={"drain": "60s"}).up()
    if whole_group:
        for pid in (service.keeper, *service.workers):
            os.kill(pid, signal.SIGTERM)
    service.send(signal.SIGTERM)
    service.wait_for("draining")
    assert service.get("/readyz") == (503, "draining\n")
    assert eventually(lambda: all(worker["state"] == "draining" for worker in service.status()["workers"]))
    assert service.notes("stops") == []
    service.order("release")
    assert service.end() == 0
    ended = [float(at) for _, at in service.notes("ended")]
    stopped = [float(at) for _, at in service.notes("stops")]
    assert len(ended) == len(stopped) == 2
    assert max(ended) < min(stopped)
    assert [name for name, _ in service.notes("stops")] == ["store", "fetcher"]


def test_sigterm_is_not_meant_for_the_keeper(serve):
    """SIGTERM, SIGINT, SIGHUP and SIGUSR1 to the keeper alone change nothing."""
    service = serve().up()
    keeper = service.keeper
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        os.kill(keeper, number)
    assert service.get("/pid") == (200, str(keeper))
    assert service.finish() == 0


def test_a_second_signal_ends_the_keeper_too(serve):
    """Twice SIGTERM with workers that never end: over long before the drain is, exit code 0, nobody left."""
    service = serve(timeouts={"drain": "60s"}).up()
    pids = [service.keeper, *service.workers]
    service.send(signal.SIGTERM)
    service.wait_for("draining")
    time.sleep(0.2)  # a repetition within a tenth of a second is an echo
    started = time.monotonic()
    service.send(signal.SIGTERM)
    assert service.end() == 0
    assert time.monotonic() - started < 30.0
    assert not any(map(is_alive, pids))


def test_a_client_at_the_door_does_not_hold_up_the_end(serve):
    """A request that is answered never and a kept connection: the keeper ends all the same, with exit code 0."""
    service = serve().up()
    with (
        socket.create_connection(("127.0.0.1", service.admin)) as slow,
        socket.create_connection(("127.0.0.1", service.admin)) as idle,
    ):
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(100)
        assert eventually(lambda: service.notes("asked"))
        assert service.finish() == 0
    assert "killed" not in service.log


def test_a_keeper_that_does_not_end_is_killed(serve):
    """A second after the last worker, and the exit code tells."""
    service = serve(mode="stubborn").up()
    keeper = service.keeper
    assert service.finish() == 1
    assert "killed: control process" in service.log
    assert not is_alive(keeper)


def test_the_keeper_ends_with_a_supervisor_that_is_killed(serve):
    """SIGKILL of the supervisor: everything in it is stopped, the keeper is gone, and the port is free."""
    port = free_port()  # nobody else takes it once it is free, as may happen to one that the kernel chose
    service = serve(admin={"address": f"127.0.0.1:{port}"}).up()
    keeper = service.keeper
    service.order("release")
    pids = [keeper, *service.workers]
    service.send(signal.SIGKILL)
    assert service.end() == -signal.SIGKILL
    assert eventually(lambda: not any(map(is_alive, pids)))
    assert [name for name, _ in service.notes("stops")] == ["store", "fetcher"]
    socket.create_server(("127.0.0.1", port)).close()


def test_a_start_that_makes_no_sense_ends_it_all(serve):
    """What can never work ends the start with exit code 2 and its sentence, also when the workers were ready first."""
    service = serve(mode="wrong")
    service.order("release")
    assert service.end() == 2
    assert "ERROR lbjwt[control process]: the revocations on disk make no sense" in service.log
    assert len(service.notes("keepers")) == 1


def test_a_keeper_that_dies_at_start_is_no_fork_bomb_and_disturbs_nobody(serve):
    """It is tried again with growing rest, never twice a second, and the workers serve on."""
    service = serve(mode="sick", workers=2)
    service.wait_for("ready: 2 workers")
    assert eventually(lambda: len(service.notes("keepers")) >= 2)
    starts = [float(at) for *_, at in service.notes("keepers")]
    assert all(later - earlier > 0.9 for earlier, later in itertools.pairwise(starts))
    assert len(service.workers) == 2
    assert len(service.notes("workers")) == 2
    assert "cannot start: Input/output error" in service.log
    service.order("release")
    service.send(signal.SIGTERM)
    assert service.end() == 0


def test_a_start_that_takes_its_time_can_be_given_up(serve):
    """SIGTERM while it starts: no wait for it, exit code 0."""
    service = serve(mode="slow")
    assert eventually(lambda: service.notes("slow"))
    assert service.finish() == 0
    assert [name for name, _ in service.notes("stops")] == ["fetcher"]


def test_a_wish_reaches_the_keeper_and_its_answer_every_worker(serve):
    """A worker wants, the keeper counts a fetch and notifies, all workers see it; a fault of it there does not end it."""
    service = serve(workers=2).up()
    service.order("want1")
    assert eventually(
        lambda: {(slot, fetches) for slot, fetches, _ in service.notes("woken")} == {("0", "1"), ("1", "1")}
    )
    keeper = service.keeper
    service.order("break")
    service.order("want0")
    service.wait_for("notified once too often")
    assert service.get("/pid") == (200, str(keeper))
    assert service.finish() == 0


def test_a_wish_during_the_keepers_absence_is_found_by_the_next(serve):
    """What a worker wanted while the keeper stood still and died is fetched by its successor, from the count that was reached."""
    service = serve().up()
    service.order("want0")
    assert eventually(lambda: service.notes("woken"))
    keeper = service.keeper
    os.kill(keeper, signal.SIGSTOP)
    service.order("want0")
    assert eventually(lambda: not (service.folder / "want0").exists())
    os.kill(keeper, signal.SIGKILL)
    assert eventually(lambda: [fetches for _, fetches, _ in service.notes("woken")] == ["1", "2"])
    assert service.finish() == 0


def test_what_the_keeper_adds_to_the_door(serve):
    """The page of its revocations and its words about an issuer are there."""
    service = serve().up()
    (issuer,) = service.status()["issuers"]
    assert issuer["source"] == {"told by": "fetcher"}
    assert service.get("/pid")[0] == 200
    assert service.finish() == 0


@pytest.mark.parametrize("source", ["file", "URL"])
def test_workers_are_free_of_the_door_and_of_fetching(serve, tmp_path, source):
    """With an admin door and with keys behind a URL, a real worker that served has imported neither aiohttp nor what writes metrics."""
    (tmp_path / "secret").write_bytes(b"s" * 32)
    keys = (
        {"algorithms": ["HS256"], "secret_file": str(tmp_path / "secret")}
        if source == "file"
        else {"remote_jwks": {"uri": f"http://127.0.0.1:{free_port()}/jwks"}}
    )
    service = serve(mode="real", issuers={"main": {"any_issuer": True, "any_audience": True, **keys}}).up()
    assert service.get("/readyz") == ((200, "ready\n") if source == "file" else (503, "no keys\n"))
    assert service.finish() == 0
    assert [names for _, *names, _ in service.notes("modules")] == [["False", "False"]]


def test_no_keeper_without_a_need(serve):
    """A configuration with key files only: the workers, and nothing else; no eventfd, no directory."""
    service = serve(admin=None, revocation=None, workers=2)
    service.wait_for("ready: 2 workers")
    assert len(children(service.process.pid)) == len(service.workers) == 2
    assert [(wakeups, directory) for _, wakeups, directory, _ in service.notes("workers")] == [("False", "None")] * 2
    assert list((service.folder / "temporary").iterdir()) == []
    for pid in (service.process.pid, *service.workers):
        assert "anon_inode:[eventfd]" not in descriptors(pid)
    assert service.finish() == 0


def test_each_process_holds_its_own_sockets_only(serve):
    """The keeper has the door's, a worker its listener's: no queue outlives the process that serves it."""
    service = serve(workers=2).up()
    owned = network_sockets(service.process.pid)
    held = [network_sockets(pid) & owned for pid in (service.keeper, *service.workers)]
    assert [len(found) for found in held] == [1, 1, 1]
    assert set.union(*held) == owned
    assert len(owned) == 3
    assert service.finish() == 0


def descriptors(pid):
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(entry))
    return found


def test_the_state_directory_outlives_keepers_and_goes_with_the_service(serve):
    """Without a configured one: private, the same for every keeper, gone at the end; the door alone needs none."""
    service = serve().up()
    (directory,) = (service.folder / "temporary").iterdir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    os.kill(service.keeper, signal.SIGKILL)
    assert eventually(lambda: len(service.notes("keepers")) == 2)
    assert {path for _, path, _ in service.notes("keepers")} == {str(directory)}
    assert service.finish() == 0
    assert list((service.folder / "temporary").iterdir()) == []


def test_the_door_alone_needs_no_directory(serve):
    """An admin door without fetched keys or revocations writes nothing anywhere."""
    service = serve(revocation=None).up()
    assert list((service.folder / "temporary").iterdir()) == []
    assert service.finish() == 0


def test_a_state_directory_that_others_can_write_ends_the_start(serve, tmp_path):
    """Exit code 2 and what mends it, before anything is forked."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    service = serve(state_directory=str(state))
    assert service.end() == 2
    assert "chmod go-w" in service.log
    assert service.notes("workers") == []


def test_two_services_do_not_share_a_state_directory(serve, tmp_path):
    """The second is refused while the first lives; when its supervisor was killed the directory is free, although its workers still drain."""
    state = str(tmp_path / "state")
    first = serve(tmp_path / "first", state_directory=state).up()
    second = serve(tmp_path / "second", state_directory=state)
    assert second.end() == 2
    assert "another lbjwt uses" in second.log
    (worker,) = first.workers
    first.process.kill()
    first.process.wait()
    third = serve(tmp_path / "third", state_directory=state).up()
    assert is_alive(worker)
    assert third.finish() == 0
    assert (Path(state) / "keys").is_dir()
