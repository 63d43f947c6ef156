"""``/revocations`` over real sockets: what a program may do there, what a browser may not, and `lbjwt revoke` against it. THREATS C20."""

import asyncio
import base64
import io
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from lbjwt.admin import revocations as module
from lbjwt.admin.revocations import RevocationPages
from lbjwt.admin.server import MAX_BODY
from lbjwt.auth.revocation import Revocation
from lbjwt.cli import main
from lbjwt.revocation.store import RevocationStore
from lbjwt.revocation.tail import LogTail

NOW = 1_800_000_000.0
JSON = {"Content-Type": "application/json"}


class Door:
    """The pages over a store, in an application with the limit of the admin API."""

    add_to: Callable[[web.Application], object]

    def __init__(self, directory: Path, **options: Any) -> None:
        self.clock: Callable[[], float] = lambda: NOW
        self.store = RevocationStore(directory, **options)
        self.store.open(NOW)
        self.woken = 0
        self.pages = RevocationPages(self.store, on_change=self._wake, clock=lambda: self.clock())
        self.add_to = self.pages.add_to

    def _wake(self) -> None:
        self.woken += 1

    def run(self, scenario: Callable[[int], Awaitable[Any]]) -> Any:
        """A scenario gets the port."""

        async def served() -> Any:
            application = web.Application(client_max_size=MAX_BODY)
            self.add_to(application)
            runner = web.AppRunner(application)
            await runner.setup()
            with socket.create_server(("127.0.0.1", 0)) as sock:
                await web.SockSite(runner, sock).start()
                try:
                    return await scenario(sock.getsockname()[1])
                finally:
                    await runner.cleanup()

        return asyncio.run(served())

    def ask(self, method: str = "POST", path: str = "/revocations", **options: Any) -> tuple[int, dict[str, Any]]:
        """Status and members of one answer, which is JSON."""

        async def scenario(port: int) -> tuple[int, dict[str, Any]]:
            async with (
                aiohttp.ClientSession() as session,
                session.request(method, f"http://127.0.0.1:{port}{path}", **options) as response,
            ):
                assert response.content_type == "application/json"
                return response.status, json.loads(await response.text())

        return self.run(scenario)


@pytest.fixture
def door(tmp_path: Path):
    one = Door(tmp_path)
    yield one
    one.store.close()


def test_c20_what_is_posted_is_on_disk_and_in_force(door: Door):
    """One entry, then an array; the readers are woken once for each, and a reader of the log has all of it."""
    assert door.ask(json={"jti": "j1"}) == (200, {"revoked": 1, "in_force": 1})
    two = [{"sub": "s", "issuer": "https://i", "issued_before": NOW}, {"kid": "k", "expires": "2027-01-15T09:00:00Z"}]
    assert door.ask(json=two) == (200, {"revoked": 2, "in_force": 3})
    assert door.woken == 2
    tail = LogTail(door.store.path)
    tail.look(NOW)
    assert set(tail.entries) == {
        Revocation("jti", "j1", NOW + 30 * 86_400),
        Revocation("sub", "s", NOW + 30 * 86_400, "https://i", NOW),
        Revocation("kid", "k", NOW + 3600),
    }


def test_a_second_time_is_no_error(door: Door):
    """Nothing is new, nobody is woken; the same goes for an empty array."""
    assert door.ask(json={"jti": "j1"})[1]["revoked"] == 1
    assert door.ask(json={"jti": "j1"}) == (200, {"revoked": 0, "in_force": 1})
    assert door.ask(json=[]) == (200, {"revoked": 0, "in_force": 1})
    assert door.woken == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9900"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": ""},
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_browser_may_not(door: Door, fields: dict[str, str], method: str):
    """A page in the browser of the operator reaches the door, and must not revoke anybody: also not under a name made to mean this machine."""
    status, answer = door.ask(method, data=b'{"jti":"j1"}', headers=JSON | fields)
    assert (status, list(answer)) == (403, ["error"])
    assert len(door.store.entries) == 0


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", "application/json-seq", ""],
)
def test_what_a_form_can_send_is_refused(door: Door, content_type: str):
    """The types that a browser sends anywhere without asking first."""
    fields = {"Content-Type": content_type}
    assert door.ask(data=b'{"jti":"j1"}', headers=fields)[0] == 415
    assert len(door.store.entries) == 0


def test_a_program_sends_a_charset_or_the_marks_of_a_typed_address(door: Door):
    """A parameter of the type is fine, and so is what is no mark of another site."""
    fields = {"Content-Type": "application/json; charset=utf-8", "Sec-Fetch-Site": "none"}
    assert door.ask(data=b'{"jti":"j1"}', headers=fields)[0] == 200


def test_a_preflight_gets_no_permission(door: Door):
    """OPTIONS is answered with 405 and without any Access-Control field."""

    async def scenario(port: int) -> None:
        fields = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        async with (
            aiohttp.ClientSession() as session,
            session.options(f"http://127.0.0.1:{port}/revocations", headers=fields) as response,
        ):
            assert response.status == 405
            assert not [name for name in response.headers if name.lower().startswith("access-control")]

    door.run(scenario)


def test_a_coded_body_is_refused(door: Door):
    """A small body that unfolds to a giant one has no use here."""
    assert door.ask(data=b'{"jti":"j1"}', headers=JSON | {"Content-Encoding": "identity"})[0] == 415


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "JSON object"),
        (b"jti=j1", "JSON object"),
        (b'{"jtis":"x"}', 'did you mean "jti"'),
        (b'[{"jti":"a"},{"jti":""}]', 'entry 2: "jti" must be text'),
        (b'{"jti":"a","expires":1799999999}', '"expires" is in the past'),
        (b'[{"jti":"a"},{"jti":"b","expires":1800000000}]', 'entry 2: "expires" is in the past'),
    ],
)
def test_a_bad_body_revokes_nothing(door: Door, body: bytes, part: str):
    """400 and one sentence; of an array nothing is taken."""
    status, answer = door.ask(data=body, headers=JSON)
    assert status == 400
    assert part in answer["error"]
    assert len(door.store.entries) == 0
    assert door.woken == 0


def test_a_body_has_a_limit_whether_announced_or_not(door: Door):
    """One byte more than the limit is 413, with and without Content-Length."""
    body = b'{"jti":"j1"}'.ljust(MAX_BODY)
    assert door.ask(data=io.BytesIO(body), headers=JSON)[0] == 200

    async def pieces():
        for _ in range(MAX_BODY // 4096):
            yield b" " * 4096
        yield b"x"

    for data in (io.BytesIO(body + b" "), pieces()):
        assert door.ask(data=data, headers=JSON)[0] == 413


def test_a_body_that_does_not_come_is_not_waited_for(door: Door, monkeypatch: pytest.MonkeyPatch):
    """408 after a while, and the connection is not for another request."""
    monkeypatch.setattr(module, "BODY_TIMEOUT", 0.05)

    async def scenario(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /revocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
        answer = await asyncio.wait_for(reader.readuntil(b"}\n"), 10)
        writer.close()
        await writer.wait_closed()
        return answer

    answer = door.run(scenario)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert b"did not arrive" in answer


def test_a_full_list_or_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """507, the cause without a file name, and nothing of it in force."""
    door = Door(tmp_path, max_entries=1)
    status, answer = door.ask(json=[{"jti": "a"}, {"jti": "b"}])
    assert (status, answer["error"].partition(",")[0]) == (
        507,
        "the list is full (1 entries); raise max_entries or wait until entries expire",
    )
    monkeypatch.setattr(
        RevocationStore, "_write", lambda self, lines: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    status, answer = door.ask(json={"jti": "a"})
    assert status == 507
    assert answer["error"] == "cannot write the log of revocations: No space left on device; nothing was changed"
    assert len(door.store.entries) == door.woken == 0
    door.store.close()


def test_the_list_is_counted_and_its_beginning_shown(door: Door):
    """Entries with their times for people; as many as are asked for; those past their end are gone."""
    bob = {"sub": "bob", "issuer": "https://i", "issued_before": NOW}
    door.ask(
        json=[
            *({"jti": f"j{number}", "expires": NOW + 10 + number} for number in range(3)),
            {**bob, "expires": NOW + 5},
        ]
    )
    status, answer = door.ask("GET")
    assert (status, answer["in_force"]) == (200, 4)
    assert answer["entries"][0] == {"jti": "j0", "expires": "2027-01-15T08:00:10Z"}
    assert answer["entries"][3] == {**bob, "issued_before": "2027-01-15T08:00:00Z", "expires": "2027-01-15T08:00:05Z"}
    assert len(door.ask("GET", "/revocations?limit=2")[1]["entries"]) == 2
    assert door.ask("GET", "/revocations?limit=0")[1] == {"in_force": 4, "entries": []}
    door.clock = lambda: NOW + 11
    assert [shown["jti"] for shown in door.ask("GET")[1]["entries"]] == ["j2"]
    door.clock = lambda: NOW + 3611
    assert door.ask("GET")[1] == {"in_force": 1, "entries": []}
    for limit in ("-1", "1001", "x", "", "٣", "9" * 5000):
        assert door.ask("GET", f"/revocations?limit={limit}")[0] in (400, 414)


def test_at_most_so_many_are_shown(door: Door, monkeypatch: pytest.MonkeyPatch):
    """A hundred unless asked for."""
    door.ask(json=[{"jti": str(number)} for number in range(150)])
    answer = door.ask("GET")[1]
    assert (answer["in_force"], len(answer["entries"])) == (150, 100)
    assert len(door.ask("GET", "/revocations?limit=1000")[1]["entries"]) == 150


# lbjwt revoke against it


def revoke(door: Door, *arguments: str, given: str | None = None) -> Result:
    """One call of the command line in a thread, while the door is served."""
    results: list[Result] = []

    async def scenario(port: int) -> None:
        def call() -> None:
            words = ["revoke", "--admin", f"http://127.0.0.1:{port}", *arguments]
            results.append(CliRunner().invoke(main, words, input=given))

        thread = threading.Thread(target=call)
        thread.start()
        await asyncio.to_thread(thread.join)

    door.run(scenario)
    return results[0]


def test_the_command_revokes_by_the_door(door: Door):
    """Exit code 0 and how it is now; the second time it was in force already."""
    result = revoke(door, "--sub", "s", "--issued-before", "2027-01-15T08:00:00Z", "--until", "2027-02-01T00:00:00Z")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "in force, until 2027-02-01T00:00:00Z; entries in force: 1\n"
    (entry,) = door.store.entries
    assert (entry.kind, entry.value, entry.issued_before) == ("sub", "s", NOW)
    result = revoke(door, "--sub", "s", "--issued-before", "2027-01-15T08:00:00Z", "--until", "2027-02-01T00:00:00Z")
    assert result.stderr.startswith("was in force already, ")


def test_the_command_tells_what_the_door_refuses(tmp_path: Path):
    """Exit code 1 with the sentence; a page that is not there is told as such."""
    door = Door(tmp_path, max_entries=0)
    result = revoke(door, "--jti", "x", "--until", "2027-02-01T00:00:00Z")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the server refused the request with status 507: the list is full (0 entries)" in result.stderr
    door.add_to = lambda application: None
    assert "the server accepts no revocations" in revoke(door, "--jti", "x").stderr

    async def hostile(request: web.Request) -> web.Response:
        return web.json_response({"error": "\x1b[31mred\n"}, status=400)

    door.add_to = lambda application: application.router.add_post("/revocations", hostile)
    assert "the server refused the request with status 400: \\x1b[31mred\\n\n" in revoke(door, "--jti", "x").stderr
    door.store.close()


# taking back


def test_c20_what_is_deleted_is_taken_back_on_disk(door: Door, caplog: pytest.LogCaptureFixture):
    """The body names what the entry names; the readers are woken, the log of the process says who asked for what, and nothing is in force."""
    door.ask(json=[{"jti": "j1", "issuer": "https://i"}, {"sub": "s", "issued_before": NOW}, {"kid": "k"}])
    with caplog.at_level("INFO", "lbjwt.admin"):
        assert door.ask("DELETE", json={"jti": "j1", "issuer": "https://i"}) == (200, {"undone": 1, "in_force": 2})
    (message,) = caplog.messages
    assert message == "undone over the admin API by 127.0.0.1: 1 by jti"
    assert door.ask("DELETE", json=[{"sub": "s"}, {"kid": "k"}]) == (200, {"undone": 2, "in_force": 0})
    assert door.woken == 3
    tail = LogTail(door.store.path)
    tail.look(NOW)
    assert len(tail.entries) == 0


def test_taking_back_twice_is_no_error(door: Door, caplog: pytest.LogCaptureFixture):
    """Nothing changes, nobody is woken, nothing is logged; another issuer's entry is another one."""
    door.ask(json={"sub": "s", "issuer": "https://i"})
    with caplog.at_level("INFO", "lbjwt.admin"):
        for other in ({"sub": "s"}, {"sub": "s", "issuer": "https://other"}, {"jti": "s"}):
            assert door.ask("DELETE", json=other) == (200, {"undone": 0, "in_force": 1})
    assert (door.woken, caplog.messages) == (1, [])


@pytest.mark.parametrize("fields", [{"Origin": "http://127.0.0.1:9900"}, {"Sec-Fetch-Site": "same-origin"}])
def test_a_browser_may_not_take_back(door: Door, fields: dict[str, str]):
    """The same guard as for POST; so for the type and the limits of the body."""
    door.ask(json={"jti": "j1"})
    assert door.ask("DELETE", data=b'{"jti":"j1"}', headers=JSON | fields)[0] == 403
    assert door.ask("DELETE", data=b'{"jti":"j1"}', headers={"Content-Type": "text/plain"})[0] == 415
    assert door.ask("DELETE", data=io.BytesIO(b" " * (MAX_BODY + 1)), headers=JSON)[0] == 413
    assert door.ask("DELETE", json={"sub": "s", "issued_before": NOW})[0] == 400
    assert door.ask("DELETE", json=[{"jti": "j1"}, {"jti": 5}])[0] == 400
    assert len(door.store.entries) == 1


def test_p8_the_log_of_the_process_says_from_where_and_how_many(door: Door, caplog: pytest.LogCaptureFixture):
    """One line a request, with the kinds and no identifier of anybody (THREATS P8)."""
    with caplog.at_level("INFO", "lbjwt.admin"):
        door.ask(json=[{"jti": "canary"}, {"jti": "canary2"}, {"sub": "canary", "issuer": "https://canary"}])
    assert caplog.messages == ["revoked over the admin API by 127.0.0.1: 2 by jti, 1 by sub"]


def test_the_command_takes_back_by_the_door(door: Door):
    """By name, or by the token on standard input; the second time there is nothing to take back, which is no error."""
    text = "e30." + base64.urlsafe_b64encode(b'{"jti":"j1","iss":"https://i"}').rstrip(b"=").decode() + ".AAAA"
    door.ask(json=[{"sub": "s"}, {"jti": "j1", "issuer": "https://i"}])
    for arguments, given in ((["--sub", "s"], None), (["--token", "-"], text)):
        result = revoke(door, "--undo", *arguments, given=given)
        assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, "undone")
        result = revoke(door, "--undo", *arguments, given=given)
        assert result.exit_code == 1 and "nothing to undo" in result.stderr
    assert len(door.store.entries) == 0
