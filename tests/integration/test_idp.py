"""A real identity provider, not ours: discovery, a token by client credentials, and a rotation of its keys, with nothing but its name configured."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import idp as harness
from tests.harness.client import Client
from tests.harness.idp import IdentityProvider
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

ALGORITHMS = ("RS256", "ES256")
REFRESH = 1.0  # seconds


@pytest.fixture
def idp(tmp_path: Path) -> Iterator[IdentityProvider]:
    """The provider, running."""
    if reason := harness.missing():
        pytest.skip(reason)
    with IdentityProvider(tmp_path) as provider:
        yield provider


class Users:
    """One thread per connection, each asking again and again with the token of the moment; every answer is kept."""

    def __init__(self, port: int, tokens: list[str]) -> None:
        self.tokens = tokens
        self.answers: list[tuple[str, int]] = []  # key id, status
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(4)]

    def _ask(self, number: int) -> None:
        while not self._stop.is_set():
            with Client(self._port) as client:  # a new connection now and then, so that every worker is asked
                for turn in range(20):
                    token = self.tokens[(number + turn) % len(self.tokens)]
                    self.answers.append((key_id(token), client.ask("/r/x", token=token).status))
                    time.sleep(0.01)

    def __enter__(self) -> Users:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def key_id(token: str) -> str:
    """The `kid` a token names."""
    head = token.partition(".")[0]
    kid: str = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    return kid


def status(stage: Stage, token: str) -> int:
    """What a request on a connection of its own gets."""
    with stage.client() as client:
        return client.ask("/r/x", token=token).status


@pytest.mark.quiet
def test_a_real_provider_rotates_its_keys_and_nobody_is_refused(idp: IdentityProvider, tmp_path: Path) -> None:
    """Discovery from the issuer's name, tokens of both algorithms, publish, switch and drop: no refusal until the old keys are gone, then at once."""
    issuer = {
        "issuer": idp.issuer,
        "audiences": ["api"],
        "jwks_file": ...,
        "access_token_profile": True,
        "required_scopes": ["read"],
        "discovery": {"refresh_interval": f"{REFRESH:g}s", "cooldown": "1s"},
    }
    with Stage(tmp_path, workers=2, issuers={"main": issuer}, shadow=False) as stage:
        old = [idp.token(algorithm) for algorithm in ALGORITHMS]
        with Users(stage.port, old) as users:
            assert eventually(lambda: len(users.answers) > 100)
            idp.publish()
            time.sleep(
                2 * REFRESH
            )  # what a provider grants those who keep a copy; a token need not wait for it, see below
            idp.switch()
            new = [idp.token(algorithm) for algorithm in ALGORITHMS]
            assert {key_id(token) for token in new}.isdisjoint({key_id(token) for token in old})
            users.tokens = old + new
            so_far = len(users.answers)
            assert eventually(lambda: len(users.answers) > so_far + 200)
            users.tokens = new
            time.sleep(0.1)
            idp.drop()
            so_far = len(users.answers)
            assert eventually(lambda: len(users.answers) > so_far + 200)
        refused = [answer for answer in users.answers if answer[1] != 200]
        assert not refused, refused[:5]
        assert {kid for kid, _ in users.answers} == {key_id(token) for token in old + new}

        def all_refused() -> bool:
            statuses = set()
            for _ in range(8):  # connections of their own: of both workers
                with stage.client() as client:
                    statuses |= {client.ask("/r/x", token=token).status for token in old}
            return statuses == {401}

        assert eventually(all_refused, REFRESH * 1.1 + 2.0)
        assert status(stage, new[0]) == 200


def test_a_provider_that_rotates_without_warning_costs_one_fetch_and_no_refusal(
    idp: IdentityProvider, tmp_path: Path
) -> None:
    """A token by a key that lbjwt has never seen waits for the one fetch that it causes, and passes."""
    issuer = {
        "issuer": idp.issuer,
        "audiences": ["api"],
        "jwks_file": ...,
        "discovery": {"refresh_interval": "1h", "cooldown": "1s"},
    }
    with Stage(tmp_path, workers=2, issuers={"main": issuer}, shadow=False) as stage:
        assert status(stage, idp.token("ES256")) == 200
        time.sleep(1.0)  # the cool-down that follows every fetch, the first one too
        idp.publish()
        idp.switch()
        idp.drop()
        for algorithm in ALGORITHMS:
            assert status(stage, idp.token(algorithm)) == 200
        assert status(stage, idp.token("ES256", scope="write")) == 200
