"""The supervisor with a toy worker: who is replaced, what survives a kill, and how it ends."""

import contextlib
import itertools
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.harness.ports import free_port
from tests.harness.procfs import network_sockets
from tests.harness.waiting import eventually
from tests.integration.logged import LoggedProcess

ROOT = Path(__file__).parents[2]

# A worker without a loop: answers each line with its process id; lines that are commands make it misbehave.
TOY = """
import os, select, signal, sys, time
from lbjwt.config.model import Configuration
from lbjwt.observe._board import DRAINING, READY
from lbjwt.process.supervisor import run

mode, folder, drain, workers, port = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5]

def worker(shared, slot):
    bindings, board = shared.bindings, shared.board
    with open(f"{folder}/starts", "a") as file:
        file.write(f"{slot} {os.getpid()} {time.monotonic()}\\n")
    if mode == "wrong":
        return 2
    if mode == "sick" and slot == 1 or mode == "dead":
        return 1
    if mode == "shot":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "later" and os.path.exists(f"{folder}/broken"):
        return 1
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: (stopping.append(1), board.set_state(DRAINING)))
    signal.signal(signal.SIGUSR1, lambda *_: open(f"{folder}/reopened", "a").write("x"))
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    socks = bindings.slots[slot][0]
    while mode == "late" and not os.path.exists(f"{folder}/go"):
        time.sleep(0.02)
    for sock in socks:
        sock.listen(128)
    board.set_keys(1, 1.0)
    board.set_state(READY)
    poll = select.poll()
    for sock in socks:
        poll.register(sock, select.POLLIN)
    by_fd = {sock.fileno(): sock for sock in socks}
    while not stopping:
        for fd, _ in poll.poll(50):
            try:
                client, _ = by_fd[fd].accept()
            except BlockingIOError:
                continue
            client.setblocking(True)
            line = client.recv(100).strip()
            board.add("requests", 1, 2)
            if line == b"state":
                client.sendall(f"{board.ready} {board.draining} {board.restarts} {sum(board.totals()['requests'])}".encode())
            elif line == b"wait":
                open(f"{folder}/waits", "w").close()
                while not (stopping and os.path.exists(f"{folder}/go")):
                    time.sleep(0.02)
                client.sendall(f"{board.ready} {board.draining}".encode())
            else:
                client.sendall(b"%d" % os.getpid())
            client.close()
    return 0

if mode == "unforkable":
    def fork():
        raise BlockingIOError(11, "Resource temporarily unavailable")
    os.fork = fork

configuration = Configuration(
    listeners=[{"address": f"127.0.0.1:{port}"}],
    issuers={"main": {"any_issuer": True, "any_audience": True, "jwks_file": "unused.json"}},
    clusters={"main": {"endpoints": [{"address": "127.0.0.1:1"}]}},
    timeouts={"drain": drain},
    workers=workers,
)
sys.exit(run(configuration, worker=worker))
"""


class Supervisor(LoggedProcess):
    """A supervisor of toy workers."""

    def __init__(self, folder, mode="good", *, drain=5.0, workers=1, port="0", environment=None):
        self.folder = folder
        script = folder / "toy.py"
        script.write_text(TOY)
        super().__init__([str(script), mode, str(folder), str(drain), str(workers), port], environment=environment)

    @property
    def port(self):
        return int(self.wait_for(r"listeners\[0\] on 127\.0\.0\.1:(\d+)")[1])

    def up(self):
        self.wait_for(r"INFO lbjwt\[supervisor\]: ready:")
        return self

    def ask(self, line=b"pid", seconds=5.0):
        """What a worker answers; "" when it hung up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as client:
            client.sendall(line + b"\n")
            return client.recv(100).decode()

    def ask_until_answered(self, seconds=30.0):
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                if answer := self.ask(seconds=max(0.1, deadline - time.monotonic())):
                    return answer
            assert time.monotonic() < deadline, self.log

    def refuses(self):
        """New clients find no listening socket. One that was queued before stays so."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        return False

    def starts(self):
        """Slot, process id and time of every worker that was forked."""
        return [
            (int(slot), int(pid), float(at))
            for slot, pid, at in map(str.split, (self.folder / "starts").read_text().splitlines())
        ]

    def send(self, number):
        self.process.send_signal(number)


@pytest.fixture
def supervise(tmp_path):
    """Makes supervisors and leaves none of their processes behind."""
    made = []

    def make(*arguments, **options):
        made.append(Supervisor(tmp_path, *arguments, **options))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
        if (tmp_path / "starts").exists():
            for _, pid, _ in one.starts():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        one.end()


def gone(pid):
    """True for a process that ended (a zombie of somebody else's counts as ended)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.quiet
def test_a_killed_worker_is_replaced_within_a_second(supervise):
    """SIGKILL of a worker: another one serves a second later, counters stay, the restart is counted and logged."""
    supervisor = supervise().up()
    first = int(supervisor.ask())
    time.sleep(1.0)  # two forks of a slot are a second apart
    killed = time.monotonic()
    os.kill(first, signal.SIGKILL)
    second = int(supervisor.ask_until_answered())
    assert time.monotonic() - killed < 1.0
    assert second != first
    _, _, restarts, requests = supervisor.ask(b"state").split()
    assert restarts == "1"
    assert int(requests) == 3
    supervisor.wait_for(rf"worker 0 \(process {first}\) was killed by SIGKILL")


def test_connections_queued_on_a_killed_worker_are_served_by_its_successor(supervise):
    """Of forty connections waiting on a frozen worker that is then killed, none is reset."""
    supervisor = supervise().up()
    first = int(supervisor.ask())
    os.kill(first, signal.SIGSTOP)
    clients = []
    for _ in range(40):
        client = socket.create_connection(("127.0.0.1", supervisor.port), timeout=30)
        client.sendall(b"pid\n")
        clients.append(client)
    os.kill(first, signal.SIGKILL)
    answers = set()
    for client in clients:
        with client:
            answers.add(client.recv(100).decode())
    assert len(answers) == 1
    assert answers != {str(first)}
    assert "" not in answers


def test_nobody_is_queued_before_a_worker_listens(supervise):
    """Until the worker is up its port refuses, and the start is announced once with the port the kernel chose."""
    supervisor = supervise("late")
    port = supervisor.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    (supervisor.folder / "go").touch()
    supervisor.up()
    assert supervisor.ask()
    assert supervisor.log.count("ready: 1 worker, 1 endpoint") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(supervise, number):
    """SIGTERM and SIGINT: not ready at once, new clients are refused, the request under way is answered, exit code 0."""
    supervisor = supervise(drain=60.0).up()
    with socket.create_connection(("127.0.0.1", supervisor.port), timeout=30) as client:
        client.sendall(b"wait\n")
        assert eventually((supervisor.folder / "waits").exists)
        supervisor.send(number)
        assert eventually(supervisor.refuses)
        (supervisor.folder / "go").touch()
        assert client.recv(100) == b"False True"
    assert supervisor.end() == 0
    assert "draining for at most 60 s" in supervisor.log
    assert supervisor.log.rstrip().endswith("stopped")


def test_a_second_signal_ends_it_now(supervise):
    """Twice SIGTERM: over long before the drain is, although a worker is busy for longer, exit code 0, no process left."""
    supervisor = supervise("stubborn", drain=60.0).up()
    pid = int(supervisor.ask())
    supervisor.send(signal.SIGTERM)
    supervisor.wait_for("draining")
    time.sleep(0.2)  # a repetition within a tenth of a second is an echo
    assert supervisor.process.poll() is None
    started = time.monotonic()
    supervisor.send(signal.SIGTERM)
    assert supervisor.end() == 0
    assert time.monotonic() - started < 30.0
    assert gone(pid)


@pytest.mark.quiet
def test_a_drain_has_a_hard_end(supervise):
    """A worker that does not end by itself is killed a second after ``timeouts.drain``, and the exit code tells."""
    supervisor = supervise("stubborn", drain=0.1).up()
    pid = int(supervisor.ask())
    started = time.monotonic()
    supervisor.send(signal.SIGTERM)
    assert supervisor.end() == 1
    assert 1.0 < time.monotonic() - started < 2.0
    assert gone(pid)
    assert "killed" in supervisor.log


def test_a_port_in_use_ends_the_start(supervise):
    """Exit code 1 and a sentence with the key and the address."""
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        supervisor = supervise(port=str(port))
        assert supervisor.end() == 1
    assert f"listeners[0].address: cannot listen on 127.0.0.1:{port}: the port is in use" in supervisor.log


def test_no_start_with_hash_randomisation_off(supervise):
    """PYTHONHASHSEED=0 is refused with exit code 2 (hash flooding, THREATS D8)."""
    supervisor = supervise(environment={"PYTHONHASHSEED": "0"})
    assert supervisor.end() == 2
    assert "PYTHONHASHSEED" in supervisor.log


def test_a_wrong_key_file_ends_the_start(supervise):
    """Workers that say "wrong configuration" before anything served end the whole start with exit code 2, each after one try."""
    supervisor = supervise("wrong", workers=2)
    assert supervisor.end() == 2
    slots = [slot for slot, _, _ in supervisor.starts()]  # the second may be stopped before it said anything
    assert len(slots) == len(set(slots))


@pytest.mark.parametrize(
    ("mode", "cause"), [("dead", "ended with code 1"), ("shot", "was killed by SIGKILL")], ids=["failed", "killed"]
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_first_start_that_no_worker_survives_ends(supervise, mode, cause, workers):
    """Whatever ended them: every worker has one try, then the service ends with exit code 1 and the cause."""
    supervisor = supervise(mode, workers=workers)
    assert supervisor.end() == 1
    assert sorted(slot for slot, _, _ in supervisor.starts()) == list(range(workers))
    assert re.search(rf"{cause}; no worker could start: the service ends with exit code 1", supervisor.log)


def test_a_first_start_without_a_process_to_be_had_ends(supervise):
    """No fork (a limit of processes, no memory): the cause and exit code 1."""
    supervisor = supervise("unforkable")
    assert supervisor.end() == 1
    assert "cannot start the worker 0: Resource temporarily unavailable; no worker could start" in supervisor.log


def test_a_worker_that_dies_later_is_replaced_until_it_can_start_again(supervise, tmp_path):
    """Once a worker was ready, failing starts end nothing: it is tried again until the cause is mended."""
    supervisor = supervise("later").up()
    (tmp_path / "broken").touch()
    os.kill(int(supervisor.ask()), signal.SIGKILL)
    supervisor.wait_for("ended with code 1; the next one starts")
    (tmp_path / "broken").unlink()
    assert supervisor.ask_until_answered()


@pytest.mark.quiet
def test_a_slot_that_dies_at_start_is_no_fork_bomb_and_disturbs_nobody(supervise):
    """One slot of two always fails at start: about a fork a second there, and the other worker answers every client."""
    supervisor = supervise("sick", workers=2)
    healthy = supervisor.ask_until_answered()

    def forks() -> list[float]:
        return [at for slot, _, at in supervisor.starts() if slot == 1]

    answers = []
    assert eventually(lambda: answers.append(supervisor.ask()) or len(forks()) >= 3)
    assert set(answers) == {healthy}
    # a child notes the time some while after its fork
    assert all(later - earlier > 0.5 for earlier, later in itertools.pairwise(forks()))
    assert "worker 1" in supervisor.log
    supervisor.send(signal.SIGTERM)
    assert supervisor.end() == 0


def test_workers_end_with_a_supervisor_that_is_killed(supervise, tmp_path):
    """SIGKILL of the supervisor: workers drain and go, and the port can be had again."""
    port = free_port()
    supervisor = supervise(workers=2, port=str(port)).up()
    pids = [pid for _, pid, _ in supervisor.starts()]
    supervisor.send(signal.SIGKILL)
    assert supervisor.end() == -signal.SIGKILL
    assert eventually(lambda: all(map(gone, pids)))
    again = supervise(port=str(port)).up()
    assert again.ask()
    again.send(signal.SIGTERM)
    assert again.end() == 0


def test_other_signals(supervise, tmp_path):
    """SIGUSR1 reaches every worker and leaves the service as it is."""
    supervisor = supervise(workers=2).up()
    supervisor.send(signal.SIGUSR1)
    reopened = tmp_path / "reopened"
    assert eventually(lambda: reopened.exists() and reopened.read_text() == "xx")
    assert supervisor.ask()
    assert len(supervisor.starts()) == 2
    supervisor.send(signal.SIGTERM)
    assert supervisor.end() == 0


def test_the_file_limit_is_raised_and_slots_hold_only_their_own_sockets(supervise):
    """Soft and hard limit of open files agree in a worker, and of two slots' sockets each worker keeps one."""
    supervisor = supervise(workers=2).up()
    for _, pid, _ in supervisor.starts():
        limits = next(
            line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max open files")
        ).split()
        assert limits[3] == limits[4]
        assert len(network_sockets(pid)) == 1
        descriptors = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        assert sum(name.startswith("pipe:") for name in descriptors) <= 2  # standard output and error
