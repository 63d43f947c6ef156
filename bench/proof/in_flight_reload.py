"""Long responses under way at a reload that takes away their route, endpoint, listener and policy: each ends whole."""

from __future__ import annotations

import time
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path

from bench.proof.registry import Bar, Result
from bench.proof.reloadscene import Reloads, Watchers, connections_to, reload_scene
from bench.proof.scene import taken
from tests.harness.client import Client, Outcome, Response, request
from tests.harness.ports import free_port
from tests.harness.script import pattern
from tests.harness.waiting import eventually

SIZE = 40_000  # bytes of each response, in twenty pieces
GONE = 1.0  # seconds after the last response until nothing of the old configuration is left
BODY = pattern(SIZE)


def is_exact(response: Response, id: str) -> bool:
    """A whole response to this very request, byte for byte."""
    return response.outcome is Outcome.COMPLETE and response.echo_id == id and response.body == BODY


def run(n: int, directory: Path) -> Result:
    """A third of the clients come by a listener that goes; half of the responses come from an endpoint that goes."""
    seconds = 8.0 if n >= 200 else 6.0
    leaving_listener = free_port()
    with (
        reload_scene(directory, timeouts={"keep_alive": "300s", "drain": "30s"}) as stage,
        ExitStack() as stack,
    ):
        reloads = Reloads(stage)
        first = deepcopy(reloads.document)
        reloads.document["listeners"].append({"address": f"127.0.0.1:{leaving_listener}"})
        reloads.document["routes"].insert(0, {"name": "long", "prefix": "/drip", "cluster": "main"})
        reloads.publish("post")
        watchers = Watchers(stage)
        clients = []
        for number in range(n):
            client = stack.enter_context(Client(leaving_listener if number % 3 == 2 else stage.port, timeout=60.0))
            client.send(request(f"/drip/{SIZE}/{seconds * 1000:.0f}", token=stage.token, id=f"flight-{number}"))
            clients.append(client)
        begin = time.monotonic()
        records = taken(stage)
        eventually(lambda: len(records.extend(taken(stage)) or records) >= n, seconds)
        time.sleep(seconds / 4)
        reloads.document.clear()
        reloads.document.update(first)
        leaving = stage.processes[1]
        reloads.document["clusters"]["main"]["endpoints"] = [{"address": stage.processes[0].address}]
        reloads.document["issuers"]["main"]["audiences"] = ["somebody-else"]
        reloads.document["routes"][0]["prefix"] = "/r"
        reloads.publish("post")
        visible = watchers.wait_for(reloads.realm)
        refused = set(watchers.statuses(stage.token)) == {401}
        during = time.monotonic() - begin < seconds
        exact = sum(is_exact(client.response(), f"flight-{number}") for number, client in enumerate(clients))
        moved = sum(record.backend == leaving.name for record in records)
        gone = eventually(lambda: not connections_to(stage, leaving.port), GONE)
        closed = sum(client.is_closed(GONE) for client in clients[2::3])
        watchers.close()
    wrong = [
        text
        for text, bad in (
            ("a request without a good token passed", any(record.verified != "ok" for record in records)),
            (f"only {len(records)} were under way", len(records) < n),
            ("the new configuration came after the responses", not during or visible == float("inf")),
            ("a new request passed by the old policy", not refused),
            ("no response came from the endpoint that left", not moved),
            (f"connections to the endpoint that left are open after {GONE:g} s", not gone),
            (
                f"{len(clients[2::3]) - closed} connections of the removed listener stay open",
                closed < len(clients[2::3]),
            ),
        )
        if bad
    ]
    figure = (
        f"{exact} of {n} responses of {seconds:g} s whole and exact, {moved} of them from the endpoint that left, "
        f"{len(clients[2::3])} by the listener that left"
    )
    return Result(n, figure, exact == n and not wrong, failures=n - exact, note="\n".join(wrong))


BAR = Bar(
    "in_flight_reload",
    "responses under way at a reload that removes their route, endpoint, listener, policy: all byte-exact, old connections gone 1 s later",
    30,
    200,
    run,
    alias="R3",
)
