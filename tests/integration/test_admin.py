"""The admin door over real sockets: what each page says in each state, and what it keeps to itself."""

import asyncio
import io
import json
import socket
import time
from dataclasses import replace

import aiohttp
import aiohttp.web
import pytest
from aiohttp.test_utils import make_mocked_request

from lbjwt.admin.server import AdminServer
from lbjwt.assembly.rows import row_names
from lbjwt.config.model import Admin, Configuration
from lbjwt.observe._board import DRAINING, READY, Board
from lbjwt.observe._offenders import Offenders
from lbjwt.observe.rows import RowNumbers, Rows
from lbjwt.revocation.store import RevocationStore

CONFIGURATION = Configuration.model_validate(
    {
        "listeners": [
            {"address": "127.0.0.1:8080"},
            {"address": ":8443", "tls": {"certificate": "/c.pem", "private_key": "/hush.pem"}},
        ],
        "issuers": {
            "main": {
                "issuer": "https://issuer.example",
                "audiences": ["api"],
                "remote_jwks": {"uri": "https://issuer.example/jwks?key=hush"},
            }
        },
        "clusters": {
            "shop": {"endpoints": [{"address": "127.0.0.1:9001", "weight": 2}, {"address": "unix:/run/app.sock"}]}
        },
        "workers": 2,
        "admin": {"address": "127.0.0.1:0"},
    }
)
ROWS = RowNumbers.in_order(row_names(CONFIGURATION))


@pytest.fixture
def board():
    return Board(2, 2)


def serve(board, scenario, **options):
    """Run a scenario against the door; it gets the port."""

    async def run():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            server = AdminServer(CONFIGURATION, board, [sock], **{"rows": ROWS, **options})
            await server.start()
            try:
                return await scenario(sock.getsockname()[1])
            finally:
                await server.stop()

    return asyncio.run(run())


def request(board, path, method="GET", door=None, **options):
    """Status, fields and body of one request; `door`: what the server gets."""

    async def scenario(port):
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"http://127.0.0.1:{port}{path}", **options) as response,
        ):
            return response.status, response.headers, await response.text()

    return serve(board, scenario, **(door or {}))


def raw(board, data):
    """Whatever comes back for these bytes until the door closes."""

    async def scenario(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        await writer.wait_closed()
        return answer

    return serve(board, scenario)


def make_ready(board, slot=1):
    board.attach(slot)
    board.set_keys(3, 1000.0)
    board.set_state(READY)


def test_alive_from_the_start(board):
    """Who answers is alive, ready or not."""
    assert request(board, "/livez")[::2] == (200, "alive\n")


def test_ready_follows_the_board(board):
    """Starting, then without keys, then ready with one of two workers, then draining: 503, 503, 200, 503 at once."""
    assert request(board, "/readyz")[::2] == (503, "starting\n")
    board.set_state(READY)
    status, fields, text = request(board, "/readyz")
    assert (status, text) == (503, "no keys\n")
    assert fields["Retry-After"] == "1"
    make_ready(board)
    assert request(board, "/readyz")[::2] == (200, "ready\n")
    board.start_draining()
    assert request(board, "/readyz")[::2] == (503, "draining\n")
    board.set_state(DRAINING)
    assert request(board, "/livez")[0] == 200


def test_status_tells_the_state_of_everything_and_no_secret(board):
    """Workers, listeners, endpoints and issuers with their numbers; no key file, no URL, no credential."""
    make_ready(board)
    board.add("requests", 5, 2)
    board.add("refusals", 2, 8)
    board.add("refusals", 3, 1, issuer=-1)
    board.add("reported", 1, 21)
    board.add("accepted", 4)
    board.set("revocations", 6)
    board.set("cache_entries", 10)
    board.set("cache_bytes", 4096)
    board.add_source(0, "fetches", 7)
    board.set_source_time(0, "last_success", 2000.0)
    board.add("in_flight", 4, endpoint=1)
    board.add("requests", 9, endpoint=1)
    board.clear_gauges(0)
    board.set_generation(2)
    board.configuration_hash = "deadbeef"
    board.set_reloaded(True, 2000.0)
    board.set_reloaded(False)
    board.count_failed_upgrade()
    status, fields, text = request(board, "/status")
    found = json.loads(text)
    assert status == 200
    assert fields["Content-Type"].startswith("application/json")
    assert fields["Cache-Control"] == "no-store"
    assert found["ready"] is True
    assert found["workers"] == [
        {"slot": 0, "state": "stopped", "generation": 0},
        {"slot": 1, "state": "ready", "generation": 2},
    ]
    assert found["configuration"].pop("last_success_seconds_ago") > 0
    assert found["configuration"] == {"hash": "00000000deadbeef", "last_reload_successful": False}
    assert found["upgrade_failures"] == 1
    assert (found["requests"], found["refusals"], found["reported_refusals"]) == (5, 5, 1)
    assert (found["revocations"], found["cache"]["bytes"]) == (6, 4096)
    assert found["unknown_issuer"] == {"refusals": {"missing": 3}, "reported_refusals": {}}
    assert found["suspicious_addresses"] == []
    assert found["listeners"] == [{"address": "127.0.0.1:8080", "tls": False}, {"address": ":8443", "tls": True}]
    assert found["endpoints"][1] == {
        "cluster": "shop",
        "address": "unix:/run/app.sock",
        "name": None,
        "state": "in service",
        "health": "healthy",
        "weight": 1,
        "configured_weight": 1,
        "set_at_run_time": [],
        "requests_in_flight": 4,
        "connections": 0,
        "idle_connections": 0,
        "requests": 9,
        "failures": 0,
        "health_check": {"state": "unchecked", "seconds_ago": None, "failure": None, "transitions": 0},
        "ejection": {"ejected": False, "ejections": {}},
        "panic": False,
    }
    (issuer,) = found["issuers"]
    assert (issuer["label"], issuer["keys"]) == ("main", 3)
    assert issuer["keys_age_seconds"] > issuer["last_success_seconds_ago"] > 0
    assert (issuer["accepted"], issuer["key_fetches"], issuer["key_fetch_failures"]) == (4, 7, 0)
    assert issuer["refusals"] == {"expired": 2}
    assert issuer["reported_refusals"] == {"claim_refused": 1}
    assert "source" not in issuer
    assert found["uptime_seconds"] >= 0
    assert found["version"]
    assert "hush" not in text


def test_the_age_of_keys_never_read_is_null(board):
    """No key ever: null, not a number."""
    assert json.loads(request(board, "/status")[2])["issuers"][0]["keys_age_seconds"] is None


def test_status_lists_the_worst_addresses_and_no_more_than_twenty():
    """Failures by address, the worst first; a client cannot make the page long."""
    table = Offenders(2)
    now = time.monotonic()
    for at in range(100):
        for _ in range(1 + at):
            table.add_failure(f"192.0.2.{at}", now)
    found = json.loads(request(Board(2, 2), "/status", door={"offenders": table})[2])["suspicious_addresses"]
    assert [(line["address"], line["failures"]) for line in found] == [
        (f"192.0.2.{at}", at + 1) for at in range(99, 79, -1)
    ]
    assert 0 <= found[0]["last_seconds_ago"] < 60


def test_what_services_tell_stands_with_their_issuer(board):
    """Names are those of the board's issuers, also when there are more of them than labels, and each has what is known of its source."""
    board = Board(2, 2, 2)
    rows = replace(ROWS, issuers={"main/a": 0, "main/b": 1})
    door = {"rows": rows, "sources": lambda: {"main/b": {"next_fetch_seconds": 5}}}
    first, second = json.loads(request(board, "/status", door=door)[2])["issuers"]
    assert (first["label"], second["label"]) == ("main/a", "main/b")
    assert "source" not in first
    assert second["source"] == {"next_fetch_seconds": 5}


def test_another_configuration_is_shown_from_a_reload_on():
    """Its listeners, endpoints and issuers with the numbers of their rows; those that left are neither in status nor in metrics."""
    board = Board(2, 8, 8, 8)
    rows = Rows(board)
    first = rows.assign(row_names(CONFIGURATION))
    board.add("requests", 7, endpoint=1)
    board.add("accepted", 5)
    written = CONFIGURATION.model_dump(mode="json", exclude_unset=True)
    written["issuers"] = {"partner": written["issuers"]["main"]}
    written["clusters"]["new"] = {"endpoints": [{"address": "unix:/run/app.sock"}]}
    written["clusters"]["shop"]["endpoints"].reverse()
    written["listeners"].pop()
    written["routes"] = [{"name": "all", "cluster": "new"}]
    changed = Configuration.model_validate(written)

    async def run():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            server = AdminServer(CONFIGURATION, board, [sock], first)
            await server.start()
            server.use(changed, rows.assign(row_names(changed), 1))
            board.add("requests", 2, endpoint=2)
            board.add("accepted", 3, issuer=1)
            board.add("requests", 4, 2, route=0)
            try:
                async with (
                    aiohttp.ClientSession(f"http://127.0.0.1:{sock.getsockname()[1]}") as session,
                    session.get("/status") as status,
                    session.get("/metrics") as metrics,
                ):
                    return await status.json(), await metrics.text()
            finally:
                await server.stop()

    found, metrics = asyncio.run(run())
    assert len(found["listeners"]) == 1
    assert [(one["cluster"], one["address"], one["requests"]) for one in found["endpoints"]] == [
        ("shop", "unix:/run/app.sock", 7),
        ("shop", "127.0.0.1:9001", 0),
        ("new", "unix:/run/app.sock", 2),
    ]
    assert [(one["label"], one["accepted"]) for one in found["issuers"]] == [("partner", 3)]
    assert 'lbjwt_endpoint_requests_total{cluster="shop",endpoint="unix:/run/app.sock"} 7.0' in metrics
    assert 'lbjwt_endpoint_requests_total{cluster="new",endpoint="unix:/run/app.sock"} 2.0' in metrics
    assert 'lbjwt_requests_accepted_total{issuer="partner"} 3.0' in metrics and '"main"' not in metrics
    assert 'lbjwt_route_requests_total{route="all",status_class="2xx"} 4.0' in metrics


def test_the_page_of_revocations(board, tmp_path):
    """It is there with a store, in the same dress as the others and for bodies of 1 MiB at most; each change is told."""
    told = []
    store = RevocationStore(tmp_path)
    store.open(1.0)
    door = {"revocations": store, "on_revoked": lambda: told.append(1)}
    status, fields, text = request(board, "/revocations", "POST", door=door, json={"jti": "j"})
    assert (status, json.loads(text), told) == (200, {"revoked": 1, "in_force": 1}, [1])
    assert fields["Server"] == "lbjwt"
    large = {"data": io.BytesIO(b" " * 1_100_000), "headers": {"Content-Type": "application/json"}}
    assert request(board, "/revocations", "POST", door=door, **large)[0] == 413
    assert request(board, "/livez", door=door)[0] == 200
    assert request(board, "/revocations")[0] == 404
    store.close()


def test_metrics_in_both_formats(board):
    """The Prometheus text format for everybody, OpenMetrics for those who ask."""
    make_ready(board)
    status, fields, text = request(board, "/metrics")
    assert status == 200
    assert fields["Content-Type"].startswith("text/plain")
    assert 'lbjwt_endpoint_requests_in_flight{cluster="shop",endpoint="unix:/run/app.sock"} 0.0' in text
    assert 'lbjwt_keys{issuer="main"} 3.0' in text
    _, fields, text = request(board, "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert fields["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/status"])
def test_head_is_get_without_the_body(board, path):
    """HEAD works everywhere and sends no body."""
    make_ready(board)
    status, _, text = request(board, path, "HEAD")
    assert (status, text) == (200, "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_get_and_head(board, method):
    """The door changes nothing: every other method is 405."""
    assert request(board, "/status", method)[0] == 405


@pytest.mark.parametrize("path", ["/", "/status/", "/livez/x", "/static/../status", "//livez"])
def test_no_other_page(board, path):
    """Unknown paths are 404."""

    async def scenario(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    assert b" 404 " in serve(board, scenario)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"rubbish\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 10_000 + b"\r\n\r\n",
    ],
    ids=["page", "no page", "rubbish", "long line", "long field"],
)
def test_no_answer_tells_versions(board, data):
    """Good and bad requests alike: no version of Python or aiohttp in the answer."""
    answer = raw(board, data)
    assert answer.startswith(b"HTTP/1.")
    assert b"aiohttp" not in answer.lower()
    assert b"python" not in answer.lower()
    assert b"traceback" not in answer.lower()


def test_several_processes_can_share_one_socket(board):
    """Two servers accept on one socket; when one of them stops, the other answers every request."""

    async def run():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            twin = sock.dup()
            first, second = (
                AdminServer(CONFIGURATION, board, [sock], ROWS),
                AdminServer(CONFIGURATION, board, [twin], ROWS),
            )
            await first.start()
            await second.start()
            port = sock.getsockname()[1]
            await first.stop()
            async with aiohttp.ClientSession() as session:
                for _ in range(5):
                    async with session.get(
                        f"http://127.0.0.1:{port}/livez", headers={"Connection": "close"}
                    ) as response:
                        assert response.status == 200
            await second.stop()
            twin.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9900", "localhost.:9900", "LOCALHOST", "127.0.0.1", "127.9.9.9:1", "[::1]:9900"]
)
def test_over_loopback_its_names_are_answered(board, host):
    """With any port: a tunnel or a published port may have another one."""
    assert request(board, "/livez", headers={"Host": host})[0] == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/status", "/revocations", "/nothing"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9900",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[::2]",
        "[",
        "a b",
        "@127.0.0.1",
    ],
)
def test_a_name_that_was_pointed_at_loopback_reads_nothing(board, path, host):
    """A page at that name is of one origin with the door, so no browser would keep the answer from it."""
    status, fields, text = request(board, path, headers={"Host": host})
    assert (status, text) == (421, '{"error": "the admin API serves localhost only"}')
    assert fields["Cache-Control"] == "no-store"


@pytest.mark.parametrize("address", ["0.0.0.0:0", ":0", "192.0.2.1:0"])
def test_off_loopback_any_name_is_answered(board, monkeypatch, address):
    """Also to who comes over loopback: a machine's own name often means 127.0.1.1."""
    given = CONFIGURATION.model_copy(update={"admin": Admin.model_validate({"address": address})})
    monkeypatch.setattr("tests.integration.test_admin.CONFIGURATION", given)
    assert request(board, "/livez", headers={"Host": "box.example:9900"})[0] == 200


LIMITED = {"address": ":0", "remote_access": "metrics"}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/status", "/nothing"])
@pytest.mark.parametrize(
    ("peer", "host", "everything"),
    [
        ("127.0.0.1", "localhost:9900", True),
        ("::1", "[::1]:9900", True),
        ("10.0.0.7", "localhost:9900", False),
        ("10.0.0.7", "10.0.0.2:9900", False),
        ("fd00::7", "lbjwt:9900", False),
        ("127.0.0.1", "evil.example:9900", False),
        ("127.0.0.1", "", False),
    ],
)
def test_other_machines_get_metrics_only_where_they_may_have_no_more(board, path, peer, host, everything):
    """Nor does a web page on this machine get more, whose host name was pointed at it."""
    given = CONFIGURATION.model_copy(update={"admin": Admin.model_validate(LIMITED)})

    async def ask():
        (guard,) = AdminServer(given, board, [], ROWS).app.middlewares
        asked = make_mocked_request("GET", path, {"Host": host}).clone(remote=peer)
        response = await guard(asked, served)
        return response.status

    async def served(asked):
        return aiohttp.web.Response(status=204)

    assert asyncio.run(ask()) == (204 if everything or path in ("/livez", "/readyz", "/metrics") else 403)


def test_this_machine_changes_things_where_others_only_read(board, monkeypatch):
    """By a real connection over loopback."""
    given = CONFIGURATION.model_copy(update={"admin": Admin.model_validate(LIMITED)})
    monkeypatch.setattr("tests.integration.test_admin.CONFIGURATION", given)
    assert request(board, "/status")[0] == 200
    assert request(board, "/status", headers={"Host": "box.example:9900"})[0] == 403
    assert request(board, "/metrics", headers={"Host": "box.example:9900"})[0] == 200
