"""Clients that go away while their backend works: their requests end, whatever was under way, and the log tells them."""

import contextlib
import json
import socket
from pathlib import Path

import pytest

from tests.harness.balancer import Balancer
from tests.harness.client import Client, request
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually


@pytest.mark.parametrize(
    ("ending", "upload"),
    [
        pytest.param("close", False, id="closes while it waits"),
        pytest.param("abort", False, id="resets while it waits"),
        pytest.param("abort", True, id="resets its upload"),  # a close would stand behind the bytes that nobody takes
    ],
)
def test_a_client_that_gives_up_ends_its_request(tmp_path: Path, ending: str, upload: bool) -> None:
    """A backend that reads nothing holds the client's upload back; that the client is gone is noticed all the same, and logged as 499."""
    tokens = TokenFactory()
    with socket.create_server(("127.0.0.1", 0)) as hung:
        address = f"127.0.0.1:{hung.getsockname()[1]}"
        with Balancer(tmp_path, tokens, [address]) as balancer:

            def in_flight() -> list[int]:
                state = json.loads(balancer.admin_get("/status")[1])
                return [state["requests_in_flight"], state["endpoints"][0]["requests_in_flight"], state["connections"]]

            client = Client(balancer.port)
            fields = ["Content-Length: 100000000"] if upload else []
            client.send(
                request("/r/x", method="POST" if upload else "GET", token=tokens.mint(), id="gone", fields=fields)
            )
            client.socket.settimeout(1.0)
            with contextlib.suppress(TimeoutError):  # nothing is answered, or nobody takes any more
                while upload:
                    client.socket.send(b"u" * 65536)
            assert eventually(lambda: in_flight() == [1, 1, 1])
            getattr(client, ending)()
            assert eventually(lambda: in_flight() == [0, 0, 0])
            (line,) = balancer.settled_access_log(1)
            assert (line["status"], line["reason"], line["complete"]) == (499, "client_closed", False)
