"""Endpoints that misbehave, and what becomes of them: the parts of playbooks about passive health."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.playbooks.messages import OK
from tests.playbooks.stage import Client, Server, Stage, request, response

ERROR = response("500 Internal Server Error", "Content-Length: 0")


def state(stage: Stage, at: int = 0) -> dict[str, Any]:
    """What all workers know of an endpoint."""
    return stage.board.endpoint_states.read(at)


def is_ejected(stage: Stage, at: int = 0) -> bool:
    """It gets no request now."""
    return state(stage, at)["ejected_until"] > time.monotonic()


def time_passes(stage: Stage, at: int = 0) -> None:
    """The ejection of an endpoint is over."""
    assert is_ejected(stage, at)
    stage.board.endpoint_states.set(at, "ejected_until", time.monotonic() - 0.02)


def takes(stage: Stage) -> Server:
    """The connection on which a request has arrived that nobody took yet."""
    (server,) = [
        server
        for at in range(len(stage.opened))
        if not (server := stage.server(at)).told_lost and server.take().startswith(b"GET ")
    ]
    return server


def asks(stage: Stage, client: Client, answers: Callable[[Server], None]) -> int:
    """One request to its end; returns the number of the endpoint that got it."""
    client.sends(request())
    server = takes(stage)
    answers(server)
    client.take()
    return server.endpoint.row


def one_bad(bad: Callable[[Server], None], number: int = 0) -> Callable[[Server], None]:
    """Endpoint `number` misbehaves, the others answer well."""

    def answers(server: Server) -> None:
        (bad if server.endpoint.address == f"10.0.0.{number}:80" else serves)(server)

    return answers


def serves(server: Server) -> None:
    server.sends(OK)


def errs(server: Server) -> None:
    server.sends(ERROR)


def breaks(server: Server) -> None:
    server.sends(b"no HTTP at all\r\n\r\n")


def resets(server: Server) -> None:
    server.lose(ConnectionResetError())


def cuts(server: Server) -> None:
    server.sends(response("200 OK", "Content-Length: 5", body=b"ab"))
    server.lose(ConnectionResetError())


def hangs(server: Server) -> None:
    server.stage.context.expire()


def ejected_stage(count: int = 3, **options: Any) -> Stage:
    """Endpoint 0 was ejected for errors and its time is over."""
    stage = Stage(endpoints=count, max_idle=0, **options)
    while not is_ejected(stage):
        asks(stage, stage.client(), one_bad(errs))
    time_passes(stage)
    return stage


def until_first(stage: Stage) -> Client:
    """The client whose request is in the hands of endpoint 0, unanswered."""
    for _ in range(9):
        client = stage.client()
        client.sends(request())
        if stage.board.endpoint_totals(0)["in_flight"]:
            return client
        takes(stage).sends(OK)
    raise AssertionError("no request went there")
