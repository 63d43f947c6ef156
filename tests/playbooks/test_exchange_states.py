"""Every event in every state of an exchange: it is expected, or it is a fault that ends the request safely."""

import gc

import pytest

from lbjwt._error_reason import ErrorReason
from lbjwt.proxy._exchange import Exchange
from lbjwt.proxy._exchange_states import TABLE, Event, State
from tests.playbooks.messages import OK, SWITCH, UPGRADE
from tests.playbooks.stage import VERIFIER, Client, Stage, request, response

EVENTS = [event for event in Event if event.name != "EVENTS"]
LIVING = [State.PENDING, State.CONNECTING, State.AWAITING, State.RESPONDING, State.TUNNEL]


class Scene:
    """A client whose request was brought into a state by traffic."""

    def __init__(self, state: State) -> None:
        before = exchanges()
        self.stage = Stage(max_connections=1)
        if state is State.PENDING:
            self.other = self.stage.client()
            self.other.sends(request())
            before = exchanges()
        self.client = self.stage.client()
        self.client.sends(request("GET", "/", *UPGRADE) if state is State.TUNNEL else request())
        (self.exchange,) = (found for found in exchanges() if all(found is not other for other in before))
        if state not in (State.PENDING, State.CONNECTING):
            self.stage.server()
        if state is State.RESPONDING:
            self.stage.server().sends(response("200 OK", "Content-Length: 3", body=b"ab"))
        elif state is State.TUNNEL:
            self.stage.server().sends(SWITCH)
        elif state is State.OVER:
            self.stage.server().sends(OK)
        self.client.take()
        assert self.exchange.state == state


def exchanges() -> list[Exchange]:
    return [found for found in gc.get_objects() if type(found) is Exchange]


def end(*clients: Client) -> None:
    for client in clients:
        client.lose()


def test_the_table_leaves_no_state_without_a_way_out() -> None:
    """From every state but OVER a lost client leads to OVER, and nothing at all is expected in OVER."""
    for state in State:
        expected = {event for event, at in TABLE if at == state}
        assert (Event.CLIENT_LOST in expected) is (state is not State.OVER)
        assert expected or state is State.OVER
    assert all(TABLE[Event.CLIENT_LOST, state] == (State.OVER,) for state in State if state is not State.OVER)


@pytest.mark.parametrize("state", [*LIVING, State.OVER], ids=lambda state: state.name.lower())
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name.lower())
def test_every_event_in_every_state(state: State, event: Event) -> None:
    """What the table has is expected and changes nothing by itself; all else is counted, and ends the request with 503 or cut short."""
    scene = Scene(state)
    faults = VERIFIER.gate.faults
    expected = scene.exchange.meets(event)
    assert expected is ((event, state) in TABLE)
    assert VERIFIER.gate.faults - faults == (0 if expected else 1)
    said = scene.client.take()
    if expected or state is State.OVER:
        assert said == b"" and not scene.client.is_gone() and scene.exchange.state == state
    elif state in (State.RESPONDING, State.TUNNEL):
        assert said == b"" and scene.client.transport.aborted
    else:
        assert said.startswith(b"HTTP/1.1 503 ") and not scene.client.is_gone()
    if not expected and state is not State.OVER:
        assert scene.stage.totals["errors"][ErrorReason.INTERNAL_ERROR] == 1
    end(scene.client, *([scene.other] if state is State.PENDING else []))
    assert scene.stage.totals["in_flight"] == scene.stage.board.endpoint_totals(0)["in_flight"] == 0
    assert scene.stage.totals["pending"] == 0


def test_after_a_fault_the_worker_serves_on() -> None:
    """One request met a fault: the next one of the same client is served, on a connection that the faulty one did not use."""
    scene = Scene(State.AWAITING)
    assert not scene.exchange.meets(Event.CONNECTED)
    assert scene.client.take().startswith(b"HTTP/1.1 503 ") and scene.stage.opened[0].is_gone()
    scene.stage.opened[0].lose()
    scene.client.sends(request())
    scene.stage.server().sends(OK)
    assert scene.client.take() == OK
