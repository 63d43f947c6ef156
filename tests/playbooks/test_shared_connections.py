"""Two workers share the connections that an endpoint may have: the limit holds, and a worker whose requests wait gets its turn."""

from lbjwt.observe._board import Board
from tests.playbooks.messages import OK
from tests.playbooks.stage import Stage, request


def workers(max_connections: int = 1) -> tuple[Stage, Stage]:
    """Two workers with one endpoint, and room for so many connections to it."""
    board = Board(2, 1, 1, 1000)
    first, second = (Stage(board=board, slot=slot, max_connections=max_connections, max_pending=100) for slot in (0, 1))
    first.board.attach(0)
    return first, second


def open_connections(*stages: Stage) -> int:
    return sum(not server.transport.closed for stage in stages for server in stage.opened)


def test_a_worker_whose_request_waits_gets_the_connection_when_it_is_released() -> None:
    """The other worker has nothing to do, and closes its connection instead of keeping it."""
    first, second = workers()
    one, other = first.client(), second.client()
    one.sends(request())
    other.sends(request())
    assert (len(first.opened), len(second.opened)) == (1, 0)
    first.server().sends(OK)
    assert one.take() == OK
    assert open_connections(first) == 0
    second.cluster.look()
    second.server().sends(OK)
    assert other.take() == OK


def test_an_idle_connection_is_given_up_for_a_worker_that_waits() -> None:
    """By the walk over the deadlines, as nothing else happens in the worker that has it."""
    first, second = workers()
    one, other = first.client(), second.client()
    one.sends(request())
    first.server().sends(OK)
    assert open_connections(first) == 1
    other.sends(request())
    assert not second.opened
    first.context.expire()
    assert open_connections(first) == 0
    second.cluster.look()
    second.server().sends(OK)
    assert other.take() == OK


def test_an_idle_connection_is_kept_while_nobody_waits() -> None:
    """Also after the wish of another worker was met."""
    first, second = workers(2)
    for stage in (first, second):
        client = stage.client()
        client.sends(request())
        stage.server().sends(OK)
        assert client.take() == OK
    for stage in (first, second):
        stage.context.expire()
    assert open_connections(first, second) == 2


def test_room_that_was_given_up_is_left_to_the_worker_that_asked() -> None:
    """A new request in the worker that gave it up waits behind it, and is served afterwards."""
    first, second = workers()
    one, other = first.client(), second.client()
    one.sends(request())
    other.sends(request())
    first.server().sends(OK)
    assert one.take() == OK
    one.sends(request())
    first.turn()
    assert len(first.opened) == 1, "the room belongs to the worker that waited first"
    second.cluster.look()
    second.server().sends(OK)
    assert other.take() == OK
    first.cluster.look()
    if open_connections(second):
        second.context.expire()
        first.cluster.look()
    first.server().sends(OK)
    assert one.take() == OK


def test_the_limit_holds_whoever_opens() -> None:
    """Ten requests in each of two workers, room for three connections: never more are open, and every request is answered."""
    first, second = workers(3)
    clients = [stage.client() for _ in range(10) for stage in (first, second)]
    for client in clients:
        client.sends(request())
    waiting = list(clients)
    for _ in range(200):
        for stage in (first, second):
            assert open_connections(first, second) <= 3
            assert stage.board.endpoint_states.read(0)["connections"] <= 3
            for number in range(len(stage.opened)):
                server = stage.server(number)
                if server.take():
                    server.sends(OK)
            stage.turn()
            stage.cluster.look()
            stage.context.expire()
        waiting = [client for client in waiting if client.take() != OK]
        if not waiting:
            break
    assert not waiting
