"""Many requests one behind the other on one connection: the fastest way to ask a strict question a million times."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import islice

from tests.harness.client import Client, Outcome

DEPTH = 64  # requests on their way at once


def answers(port: int, requests: Iterable[bytes]) -> Iterable[tuple[bytes, int]]:
    """
    Each request with the status of its answer, in order; 0 where the connection ended without one.

    A connection that ends takes none of the requests behind it along: they are asked again on the next.
    """
    source = iter(requests)
    waiting: list[bytes] = []
    client: Client | None = None
    try:
        while True:
            if not waiting:
                waiting = list(islice(source, DEPTH))
                if not waiting:
                    return
            if client is None:
                client = Client(port, timeout=10.0)
            with suppress(OSError):  # what came before the end is read below
                client.send(b"".join(waiting), ["GET"] * len(waiting))
            done = 0
            for request in waiting:
                answer = client.response()
                if answer.outcome is not Outcome.COMPLETE:
                    break
                yield request, answer.status
                done += 1
                if answer.field("Connection").lower() == "close":
                    break
            if done < len(waiting):
                client.close()
                client = None
                if done == 0:  # it was the first on its connection: this is its answer
                    yield waiting[0], 0
                    done = 1
            waiting = waiting[done:]
    finally:
        if client is not None:
            client.close()
