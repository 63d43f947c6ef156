"""What the hostile tester found in the whole balancer. Strict: mending one ends its mark."""

import time
from pathlib import Path

from tests.harness.backend import Backend
from tests.harness.balancer import Balancer
from tests.harness.behaviour import good
from tests.harness.client import Client
from tests.harness.keyserver import KeyServer
from tests.harness.publisher import Issuer
from tests.harness.waiting import eventually


def ask(port: int, token: str) -> int:
    with Client(port) as client:
        return client.ask(token=token).status


def test_a_withdrawn_key_is_dead_also_when_the_disk_takes_nothing(tmp_path: Path):
    with KeyServer() as server, Backend(good) as backend:
        issuer = Issuer(server)
        state = tmp_path / "state"
        remote = issuer.remote(cooldown="1s", min_refresh="1s", refresh_interval="1s", timeout="1s")
        with Balancer(
            tmp_path, issuer, [backend.address], issuers={"main": remote}, workers=2, state_directory=str(state)
        ) as balancer:
            token = issuer.mint()
            assert ask(balancer.port, token) == 200
            assert eventually((state / "keys" / "main.json").exists)
            # as a full disk: no write gets through, and what was written before stays readable
            (state / "keys" / ".main.json.new").mkdir()
            leaked = issuer.published[-1]
            issuer.publish_next()
            issuer.switch()
            issuer.withdraw(leaked)
            asked = issuer.fetches
            end = time.monotonic() + 60.0
            while issuer.fetches < asked + 3 and time.monotonic() < end:
                time.sleep(0.1)
            # both workers hear of it, one of them perhaps later
            assert eventually(lambda: [ask(balancer.port, token) for _ in range(6)] == [401] * 6)
            assert eventually(lambda: [ask(balancer.port, issuer.mint()) for _ in range(6)] == [200] * 6)
