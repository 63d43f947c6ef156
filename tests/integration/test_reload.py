"""A reload as the supervisor does it: what is handed to whom, what is told, and that nothing that goes wrong has an effect or holds anything up."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ports import free_port
from tests.harness.procfs import children
from tests.harness.waiting import eventually
from tests.integration.logged import LoggedProcess
from tests.integration.serve_scene import JWKS

BASE: dict[str, Any] = {
    "listeners": [{"address": "127.0.0.1:0"}],
    "issuers": {"main": {"issuer": "https://i.test", "audiences": ["a"], "jwks_file": "jwks.json"}},
    "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:9"}]}},
    "routes": [{"name": "rest"}],
    "timeouts": {"drain": "3s"},
}
ADMIN = {"address": "127.0.0.1:0"}


class Service(LoggedProcess):
    """The scene with a configuration that can be changed."""

    def __init__(self, folder: Path, **changed: Any) -> None:
        self.folder = folder
        (folder / "jwks.json").write_text(JWKS)
        self.configuration = {**BASE, **changed}
        self.write()
        super().__init__(["-m", "tests.integration.reload_scene", str(folder)])
        self.wait_for(r"INFO lbjwt\[supervisor\]: ready:")

    @property
    def file(self) -> Path:
        return self.folder / "lbjwt.yaml"

    def write(self, **changed: Any) -> None:
        """Replace the file by rename, as careful programs do."""
        self.configuration = {**self.configuration, **changed}
        text = json.dumps({key: value for key, value in self.configuration.items() if value is not None}, indent=1)
        (self.folder / "new").write_text(text)
        (self.folder / "new").rename(self.file)

    def hup(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def reload(self, told: str = r"configuration (not )?reloaded.*", **changed: Any) -> str:
        """Write, send SIGHUP and return the line that tells the end."""
        before = len(self.log)
        self.write(**changed)
        self.hup()
        assert eventually(lambda: re.search(told, self.log[before:])), self.log
        found = re.search(told, self.log[before:])
        assert found is not None
        return found[0]

    def notes(self, what: str = "applied") -> list[dict[str, Any]]:
        """What workers wrote down."""
        with contextlib.suppress(FileNotFoundError):
            every = [json.loads(line) for line in (self.folder / "notes").read_text().splitlines()]
            return [one for one in every if one["what"] == what]
        return []

    def order(self, word: str, slot: int = 0) -> None:
        (self.folder / f"{word}-{slot}").touch()

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.wait_for(r'admin on 127.0.0.1:([0-9]+)')[1]}"

    def ask(self, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and body, read as JSON where it is."""
        connection = http.client.HTTPConnection(self.admin.removeprefix("http://"), timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, "{}" if method == "POST" else None, headers or {})
            response = connection.getresponse()
            body = response.read().decode()
            return response.status, json.loads(body) if body.startswith("{") else body

    def command(self) -> subprocess.CompletedProcess[str]:
        """`lbjwt reload`."""
        command = [sys.executable, "-m", "lbjwt", "reload", "--admin", self.admin]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def metric(self, name: str) -> float:
        text = self.ask("/metrics")[1]
        found = re.search(rf"^lbjwt_{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert found is not None, text
        return float(found[1])


@pytest.fixture
def serve(tmp_path):
    made: list[Service] = []

    def make(**changed: Any) -> Service:
        made.append(Service(tmp_path, **changed))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            for pid in children(one.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            one.process.send_signal(signal.SIGTERM)
            try:
                one.end(20.0)
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.end()


def listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    return False


def test_every_worker_gets_what_the_file_says_now(serve):
    """A route, an issuer, a cluster and an endpoint more: one line in the log with each of them, and both workers have applied it."""
    service = serve(workers=2)
    clusters = {
        "main": {"endpoints": [{"address": "127.0.0.1:9"}, {"address": "127.0.0.1:10"}]},
        "other": {"endpoints": [{"address": "127.0.0.1:11"}]},
    }
    issuers = {**BASE["issuers"], "staff": {"issuer": "https://s.test", "audiences": ["a"], "jwks_file": "jwks.json"}}
    routes = [{"name": "rest", "cluster": "main"}, {"name": "orders", "prefix": "/orders", "cluster": "other"}]
    line = service.reload(clusters=clusters, issuers=issuers, routes=routes)
    assert line == (
        "configuration reloaded: 5 changes: issuers: staff added; clusters.main.endpoints: 127.0.0.1:10 added; clusters: other added; "
        "routes.rest: cluster added; routes: orders added"
    )
    applied = service.notes()
    assert sorted(note["slot"] for note in applied) == [0, 1]
    assert {tuple(note["routes"]) for note in applied} == {("rest", "orders")}
    assert {tuple(note["endpoints"]) for note in applied} == {("127.0.0.1:9", "127.0.0.1:10", "127.0.0.1:11")}
    assert {tuple(note["issuers"]) for note in applied} == {("main", "staff")}


def test_listeners_come_and_go(serve):
    """A new address is bound and served; one that left refuses clients, and that of before keeps its port all the while."""
    service = serve(workers=2)
    port = int(service.wait_for(r"listeners\[0\] on 127\.0\.0\.1:(\d+)")[1])
    new = free_port()
    first, second = BASE["listeners"][0], {"address": f"127.0.0.1:{new}"}
    assert f"listeners: 127.0.0.1:{new} added" in service.reload(listeners=[first, second])
    service.wait_for(rf"listeners\[1\] on 127\.0\.0\.1:{new}")
    assert {tuple(note["ports"]) for note in service.notes()} == {(port, new)}
    assert listens(port) and listens(new)
    assert "listeners: 127.0.0.1:0 removed" in service.reload(listeners=[second])
    assert eventually(lambda: not listens(port))
    assert listens(new)


def test_an_address_may_become_all_addresses_of_the_port(serve):
    """The old listener has the port until the new one is there, and nobody takes it for somebody else's."""
    port = free_port()
    service = serve(listeners=[{"address": f"127.0.0.1:{port}"}])
    assert "2 changes" in service.reload(listeners=[{"address": f"0.0.0.0:{port}"}])
    assert listens(port)


def test_a_broken_file_changes_nothing(serve):
    """Every problem on a line of its own, in the words of check, with line and column; the metric falls, and rises with the next good file."""
    service = serve(admin=ADMIN)
    before = service.ask("/status")[1]["configuration"]["hash"]
    assert service.metric("config_last_reload_successful") == 1
    good = service.file.read_text()
    service.file.write_text(good.replace('"audiences"', '"audience"').replace('"127.0.0.1:9"', '"127.0.0.1:x"'))
    service.hup()
    service.wait_for("configuration not reloaded, the old one stays in force: 2 problems")
    for problem in (
        r"issuers\.main\.audience: unknown key; did you mean",
        r"clusters\.main\.endpoints\[0\]\.address: the port",
    ):
        service.wait_for(rf"ERROR lbjwt\[supervisor\]: {re.escape(str(service.file))}:\d+:\d+: {problem}")
    assert service.metric("config_last_reload_successful") == 0
    assert service.ask("/status")[1]["configuration"]["hash"] == before
    assert service.notes() == []
    assert service.reload(realm="shop") == "configuration reloaded: 1 change: realm changed"
    assert service.metric("config_last_reload_successful") == 1
    assert service.ask("/status")[1]["configuration"]["hash"] != before


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda file: file.unlink(), "cannot be read: No such file or directory"),
        (lambda file: (file.unlink(), file.mkdir()), "cannot be read: Is a directory"),
        (lambda file: file.write_bytes(b"\xff"), "not UTF-8"),
        (lambda file: (file.parent / "jwks.json").unlink(), "cannot read .*jwks.json: No such file or directory"),
    ],
    ids=["deleted", "a directory", "no text", "a key file deleted"],
)
def test_a_file_that_cannot_be_read_changes_nothing(serve, spoil, told):
    """As with any other problem."""
    service = serve()
    spoil(service.file)
    service.hup()
    service.wait_for("configuration not reloaded, the old one stays in force: 1 problem")
    service.wait_for(told)
    assert service.notes() == []


def test_an_address_in_use_changes_nothing(serve):
    """The whole configuration is refused, with the place of the address; the port of another program stays its own."""
    service = serve()
    with socket.create_server(("127.0.0.1", 0)) as owner:
        taken = f"127.0.0.1:{owner.getsockname()[1]}"
        listeners = [{"address": f"127.0.0.1:{free_port()}"}, {"address": taken}]
        assert "not reloaded" in service.reload(listeners=listeners, realm="shop")
    service.wait_for(
        rf"{re.escape(str(service.file))}:\d+:\d+: listeners\[1\]\.address: cannot listen on {taken}: the port is in use"
    )
    assert not listens(int(listeners[0]["address"].rpartition(":")[2]))
    assert "3 changes" in service.reload(listeners=[listeners[0]])


def test_the_command_prints_changes_or_every_problem(serve):
    """Exit code 0 with a line for each change; 2 with every problem as check prints it."""
    service = serve(admin=ADMIN)
    service.write(realm="shop", limits={"max_token": "4KiB"})
    done = service.command()
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (
        0,
        ["realm changed", "limits: max_token changed"],
        "",
    )
    assert service.command().stdout == "no changes\n"
    service.file.write_text(service.file.read_text().replace('"realm"', '"reaml"').replace("4KiB", "4"))
    done = service.command()
    assert (done.returncode, done.stdout) == (2, "")
    checked = subprocess.run(
        [sys.executable, "-m", "lbjwt", "check", str(service.file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == checked.stderr + "not reloaded, the old configuration stays in force\n"
    assert len(checked.stderr.splitlines()) == 2


def test_a_reload_logs_only_the_warnings_that_are_new(serve):
    """Those of the start are in the log already, wherever they stand in the file now; the answer has all of them."""
    lax = {"issuer": "https://i.test", "any_audience": True, "jwks_file": "jwks.json"}
    service = serve(admin=ADMIN, issuers={"main": lax})

    def logged() -> list[str]:
        return re.findall(r"WARNING .*(any-audience|expiration-optional)", service.log)

    service.reload(realm="one")
    assert logged() == []
    service.reload(
        issuers={"first": {**lax, "issuer": "https://f.test", "audiences": ["a"], "any_audience": False}, "main": lax}
    )
    assert logged() == []
    service.write(issuers={"main": {**lax, "require_expiration": False}})
    done = service.command()
    assert done.returncode == 0
    assert eventually(lambda: logged() == ["expiration-optional"])
    assert "[any-audience]" in done.stderr and "[expiration-optional]" in done.stderr
    service.reload(realm="two")
    assert logged() == ["expiration-optional"]
    service.reload(issuers=BASE["issuers"])
    service.reload(issuers={"main": lax})
    assert logged() == ["expiration-optional", "any-audience"]


def test_what_needs_a_restart_is_told_and_stays(serve):
    """The rest is applied, and the hash is that of what is in force."""
    service = serve(admin=ADMIN)
    service.write(workers=3, fail_limit={"failures": 5}, realm="shop")
    done = service.command()
    assert (done.returncode, done.stdout) == (0, "realm changed\n")
    assert done.stderr == "needs a restart: workers, fail_limit; the old values stay in force until then\n"
    service.wait_for("needs a restart: workers, fail_limit; the old values stay in force until then")
    assert len(service.notes()) == 1
    first = service.ask("/status")[1]["configuration"]["hash"]
    service.reload(workers=None, fail_limit=None)
    assert service.ask("/status")[1]["configuration"]["hash"] == first


def test_keys_to_fetch_need_a_control_process(serve):
    """A service that was started without one refuses an issuer whose keys are behind a URL; one with an admin API takes it."""
    issuers = {**BASE["issuers"], "far": {"issuer": "https://f.test", "audiences": ["a"], "discovery": {}}}
    service = serve()
    assert "not reloaded" in service.reload(issuers=issuers)
    service.wait_for(
        r":\d+:\d+: issuers\.far: the control process fetches keys from a URL, and this service was started without one"
    )


def test_the_control_process_gets_issuers_with_their_rows(serve):
    """A row outlives the issuer before it; keys of the new one are fetched, and the admin API shows the new configuration."""
    far = {"issuer": "https://f.test", "audiences": ["a"], "discovery": {}}
    service = serve(admin=ADMIN)
    service.reload(issuers={"far": far, **BASE["issuers"]})
    told = [json.loads(line) for line in (service.folder / "keys").read_text().splitlines()]
    assert told == [["start", {"main": 0}], ["reload", {"far": 1, "main": 0}]]
    assert [one["label"] for one in service.ask("/status")[1]["issuers"]] == ["far", "main"]


def test_a_storm_of_signals_is_a_few_reloads(serve):
    """One is under way and one waits, however many came; the last state of the file is in force in the end."""
    service = serve()
    for number in range(40):
        service.write(realm=f"realm-{number}")
        service.hup()
    assert eventually(lambda: service.notes() and service.notes()[-1]["realm"] == "realm-39")
    assert len(service.notes()) <= 40
    count = service.log.count("configuration reloaded")
    for _ in range(200):
        service.hup()
    assert eventually(lambda: service.log.count("configuration reloaded") > count)
    assert "no changes" in service.reload()
    assert service.log.count("configuration reloaded") - count < 60


def test_requests_that_come_together_are_answered_together(serve):
    """Each gets an answer, and to a reload that began after it came."""
    service = serve(admin=ADMIN)
    service.write(realm="shop")
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "lbjwt", "reload", "--admin", service.admin], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    found = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert "realm changed\n" in found


def test_a_worker_that_dies_comes_back_with_the_new_configuration(serve):
    """Killed in the middle of the reload: the next one is forked with what is in force now."""
    service = serve(workers=2)
    service.order("die", 1)
    assert service.reload(realm="shop") == "configuration reloaded: 1 change: realm changed"
    service.wait_for("all workers are ready again")
    assert [note["realm"] for note in service.notes("forked") if note["slot"] == 1] == ["lbjwt", "shop"]


def test_a_worker_that_hangs_holds_up_nobody(serve):
    """It is named after five seconds; meanwhile others are replaced, later reloads reach the others, and it gets only the last one when it wakes."""
    service = serve(workers=2, admin=ADMIN)
    service.order("hang", 1)
    service.write(realm="one")
    started = time.monotonic()
    done = service.command()
    assert 4.0 < time.monotonic() - started < 20.0
    assert done.returncode == 1
    assert re.search(r"the worker 1 \(process \d+\) has not applied it within 5 s", done.stderr)
    service.wait_for("configuration not in force everywhere: the worker 1")
    service.write(realm="two")
    service.hup()
    assert eventually(lambda: [note["realm"] for note in service.notes() if note["slot"] == 0] == ["one", "two"])
    service.write(realm="three")
    assert service.command().returncode == 1
    service.order("go", 1)
    assert eventually(lambda: [note["realm"] for note in service.notes() if note["slot"] == 1] == ["one", "three"])


def test_one_worker_that_fails_is_told(serve):
    """The others have the new configuration; the next reload reaches it too."""
    service = serve(workers=2)
    service.order("fail", 0)
    assert service.reload(realm="one") == "configuration reloaded: 1 change: realm changed"
    service.wait_for(
        "configuration not in force everywhere: the worker 0 could not apply it and keeps the old one; its log says why"
    )
    assert service.reload(realm="two") == "configuration reloaded: 1 change: realm changed"


def test_a_configuration_that_no_worker_can_apply_is_taken_back(serve):
    """Later workers are forked with the old one, and the listener that it wanted is closed again."""
    service = serve(workers=2)
    new = free_port()
    for slot in (0, 1):
        service.order("fail", slot)
    listeners = [*BASE["listeners"], {"address": f"127.0.0.1:{new}"}]
    assert "not reloaded, the old one stays in force" in service.reload(realm="one", listeners=listeners)
    assert not listens(new)
    os.kill(service.notes("forked")[0]["pid"], signal.SIGKILL)
    service.wait_for("all workers are ready again")
    assert service.notes("forked")[-1]["realm"] == "lbjwt"


def test_a_listener_whose_removal_is_taken_back_goes_on(serve):
    """Its sockets are the same ones all the while, in the workers and in the supervisor."""
    service = serve(workers=2)
    port = int(service.wait_for(r"listeners\[0\] on 127\.0\.0\.1:(\d+)")[1])
    for slot in (0, 1):
        service.order("fail", slot)
    assert "not reloaded" in service.reload(listeners=[{"address": f"127.0.0.1:{free_port()}"}])
    assert eventually(lambda: len(service.notes()) == 2)  # the old one again
    assert "no changes" in service.reload(listeners=BASE["listeners"])
    assert all(listens(port) for _ in range(40))


def test_a_listener_comes_back_while_a_worker_has_not_given_it_up(serve):
    """The worker that hangs has its socket still; the other one had given its own up, and listens on it again."""
    service = serve(workers=2)
    port = int(service.wait_for(r"listeners\[0\] on 127\.0\.0\.1:(\d+)")[1])
    service.order("hang", 1)
    other = {"address": f"127.0.0.1:{free_port()}"}
    service.reload("not in force everywhere", listeners=[other])
    service.reload("listeners: 127.0.0.1:0 added", listeners=[other, *BASE["listeners"]])
    service.order("go", 1)
    assert eventually(lambda: [note["slot"] for note in service.notes()].count(1) == 2)
    assert {note["slot"]: note["ports"][-1] for note in service.notes()} == {0: port, 1: port}
    assert all(listens(port) for _ in range(40))


def test_watch_reloads_when_the_file_changes(serve):
    """Written over, replaced by rename, deleted and there again; a touch of the same content is no change worth a word of its own."""
    service = serve(watch=True)
    service.write(realm="one")
    service.wait_for("configuration reloaded: 1 change: realm changed")
    service.file.write_text(service.file.read_text().replace('"one"', '"two"'))
    assert eventually(lambda: service.notes()[-1]["realm"] == "two")
    service.file.unlink()
    service.wait_for("cannot be read: No such file")
    service.write(realm="three")
    assert eventually(lambda: service.notes()[-1]["realm"] == "three")
    service.write(watch=False)
    assert eventually(lambda: service.log.count("configuration reloaded") == 4)
    service.write(realm="four")
    time.sleep(2.0)
    assert service.notes()[-1]["realm"] == "three"
    assert service.log.count("configuration not reloaded") == 1


def test_a_reload_keeps_no_descriptor_and_no_process(serve):
    """Thirty good ones and thirty broken ones later the supervisor has the descriptors and children of before."""
    service = serve(workers=2, admin=ADMIN)
    new = free_port()
    service.reload()

    def held() -> tuple[int, int]:
        return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir())), len(children(service.process.pid))

    # A reload that the log has told is still being answered, for which the supervisor holds a descriptor more.
    seen = []
    for _ in range(20):
        seen.append(held())
        time.sleep(0.02)
    before = min(seen)
    for number in range(30):
        service.reload(
            realm=f"r{number}", listeners=[*BASE["listeners"], *([{"address": f"127.0.0.1:{new}"}] * (number % 2))]
        )
        service.reload(realm=3)
        service.reload(realm="x")
    service.reload(listeners=BASE["listeners"])
    assert eventually(lambda: held() == before), (held(), before)


def test_a_reload_leaves_no_thread(serve):
    """What reads files does so in a thread that ends: with a second one, even asleep, every system call of the worker costs more."""
    service = serve(workers=2)
    service.reload(realm="x")
    service.notes()

    def threads() -> list[int]:
        return [len(list(Path(f"/proc/{child}/task").iterdir())) for child in children(service.process.pid)]

    assert eventually(lambda: set(threads()) == {1}), threads()


def test_a_reload_during_a_drain_is_ignored(serve):
    """And one under way does not keep the service from ending."""
    service = serve()
    service.order("hang", 0)
    service.write(realm="one")
    service.hup()
    assert eventually(lambda: not (service.folder / "hang-0").exists())
    service.process.send_signal(signal.SIGTERM)
    service.wait_for("draining")
    service.hup()
    assert service.end(30.0) == 1  # the worker that hangs is killed
    assert "configuration reloaded" not in service.log


def test_a_service_that_stops_says_so_to_who_asks_for_a_reload(serve):
    """One that waits when SIGTERM comes is answered, and one that comes during the drain is refused at once."""
    service = serve(admin=ADMIN, timeouts={"drain": "60s"})  # for two commands to start in
    service.order("hang")
    service.write(realm="one")
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(service.command)
        assert eventually(lambda: not (service.folder / "hang-0").exists())
        service.process.send_signal(signal.SIGTERM)
        service.wait_for("draining for at most 60 s")
        answer = service.ask("/reload", "POST", {"Content-Type": "application/json"})
        assert answer == (503, {"error": "the service is stopping"})
        late, waited = service.command(), waits.result()
    assert (late.returncode, late.stdout) == (1, "")
    assert late.stderr == "Error: refused with status 503: the service is stopping\n"
    assert (waited.returncode, waited.stdout, waited.stderr) == (1, "", "the service is stopping\n")
    service.order("go")
    service.end()
    assert "configuration reloaded" not in service.log


def test_the_page_is_for_programs(serve):
    """A browser is refused, so is another content type, and GET; nothing is reloaded."""
    service = serve(admin=ADMIN)
    json_type = {"Content-Type": "application/json"}
    assert service.ask("/reload", "POST", {**json_type, "Origin": "https://evil.test"})[0] == 403
    assert service.ask("/reload", "POST", {"Content-Type": "text/plain"})[0] == 415
    assert service.ask("/reload")[0] == 405
    assert "reloaded" not in service.log
    status, members = service.ask("/reload", "POST", json_type)
    assert (status, members) == (200, {"changes": [], "restart": [], "problems": [], "warnings": [], "failed": []})
