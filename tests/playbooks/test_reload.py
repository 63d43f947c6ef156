"""
What a reload does to traffic: an exchange under way keeps what it began under, the next request of the same connection meets the new
configuration, and endpoints that leave are left. Whole and byte by byte.
"""

from types import SimpleNamespace
from typing import Any

import pytest

from lbjwt.http1._request import RequestPolicy
from lbjwt.proxy._admission import Admission
from lbjwt.proxy._health import Health
from lbjwt.proxy._listener_settings import ListenerSettings
from lbjwt.proxy._route import Route
from lbjwt.proxy.answers import route_answers
from tests.playbooks.policies import Policies, bearer, field_of, status_of, token
from tests.playbooks.stage import VERIFIER, Client, Server, Stage, request, response

OK = response("200 OK", "Content-Length: 2", body=b"ok")


def limits(**values: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{
            "max_request_body": None,
            "max_response_head": 65536,
            "max_response_fields": 200,
            "max_requests_per_connection": 0,
            **values,
        }
    )


def asks(stage: Stage, client: Client | None = None, target: str = "/", **options: Any) -> tuple[Client, Server]:
    """A request on its way, and the connection that has it."""
    client = client or stage.client()
    client.sends(request("GET", target, **options))
    return client, stage.server()


def answers(client: Client, server: Server) -> None:
    """The endpoint answers the request that it has, and the client gets that."""
    server.take()
    server.sends(OK)
    assert client.take() == OK


# --- the snapshot -----------------------------------------------------------------------------------------------------


def test_the_next_request_of_a_connection_meets_the_new_limits(pieces: int | None) -> None:
    """The one under way goes on under the old ones, its body too."""
    stage = Stage(pieces)
    client = stage.client()
    client.sends(request("POST", "/", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
    server = stage.server()
    server.take()
    stage.reload(limits=limits(max_request_body=4))
    client.sends(b"3\r\ndef\r\n0\r\n\r\n")
    answers(client, server)
    client.sends(request("POST", "/", "Content-Length: 6", body=b"abcdef"))
    assert status_of(client.take()) == 413


def test_a_response_is_measured_by_the_limits_that_its_request_began_under(pieces: int | None) -> None:
    """Its head may have more fields than the new configuration allows; that of the next one may not."""
    stage = Stage(pieces)
    client, server = asks(stage)
    stage.reload(limits=limits(max_response_fields=1))
    answers_with = response("200 OK", "A: 1", "B: 2", "Content-Length: 2", body=b"ok")
    server.take()
    server.sends(answers_with)
    assert status_of(client.take()) == 200
    client, server = asks(stage, client)
    server.sends(answers_with)
    assert status_of(client.take()) == 502


def test_a_refusal_that_was_due_before_the_reload_is_in_its_style(pieces: int | None) -> None:
    """A body that is refused in its middle is refused in the words of the route that it met; the next request meets the new route."""
    stage = Stage(pieces)

    def admission(realm: str) -> Admission:
        demands = stage.context.snapshot.admission.routes[0].demands
        return Admission(VERIFIER.gate, [Route(demands, route_answers(realm), cluster=stage.cluster)])

    stage.reload(admission=admission("one"))
    client = stage.client()
    client.sends(request(auth=b""))
    assert 'realm="one"' in field_of(client.take(), "WWW-Authenticate")
    stage.reload(admission=admission("two"))
    client.sends(request(auth=b""))
    assert 'realm="two"' in field_of(client.take(), "WWW-Authenticate")


def test_half_a_head_that_came_before_the_reload_is_read_by_the_new_rules() -> None:
    """No request has begun with half a head."""
    stage = Stage()
    client = stage.client()
    head = request("GET", "/", "Odd_Name: 1")
    client.sends(head[:-20])
    stage.listener.policy = RequestPolicy(header_names="reject", identity_headers=["X-Jwt-Sub"])
    client.sends(head[-20:])
    assert status_of(client.take()) == 400


def test_a_changed_policy_holds_for_the_very_next_request(pieces: int | None) -> None:
    """Also for a token that the connection has sent before and that is remembered; the request under way ends as it began."""
    policies = Policies()
    stage = Stage(pieces, **policies.options())
    text = token("a")
    client, server = asks(stage, auth=bearer(text))
    changed = Policies(issuers={"a": "required_claims: [nothing]", "b": ""})
    policies.verifier.reload(changed.trusted())
    answers(client, server)
    client.sends(request(auth=bearer(text)))
    assert status_of(client.take()) == 401 and len(stage.opened) == 1
    policies.verifier.reload(Policies().trusted())
    client, server = asks(stage, client, auth=bearer(text))
    answers(client, server)


# --- listeners --------------------------------------------------------------------------------------------------------


def test_a_listener_that_left_ends_its_clients_with_the_answer_under_way(pieces: int | None) -> None:
    """Idle ones have a moment for a request that is on its way; clients of other listeners stay."""
    stage = Stage(pieces)
    stays = stage.listener
    busy, server = asks(stage)
    idle = stage.client()
    stage.listener = ListenerSettings(stays.policy)
    other, other_server = asks(stage)
    answers(other, other_server)
    stage.context.drain_listener(stays, -1.0)
    stage.context.expire()
    assert idle.is_gone() and not busy.is_gone() and not other.is_gone()
    server.take()
    server.sends(OK)
    answer = busy.take()
    assert field_of(answer, "Connection") == "close" and answer.endswith(b"ok") and busy.is_gone()
    asks(stage, other)
    answers(other, server)  # the connection used last


def test_health_checks_follow_on_an_open_connection(pieces: int | None) -> None:
    """Their path is that of the configuration in force."""
    stage = Stage(pieces)
    client = stage.client()
    stage.listener.health = Health("/health")
    client.sends(request("GET", "/health", auth=b""))
    assert status_of(client.take()) == 503  # of a board without a worker that is ready
    stage.listener.health = None
    client.sends(request("GET", "/health", auth=b""))
    assert status_of(client.take()) == 401


# --- endpoints --------------------------------------------------------------------------------------------------------


def test_a_request_that_waits_goes_to_an_endpoint_that_came(pieces: int | None) -> None:
    """The one that it waited for has left."""
    stage = Stage(pieces, max_connections=1)
    first, server = asks(stage)
    waiting = stage.client()
    waiting.sends(request("GET", "/waits"))
    assert stage.totals["pending"] == 1
    stage.use_endpoints(1)
    stage.turn()
    assert stage.totals["pending"] == 0 and len(stage.opened) == 2
    answers(waiting, stage.server())
    answers(first, server)


def test_connections_of_an_endpoint_that_left_are_closed(pieces: int | None) -> None:
    """Pooled ones at once, those in use when their response is over, those being opened when they are open."""
    stage = Stage(pieces)
    clients = [stage.client() for _ in range(3)]
    for client in clients[:2]:
        client.sends(request())
    pooled, used = stage.server(0), stage.server(1)
    answers(clients[0], pooled)
    clients[2].sends(request())  # on the pooled one
    answers(clients[2], pooled)
    stage.use_endpoints(1)
    assert pooled.is_gone() and not used.is_gone()
    answers(clients[1], used)
    assert used.is_gone()
    client, server = asks(stage, clients[0])
    assert server.side is not used.side
    answers(client, server)
    assert not server.is_gone()
    assert stage.board.endpoint_totals(0)["connections"] == 0


def test_a_request_is_not_sent_again_to_an_endpoint_that_left(pieces: int | None) -> None:
    """The connection broke before an answer came: another member gets it, and without one it fails."""
    stage = Stage(pieces, 2, retries=2)
    client, server = asks(stage)
    left = stage.cluster.endpoints[0]
    stage.use_endpoints(1)
    server.lose()
    assert len(stage.opened) == 2 and stage.server().take().startswith(b"GET / ")
    stage.server().sends(OK)
    assert client.take() == OK
    client, server = asks(stage, client)
    stage.use_endpoints(0)
    returned = stage.cluster.endpoints[0]
    assert returned.address == left.address
    server.lose()
    answers(client, stage.server())


def test_a_request_whose_endpoint_left_while_it_was_connecting_is_served(pieces: int | None) -> None:
    """The connection that was opened for it is used for it, and is not kept."""
    stage = Stage(pieces, 1)
    client = stage.client()
    client.sends(request())
    stage.use_endpoints(1)
    server = stage.server()
    answers(client, server)
    assert server.is_gone()


def test_an_endpoint_that_stays_keeps_its_connections(pieces: int | None) -> None:
    """Whatever joins or leaves before it in the list, and whatever limits change."""
    stage = Stage(pieces, 3)
    clients = [stage.client() for _ in range(3)]
    for client in clients:
        client.sends(request())
    servers = [stage.server(number) for number in range(3)]
    for client, server in zip(clients, servers, strict=True):
        answers(client, server)
    stage.use_endpoints(5, 2, 1, max_connections=7)
    assert [server.is_gone() for server in servers] == [True, False, False]
    for number in (1, 2):
        assert stage.board.endpoint_totals(number)["idle_connections"] == 1
    assert stage.board.endpoint_totals(0)["idle_connections"] == 0


def test_an_endpoint_that_returns_is_used_again(pieces: int | None) -> None:
    """Its counters go on, and a connection from before it left is not pooled under it."""
    stage = Stage(pieces, 2)
    client, server = asks(stage)
    stage.use_endpoints(1)
    stage.use_endpoints(0)
    again, second = asks(stage)
    answers(again, second)
    answers(client, server)
    assert stage.board.endpoint_totals(0)["requests"] == 2
    assert server.is_gone() and not second.is_gone()
    assert stage.board.endpoint_totals(0)["connections"] == 1


def test_a_cluster_without_a_route_serves_what_it_has(pieces: int | None) -> None:
    """Requests that wait there are served by its endpoints as before; it keeps no connection, and is unused then."""
    stage = Stage(pieces, max_connections=1)
    first, server = asks(stage)
    waiting = stage.client()
    waiting.sends(request("GET", "/waits"))
    stage.cluster.retire()
    assert not stage.cluster.is_unused
    answers(first, server)
    stage.turn()
    answers(waiting, stage.server())
    stage.turn()
    assert stage.cluster.is_unused and all(one.is_gone() for one in stage.opened)


@pytest.mark.parametrize("logged", [True, False])
def test_an_access_log_that_opens_or_closes_has_whole_records(pieces: int | None, tmp_path: Any, logged: bool) -> None:
    """A request that began without a log is not logged, one that ends without a log either; no record has values of another request."""
    stage = Stage(pieces, log=tmp_path / "log")
    log = stage.access_log
    client = stage.client()
    for target, begins, ends in (("/1", logged, True), ("/2", True, logged), ("/3", True, True)):
        stage.context.access_log = log if begins else None
        _, server = asks(stage, client, target)
        stage.context.access_log = log if ends else None
        answers(client, server)
    assert [record["path"] for record in stage.records()] == (["/1", "/2", "/3"] if logged else ["/3"])


def test_a_lowered_limit_of_connections_is_kept_as_soon_as_they_are_released(pieces: int | None) -> None:
    """Idle connections that are too many close at the reload, those in use when their response has ended."""
    stage = Stage(pieces)
    clients = [asks(stage) for _ in range(4)]
    answers(*clients[0])
    stage.use_endpoints(0, max_connections=1)
    assert stage.endpoints[0].pool.open == 3
    for client, server in clients[1:]:
        answers(client, server)
    assert stage.endpoints[0].pool.open == 1
