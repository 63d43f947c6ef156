"""What is sent again, and when lbjwt gives up: each rule as traffic, whole and byte by byte."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lbjwt._error_reason import ErrorReason
from lbjwt.upstream._retry import RetryRule
from tests.playbooks.messages import OK, SWITCH, UPGRADE
from tests.playbooks.stage import Client, Server, Stage, request, response

IDEMPOTENT = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]
SLOW = response("503 Service Unavailable", "Content-Length: 5", body=b"later")
stages: list[Stage] = []


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Every exchange ends, and no endpoint is charged for ever."""
    yield
    left, stages[:] = list(stages), []  # a list that stays would keep them alive for tests that look at what is freed
    for stage in left:
        assert (stage.totals["in_flight"], stage.totals["pending"]) == (0, 0)
        for at in range(len(stage.endpoints)):
            state = stage.board.endpoint_states.read(at)
            assert (state["in_flight"], state["retrying"]) == (0, 0)


def staged(pieces: int | None, endpoints: int = 2, retry: RetryRule | None = None, **options: object) -> Stage:
    stage = Stage(pieces, endpoints, retry=retry, **options)  # type: ignore[arg-type]
    stages.append(stage)
    return stage


def asks(stage: Stage, data: bytes | None = None) -> tuple[Client, Server]:
    """A new client with a request, and the connection that has it."""
    client = stage.client()
    client.sends(data or request())
    return client, stage.server()


# --- statuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", IDEMPOTENT)
def test_a_chosen_status_goes_to_another_endpoint(pieces: int | None, method: str) -> None:
    """Nothing of the first response reaches the client: neither its head nor its body."""
    stage = staged(pieces, retry=RetryRule(on=[503]))
    client, first = asks(stage, request(method, "/a"))
    seen = first.take()
    first.sends(response("503 Service Unavailable", "Content-Length: 5", body=b"" if method == "HEAD" else b"later"))
    assert client.take() == b"" and len(stage.opened) == 2
    assert stage.server().take() == seen
    stage.server().sends(response("204 No Content"))
    assert client.take().startswith(b"HTTP/1.1 204 ")
    assert stage.totals["retries"] == 1
    assert [stage.board.endpoint_totals(at)["responses"][5] for at in (0, 1)] == [1, 0]


@pytest.mark.parametrize(
    "refusal",
    [
        response("503 Busy", "Content-Length: 200000", body=b"x" * 1000),
        response("503 Busy", "Transfer-Encoding: chunked", body=b"5\r\nlater\r\n"),
        response("503 Busy", body=b"until the end"),
    ],
    ids=["length", "chunked", "until the end"],
)
def test_a_body_that_is_not_whole_is_not_waited_for(pieces: int | None, refusal: bytes) -> None:
    """Its connection is cut, as its end is unknown, and the request goes on at once."""
    stage = staged(pieces, retry=RetryRule(on=[503]))
    client, first = asks(stage)
    first.sends(refusal)
    assert first.transport.aborted and len(stage.opened) == 2
    first.lose()
    stage.server().sends(OK)
    assert client.take() == OK


def test_a_refusing_endpoint_keeps_its_connection() -> None:
    """The response was whole, so the connection serves the next request of anybody."""
    stage = staged(None, retry=RetryRule(on=[503]))
    client, first = asks(stage)
    first.sends(SLOW)
    stage.server().sends(OK)
    assert client.take() == OK and not first.is_gone()
    assert stage.board.endpoint_totals(0)["idle_connections"] == 1


def test_the_only_endpoint_is_asked_once_more() -> None:
    """Whole refusals on one connection: the second one is what the client gets."""
    stage = staged(None, 1, RetryRule(on=[503]))
    client, first = asks(stage)
    first.take()
    first.sends(SLOW)
    assert len(stage.opened) == 1 and first.take().startswith(b"GET / ")
    assert client.take() == b""
    first.sends(SLOW)
    assert client.take() == SLOW and stage.totals["retries"] == 1


def test_the_last_response_is_the_clients(pieces: int | None) -> None:
    """After `attempts` more tries the response is passed on as it came."""
    stage = staged(pieces, 5, RetryRule(attempts=3, on=[500, 503]))
    client, _ = asks(stage)
    for _ in range(3):
        stage.server().sends(SLOW)
        assert client.take() == b""
    stage.server().sends(response("500 Last", "Content-Length: 4", body=b"last"))
    assert client.take() == response("500 Last", "Content-Length: 4", body=b"last")
    assert sorted(stage.board.endpoint_totals(at)["requests"] for at in range(5)) == [0, 1, 1, 1, 1]


def test_another_status_is_passed_on(pieces: int | None) -> None:
    """A 502 is not a 503."""
    stage = staged(pieces, retry=RetryRule(on=[503]))
    client, first = asks(stage)
    first.sends(response("502 Bad Gateway", "Content-Length: 0"))
    assert client.take().startswith(b"HTTP/1.1 502 ") and len(stage.opened) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("what", ["status", "reset", "timeout"])
def test_what_is_not_idempotent_is_never_sent_twice(pieces: int | None, method: str, what: str) -> None:
    """RFC 9110 section 9.2.2, whatever the route says."""
    rule = RetryRule(attempts=5, on=["connect_failure", "reset", "timeout", 503], try_timeout=0.0)
    stage = staged(pieces, 3, rule)
    client, first = asks(stage, request(method, "/", "Content-Length: 2", body=b"hi"))
    if what == "status":
        first.sends(SLOW)
    elif what == "reset":
        first.ends()
    else:
        stage.context.expire()
    status = {"status": b"503", "reset": b"502", "timeout": b"504"}[what]
    assert client.take().startswith(b"HTTP/1.1 %b " % status) and len(stage.opened) == 1
    assert stage.totals["retries"] == 0


def test_a_post_goes_on_when_connecting_fails(pieces: int | None) -> None:
    """Not one byte of it was sent."""
    stage = staged(pieces, 3)
    client = stage.client()
    client.sends(request("POST", "/", "Content-Length: 2", body=b"hi"))
    stage.opened[0].refuses()
    stage.opened[1].refuses()
    assert stage.server().take().endswith(b"\r\n\r\nhi")
    stage.server().sends(OK)
    assert client.take() == OK


def test_a_kept_body_goes_along() -> None:
    """A PUT whose body came with its head is sent again with it; one whose body came later is not."""
    stage = staged(None, retry=RetryRule(on=[503]))
    client, first = asks(stage, request("PUT", "/", "Content-Length: 5", body=b"hello"))
    first.sends(SLOW)
    assert stage.server().take().endswith(b"\r\n\r\nhello")
    stage.server().sends(OK)
    assert client.take() == OK
    client.sends(request("PUT", "/", "Content-Length: 5"))
    server = next(server for server in stage.opened if server.take())
    client.sends(b"hello")
    server.sends(SLOW)
    assert client.take() == SLOW


def test_an_early_response_during_an_upload_is_the_clients(pieces: int | None) -> None:
    """A part of the body is gone, so a 503 in the middle of it is passed on."""
    stage = staged(pieces, retry=RetryRule(on=[503]))
    client, first = asks(stage, request("PUT", "/", "Content-Length: 100", body=b"a" * 10))
    first.sends(SLOW)
    assert client.take().endswith(b"later") and len(stage.opened) == 1
    client.lose()


def test_after_100_continue_nothing_is_sent_again(pieces: int | None) -> None:
    """The client saw an interim response of this endpoint."""
    stage = staged(pieces, retry=RetryRule(on=["reset", 503]))
    client, first = asks(stage, request("PUT", "/", "Content-Length: 5", "Expect: 100-continue"))
    first.sends(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sends(b"hello")
    first.sends(SLOW)
    assert client.take() == SLOW and len(stage.opened) == 1


def test_after_early_hints_nothing_is_sent_again(pieces: int | None) -> None:
    """As after 100 Continue; a request without body too."""
    stage = staged(pieces, retry=RetryRule(on=["reset", 503]))
    client, first = asks(stage)
    first.sends(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    first.ends()
    assert client.take().startswith(b"HTTP/1.1 103 ") and len(stage.opened) == 1


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_try_that_takes_too_long_goes_elsewhere(pieces: int | None) -> None:
    """The first endpoint loses its connection, so that it can stop working on it."""
    stage = staged(pieces, retry=RetryRule(on=["timeout"], try_timeout=0.0))
    client, first = asks(stage)
    seen = first.take()
    stage.context.expire()
    assert first.transport.aborted and client.take() == b""
    assert stage.server().take() == seen
    stage.server().sends(OK)
    assert client.take() == OK and stage.totals["retries"] == 1


@pytest.mark.parametrize("on", [("reset",), ("timeout",)])
def test_a_timeout_that_is_passed_on_is_504(tmp_path: Path, on: tuple[str, ...]) -> None:
    """Where the route does not name it, or a part of the response head came."""
    stage = staged(None, retry=RetryRule(on=on, try_timeout=0.0), log=tmp_path / "log")
    client, first = asks(stage)
    first.sends(b"HTTP/1.1 200 OK\r\nA" if on == ("timeout",) else b"")
    stage.context.expire()
    assert client.take().startswith(b"HTTP/1.1 504 ") and len(stage.opened) == 1
    assert stage.records()[0]["reason"] == "response_timeout"


def test_try_timeout_goes_before_response_timeout(pieces: int | None) -> None:
    """Also when it is the longer one."""
    stage = staged(pieces, retry=RetryRule(try_timeout=60.0), response_timeout=0.0)
    client, first = asks(stage)
    stage.context.expire()
    first.sends(OK)
    assert client.take() == OK


def test_the_deadline_during_a_try(pieces: int | None, tmp_path: Path) -> None:
    """504, the connection to the endpoint is cut, and the pipelined next request is served."""
    stage = staged(pieces, 1, RetryRule(timeout=0.0, on=["timeout", "reset"]), log=tmp_path / "log")
    client, first = asks(stage, request() + request("GET", "/next"))
    assert first.take().startswith(b"GET / ")
    stage.context.expire()
    assert client.take().startswith(b"HTTP/1.1 504 ") and not client.is_gone()
    assert first.transport.aborted
    assert stage.server().take().startswith(b"GET /next ")
    stage.server().sends(OK)
    assert client.take() == OK
    record, after = stage.records()
    assert (record["reason"], record["status"], record["endpoint"]) == ("route_timeout", 504, "10.0.0.0:80")
    assert "reason" not in after and stage.totals["errors"][ErrorReason.ROUTE_TIMEOUT] == 1


def test_the_deadline_during_connect(pieces: int | None) -> None:
    """The client has its 504; the connection that comes too late serves the next request."""
    stage = staged(pieces, 1, RetryRule(timeout=0.0))
    client = stage.client()
    client.sends(request())
    assert len(stage.opened) == 1
    stage.context.expire()
    assert client.take().startswith(b"HTTP/1.1 504 ")
    client.sends(request("GET", "/next"))
    assert len(stage.opened) == 1 and stage.server().take().startswith(b"GET /next ")
    stage.server().sends(OK)
    assert client.take() == OK


def test_the_deadline_between_two_tries(pieces: int | None) -> None:
    """It waits for room after the first try: it leaves the queue."""
    stage = staged(pieces, 1, RetryRule(timeout=0.0, on=["reset"]), max_connections=1)
    first, server = asks(stage)
    second = stage.client()
    second.sends(request("GET", "/second"))
    assert stage.totals["pending"] == 1
    stage.context.expire()
    assert first.take().startswith(b"HTTP/1.1 504 ") and second.take().startswith(b"HTTP/1.1 504 ")
    assert server.is_gone()


def test_no_further_try_after_the_deadline(pieces: int | None) -> None:
    """The walk over the deadlines has not come yet, but the time is over."""
    stage = staged(pieces, retry=RetryRule(timeout=0.0))
    client, first = asks(stage)
    first.ends()
    assert client.take().startswith(b"HTTP/1.1 502 ") and len(stage.opened) == 1


def test_the_deadline_does_not_end_an_upload(pieces: int | None) -> None:
    """The time in which the client sends does not count; after it the clock begins anew."""
    stage = staged(pieces, retry=RetryRule(timeout=0.0))
    client, first = asks(stage, request("PUT", "/", "Content-Length: 4", body=b"ab"))
    stage.context.expire()
    assert client.take() == b"" and not first.is_gone()
    client.sends(b"cd")
    assert first.take().endswith(b"abcd")
    stage.context.expire()
    assert client.take().startswith(b"HTTP/1.1 504 ")


def test_the_deadline_does_not_end_a_response(pieces: int | None) -> None:
    """Once its head is there, only `stream_idle` counts."""
    stage = staged(pieces, retry=RetryRule(timeout=0.0))
    client, first = asks(stage)
    first.sends(response("200 OK", "Content-Length: 4", body=b"ab"))
    stage.context.expire()
    first.sends(b"cd")
    assert client.take().endswith(b"\r\n\r\nabcd")


# --- budget, connect, log ---------------------------------------------------------------------------------------------


def test_the_budget_ends_retries(pieces: int | None) -> None:
    """Three are sent again at a time; the fourth failure is passed on, and counted, until one of them is over."""
    stage = staged(pieces, 1, RetryRule(on=[503]), max_connections=64)
    clients = []
    for _ in range(4):
        client, server = asks(stage)
        server.sends(response("503 Busy", body=b"x"))
        clients.append(client)
    assert [client.take()[:12] for client in clients] == [b"", b"", b"", b"HTTP/1.1 503"]
    assert (stage.totals["retries"], stage.totals["retries_over_budget"]) == (3, 1)
    assert stage.board.endpoint_states.read(0)["retrying"] == 3
    stage.server(1).sends(response("200 OK", "Connection: close", "Content-Length: 2", body=b"ok"))
    assert clients[0].take().endswith(b"\r\n\r\nok")
    client, server = asks(stage)
    server.sends(response("503 Busy", body=b"x"))
    assert client.take() == b"" and stage.totals["retries"] == 4
    for one in (*clients, client):
        one.lose()


@pytest.mark.parametrize("what", ["stream", "websocket"])
def test_a_response_that_has_begun_takes_no_budget(what: str) -> None:
    """Three long streams, or tunnels, that were sent again: the next failure is sent again as well."""
    stage = staged(None, 1, RetryRule(on=["reset"]), max_connections=64)
    clients = []
    for _ in range(4):
        client, server = asks(stage, request("GET", "/", *(UPGRADE if what == "websocket" else ())))
        server.ends()
        stage.server().sends(SWITCH if what == "websocket" else response("200 OK", "Content-Length: 9", body=b"begin"))
        assert client.take().startswith(b"HTTP/1.1 101 " if what == "websocket" else b"HTTP/1.1 200 ")
        clients.append(client)
    assert (stage.totals["retries"], stage.totals["retries_over_budget"]) == (4, 0)
    assert stage.board.endpoint_states.read(0)["retrying"] == 0
    for client in clients:
        client.lose()


def test_a_second_retry_of_one_request_takes_no_further_budget(pieces: int | None) -> None:
    """It is one request, however often it is sent again."""
    stage = staged(pieces, 1, RetryRule(attempts=10, on=["reset"]))
    client, _ = asks(stage)
    for _ in range(10):
        stage.server().ends()
    assert client.take() == b"" and stage.totals["retries"] == 10
    stage.server().ends()
    assert client.take().startswith(b"HTTP/1.1 502 ")


def test_the_budget_is_saved_by_requests(pieces: int | None) -> None:
    """While others send three requests again, a failure is passed on, until enough requests came for one more."""
    stage = staged(pieces, 1, RetryRule(on=[503]))
    states = stage.board.endpoint_states
    states.add(0, "retrying", 3)
    client, server = asks(stage)
    server.sends(SLOW)
    assert client.take().startswith(b"HTTP/1.1 503 ")
    client.lose()
    for _ in range(14):
        client, server = asks(stage)
        server.sends(OK)
        client.lose()
    client, server = asks(stage)
    server.sends(SLOW)
    stage.server().sends(OK)
    assert client.take().startswith(b"HTTP/1.1 200 ")
    states.add(0, "retrying", -3)


def test_connect_failures_are_passed_on_where_the_route_says_so(pieces: int | None) -> None:
    """`on` without connect_failure: the first endpoint decides."""
    stage = staged(pieces, 3, RetryRule(on=["reset"]))
    client = stage.client()
    client.sends(request())
    stage.opened[0].refuses()
    assert client.take().startswith(b"HTTP/1.1 503 ") and len(stage.opened) == 1


def test_attempts_0_sends_nothing_twice(pieces: int | None) -> None:
    """The cluster's `retries` do not count then; a failed connect still goes on."""
    stage = staged(pieces, 2, RetryRule(attempts=0), retries=5)
    client = stage.client()
    client.sends(request())
    stage.opened[0].refuses()
    stage.server(1).ends()
    assert client.take().startswith(b"HTTP/1.1 502 ") and len(stage.opened) == 2


def test_a_client_that_goes_during_a_retry(pieces: int | None) -> None:
    """The second endpoint loses its connection, too, and nothing else is tried."""
    stage = staged(pieces, 3, RetryRule(attempts=5, on=[503]))
    client, first = asks(stage)
    first.sends(SLOW)
    second = stage.server()
    client.lose()
    assert second.transport.aborted and len(stage.opened) == 2


def test_the_log_tells_every_try(tmp_path: Path) -> None:
    """How many there were and which endpoints failed, in their order; a request that was tried once has no such fields."""
    stage = staged(None, 3, RetryRule(attempts=3, on=["connect_failure", "reset", 503]), log=tmp_path / "log")
    client = stage.client()
    client.sends(request())
    stage.opened[0].refuses()
    stage.server(1).ends()
    stage.server(2).sends(response("503 Busy", body=b"x"))
    stage.opened[3].refuses()
    assert client.take().startswith(b"HTTP/1.1 503 ")
    client, server = asks(stage)
    server.sends(OK)
    first, second = stage.records()
    tried = first["failed_endpoints"].split(", ")
    assert sorted(tried[:3]) == [f"10.0.0.{at}:80" for at in range(3)] and tried[3] == tried[2]
    assert first["attempts"] == 4 and "endpoint" not in first
    assert (first["retries"], first["reason"]) == (2, "connect_failed")
    assert "attempts" not in second and "failed_endpoints" not in second


def test_ten_endpoints_that_refuse_are_enough_for_one_request() -> None:
    """A cluster of 25 is down: each request tries ten, those that nobody tried first, and so a few requests find the one that is up."""
    stage = staged(None, 25)
    tried: list[int] = []
    for answered in (False, False, True):
        client = stage.client()
        client.sends(request())
        while not (sent := client.take()):
            server = stage.opened[-1]
            tried.append(server.endpoint.row)
            if answered and len(tried) == 25:
                stage.server().sends(OK)
            else:
                server.refuses()
        assert sent == OK if answered else sent.startswith(b"HTTP/1.1 503 ")
    assert len(tried) == len(set(tried)) == 25
