"""`LoadBalancer.reload` over real sockets, under asyncio's own loop and under uvloop: what changes, and everything that must stay."""

import asyncio
import json
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from lbjwt import LbjwtError, LoadBalancer
from lbjwt.errors import ConfigurationError
from tests.harness.issuer import Issuer, http
from tests.harness.ports import free_port
from tests.harness.tokens import TokenFactory
from tests.integration.service_reload_scene import LOOP_NAMES, LOOPS, Connection, File, Scene, ask, player
from tests.integration.service_scene import TOKENS, backend

OTHERS = TokenFactory(issuer="https://other.test")


@pytest.fixture(params=LOOPS, ids=LOOP_NAMES)
def play(request: pytest.FixtureRequest) -> Scene:
    """Runs a coroutine in a loop of each kind."""
    return player(request.param)


def test_the_next_request_of_a_kept_connection_meets_the_new_routes(play: Scene, tmp_path: Path) -> None:
    """It is not closed, and every change is told in a sentence."""

    async def scene() -> None:
        async with backend() as (_, port):
            file = File(tmp_path, port)
            async with LoadBalancer(file.read()) as balancer, Connection.to(balancer.addresses[0]) as client:
                assert await client.ask("/open") == 401
                routes = [{"name": "open", "prefix": "/open", "public": True}, {"name": "rest", "prefix": "/"}]
                told = await balancer.reload(file.read(routes=routes, realm="other"))
                assert told == ["routes: open added", "routes: rest added", "realm changed"] or sorted(told) == [
                    "realm changed",
                    "routes: open added",
                    "routes: rest added",
                ]
                assert await client.ask("/open") == 200
                client.send("/closed")
                status, head = await client.answer()
                assert status == 401 and b'realm="other"' in head
                assert await balancer.reload(file.read()) == []
                assert await balancer.reload(file.read(watch=True)) == []  # it has no effect here

    play(scene())


def test_a_request_under_way_ends_as_it_began(play: Scene, tmp_path: Path) -> None:
    """Its endpoint left, and its token is no longer accepted; the request after it meets both."""

    async def scene() -> None:
        async with backend() as (first, port), backend() as (second, other):
            first.gate.clear()
            file = File(tmp_path, port)
            async with LoadBalancer(file.read()) as balancer, Connection.to(balancer.addresses[0]) as client:
                client.send("/", TOKENS.mint(), b"slow")
                await first.arrived.wait()
                told = await balancer.reload(
                    file.read(
                        clusters={"main": {"endpoints": [{"address": f"127.0.0.1:{other}"}]}},
                        issuers={"main": File.issuer(jwks_file="jwks.json") | {"audiences": ["elsewhere"]}},
                    )
                )
                assert "issuers.main: audiences changed" in told
                first.gate.set()
                assert (await client.answer())[0] == 200
                assert await client.ask("/", TOKENS.mint()) == 401
                assert await client.ask("/", TOKENS.mint(aud="elsewhere")) == 200
                assert len(first.seen) == len(second.seen) == 1

    play(scene())


def test_tokens_of_an_unchanged_issuer_stay_verified(play: Scene, tmp_path: Path) -> None:
    """A reload that adds a route and an issuer costs no hit; one that changes the issuer costs each token one."""
    OTHERS.write_jwks(tmp_path / "other.json")

    async def scene() -> None:
        async with backend() as (_, port):
            file = File(tmp_path, port)
            async with LoadBalancer(file.read()) as balancer:
                cache = balancer.verifier.gate.cache
                token = TOKENS.mint()
                assert [await ask(balancer, token=token) for _ in range(2)] == [200, 200]
                assert (cache.misses, cache.hits) == (1, 1)
                other = {"issuer": OTHERS.issuer, "audiences": [OTHERS.audience], "jwks_file": "other.json"}
                main = File.issuer(jwks_file="jwks.json")
                await balancer.reload(
                    file.read(issuers={"other": other, "main": main}, routes=[{"name": "all", "prefix": "/"}])
                )
                assert await ask(balancer, token=token) == 200
                assert (cache.misses, cache.hits) == (1, 2)
                assert await ask(balancer, token=OTHERS.mint()) == 200
                await balancer.reload(file.read(issuers={"other": other, "main": main | {"required_claims": ["sub"]}}))
                assert await ask(balancer, token=token) == 200
                assert (cache.misses, cache.hits) == (3, 2)
                await balancer.reload(file.read(issuers={"other": other}))
                assert await ask(balancer, token=token) == 401

    play(scene())


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"listeners": [{"address": "127.0.0.1:0"}, {"address": "192.0.2.1:80"}]}, "listeners.1..address"),
        ({"issuers": {"main": File.issuer(jwks_file="absent.json")}}, r"absent\.json"),
        (
            {
                "listeners": [
                    {"address": "127.0.0.1:0", "tls": {"certificate": "jwks.json", "private_key": "jwks.json"}}
                ]
            },
            "tls",
        ),
        ({"access_log": {"path": "absent/access.log"}}, "access_log.path"),
    ],
    ids=["address", "keys", "certificate", "log"],
)
def test_a_configuration_that_cannot_be_served_changes_nothing(
    play: Scene, tmp_path: Path, changed: dict[str, Any], match: str
) -> None:
    """The old one stays in force, with all of its keys, listeners and descriptors."""

    async def scene() -> None:
        async with backend() as (_, port):
            file = File(tmp_path, port)
            async with LoadBalancer(file.read()) as balancer:
                addresses = balancer.addresses
                await balancer.reload(file.read())  # what a first reload opens for good is open
                before = len(os.listdir("/proc/self/fd"))
                with pytest.raises(LbjwtError, match=match):
                    await balancer.reload(file.read(realm="never", **changed))
                assert len(os.listdir("/proc/self/fd")) == before
                assert balancer.addresses == addresses and balancer.configuration.realm == "lbjwt"
                assert not balancer.board.reload_ok
                assert await ask(balancer, token=TOKENS.mint()) == 200

    play(scene())


def test_listeners_come_and_go(play: Scene, tmp_path: Path) -> None:
    """A new one serves when the reload returns. One that left accepts nobody, ends its idle clients, and lets the others have their answer."""

    async def scene() -> None:
        async with backend() as (seen, port):
            file = File(tmp_path, port)
            stays, leaves = ({"address": f"127.0.0.1:{free_port()}"} for _ in range(2))
            async with AsyncExitStack() as stack:
                balancer = await stack.enter_async_context(LoadBalancer(file.read(listeners=[stays])))
                kept = await stack.enter_async_context(Connection.to(balancer.addresses[0]))
                assert await kept.ask(token=TOKENS.mint()) == 200
                assert await balancer.reload(file.read(listeners=[leaves, stays])) == [
                    f"listeners: {leaves['address']} added"
                ]
                assert len(balancer.addresses) == 2
                idle, busy = [await stack.enter_async_context(Connection.to(balancer.addresses[0])) for _ in range(2)]
                assert await idle.ask(token=TOKENS.mint()) == 200
                seen.gate.clear()
                seen.arrived.clear()
                busy.send(token=TOKENS.mint(), body=b"late")
                await seen.arrived.wait()
                (address, _) = balancer.addresses
                await balancer.reload(file.read(listeners=[stays]))
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection(*address)
                assert await idle.is_closed()
                seen.gate.set()
                status, head = await busy.answer()
                assert status == 200 and b"\r\nConnection: close\r\n" in head and await busy.is_closed()
                assert await kept.ask(token=TOKENS.mint()) == 200

    play(scene())


def test_a_client_in_the_queue_of_a_listener_that_left_is_served(play: Scene, tmp_path: Path) -> None:
    """It connected before the reload; nobody had accepted it yet."""

    async def scene() -> None:
        async with backend() as (_, port):
            file = File(tmp_path, port)
            stays, leaves = ({"address": f"127.0.0.1:{free_port()}"} for _ in range(2))
            async with LoadBalancer(file.read(listeners=[stays, leaves])) as balancer:
                _, address = balancer.addresses
                listeners = balancer._runtime.listeners
                plan = listeners.plan(file.read(listeners=[stays]))
                with socket.create_connection(address) as client:  # the loop does not run, so nobody accepts it
                    client.sendall(
                        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKENS.mint()}\r\n\r\n".encode()
                    )
                    listeners.use(plan)
                    client.setblocking(False)
                    answer = await asyncio.get_running_loop().sock_recv(client, 4096)
                    assert answer.startswith(b"HTTP/1.1 200 ")

    play(scene())


def test_a_key_file_with_another_path_is_read(play: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Tokens by the keys of the old file are refused at once, also remembered ones; the log names both keys."""
    rotated = TokenFactory()
    rotated.write_jwks(tmp_path / "rotated.json")

    async def scene() -> None:
        async with backend() as (_, port):
            file = File(tmp_path, port)
            async with LoadBalancer(file.read()) as balancer:
                old, new = TOKENS.mint(), rotated.mint()
                assert [await ask(balancer, token=token) for token in (old, new)] == [200, 401]
                await balancer.reload(file.read(issuers={"main": File.issuer(jwks_file="rotated.json")}))
                assert [await ask(balancer, token=token) for token in (old, new)] == [401, 200]

    with caplog.at_level("INFO", "lbjwt.jwks"):
        play(scene())
    told = [message.partition(",")[0] for message in caplog.messages]
    assert "issuer main: key removed: id 'ES256'" in told and told.count("issuer main: key added: id 'ES256'") == 2


def test_an_issuer_with_remote_keys_is_there_when_the_reload_returns(
    play: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its keys are fetched before its routes are in force, without a warning; sources that stay are not asked again."""

    async def scene() -> None:
        async with backend() as (_, port), Issuer() as first, Issuer() as second:
            first.answers["/jwks"] = http(TOKENS.jwks())
            second.answers["/jwks"] = http(OTHERS.jwks())
            file = File(tmp_path, port)
            main = File.issuer(remote_jwks={"uri": f"{first.uri}/jwks"})
            other = {
                "issuer": OTHERS.issuer,
                "audiences": [OTHERS.audience],
                "remote_jwks": {"uri": f"{second.uri}/jwks"},
            }
            async with LoadBalancer(file.read(issuers={"main": main})) as balancer:
                token = TOKENS.mint()
                assert await ask(balancer, token=token) == 200
                await balancer.reload(file.read(issuers={"main": main, "other": other}))
                assert [await ask(balancer, token=one) for one in (token, OTHERS.mint())] == [200, 200]
                assert (first.count("/jwks"), second.count("/jwks")) == (1, 1)
                assert "no keys" not in caplog.text
                await balancer.reload(file.read(issuers={"other": other}))
                assert [await ask(balancer, token=one) for one in (token, OTHERS.mint())] == [401, 200]
                assert second.count("/jwks") == 1
                # keys of another place are not believed, whatever they were believed for
                moved = other | {"remote_jwks": {"uri": f"{first.uri}/nothing"}}
                await balancer.reload(file.read(issuers={"other": moved}))
                assert await ask(balancer, token=OTHERS.mint()) == 503

    play(scene())


def test_keys_outlive_a_longer_limit_of_their_document(play: Scene, tmp_path: Path) -> None:
    """Though the issuer is down: the key set moves into the new memory of the feed, and the next reload finds it there."""

    async def scene() -> None:
        async with backend() as (_, port), Issuer() as issuer:
            issuer.answers["/jwks"] = http(TOKENS.jwks())
            file = File(tmp_path, port)
            remote = {"uri": f"{issuer.uri}/jwks", "max_bytes": "64KiB"}
            async with LoadBalancer(file.read(issuers={"main": File.issuer(remote_jwks=remote)})) as balancer:
                assert await ask(balancer, token=TOKENS.mint()) == 200
                del issuer.answers["/jwks"]
                for changed in ({"max_bytes": "128KiB"}, {"max_stale": "2h"}, {"max_bytes": "32KiB"}):
                    remote |= changed
                    await balancer.reload(file.read(issuers={"main": File.issuer(remote_jwks=remote)}))
                    assert await ask(balancer, token=TOKENS.mint()) == 200

    play(scene())


def test_limits_and_logs_follow(play: Scene, tmp_path: Path) -> None:
    """Of a connection that is open, too: the length of a body, the place of the log, health checks."""

    async def scene() -> None:
        async with backend() as (_, port):
            file = File(tmp_path, port)
            async with LoadBalancer(file.read(access_log={"path": "one.log"})) as balancer:
                async with Connection.to(balancer.addresses[0]) as client:
                    assert await client.ask("/1", TOKENS.mint(), b"12345") == 200
                    await balancer.reload(
                        file.read(
                            access_log={"path": "two.log"},
                            listeners=[{"address": "127.0.0.1:0", "health": {"path": "/health"}}],
                        )
                    )
                    client.writer.write(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
                    assert (await client.answer())[0] == 200
                    await balancer.reload(file.read(limits={"max_request_body": 4}))
                    assert await client.ask("/2", TOKENS.mint(), b"12345") == 413
                balancer.reopen_access_log()
                await balancer.reload(file.read(access_log=None))
            paths = [
                [json.loads(line)["path"] for line in (tmp_path / f"{name}.log").read_text().splitlines()]
                for name in ("one", "two")
            ]
            assert paths == [["/1"], ["/2"]]

    play(scene())


def test_what_needs_a_restart_is_told_and_keeps_its_value(play: Scene, tmp_path: Path) -> None:
    """The rest of the configuration is applied; the admin API shows it."""

    async def scene() -> None:
        async with backend() as (_, port):
            file = File(tmp_path, port)
            async with LoadBalancer(file.read(admin={"address": "127.0.0.1:0"})) as balancer:
                told = await balancer.reload(
                    file.read(token_cache={"max_entries": 5}, admin=None, routes=[{"name": "new", "prefix": "/"}])
                )
                assert told == ["routes: new added", "needs a restart: admin, token_cache"]
                (door,) = balancer.admin_addresses
                async with Connection.to(door) as client:
                    client.writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    text = await client.reader.read()
                    assert b'route="new"' in text and b"lbjwt_config_last_reload_successful 1.0" in text

    play(scene())


def test_new_values_must_go_with_the_old_ones_that_stay(play: Scene, tmp_path: Path) -> None:
    """An access log at the path of the file of revocations, which the new configuration no longer reads: this needs the restart first."""

    async def scene() -> None:
        revoked = tmp_path / "revoked.jsonl"
        revoked.write_text("")
        async with backend() as (_, port):
            file = File(tmp_path, port)
            async with LoadBalancer(file.read(revocation={"file": revoked.name})) as balancer:
                before = balancer.configuration
                new = file.read(revocation={}, access_log={"path": revoked.name})
                with pytest.raises(
                    ConfigurationError, match=r"access_log\.path: .*revocation as in force until a restart"
                ):
                    await balancer.reload(new)
                assert balancer.configuration == before
                assert await ask(balancer, token=TOKENS.mint()) == 200
        assert revoked.read_text() == ""

    play(scene())


def test_reloads_one_after_another_under_requests(play: Scene, tmp_path: Path) -> None:
    """Requests on kept and new connections go on while endpoints and routes change; none fails, and nothing is left behind."""

    async def scene() -> None:
        async with backend() as (_, port), backend() as (_, other):
            file = File(tmp_path, port)
            addresses = [{"address": f"127.0.0.1:{each}"} for each in (port, other)]
            async with LoadBalancer(
                file.read(),
            ) as balancer:
                token, ended, statuses = TOKENS.mint(), asyncio.Event(), []

                async def kept() -> None:
                    async with Connection.to(balancer.addresses[0]) as client:
                        while not ended.is_set():
                            statuses.append(await client.ask("/", token, b"body"))

                async def fresh() -> None:
                    while not ended.is_set():
                        statuses.append(await ask(balancer, "/", token))

                async with asyncio.TaskGroup() as group:
                    for work in (kept, kept, fresh):
                        group.create_task(work())
                    open_files = []
                    for turn in range(30):
                        await balancer.reload(
                            file.read(
                                clusters={
                                    "main": {"endpoints": [addresses[turn % 2]]},
                                    f"c{turn}": {"endpoints": addresses},
                                },
                                routes=[
                                    {"name": f"r{turn % 3}", "prefix": "/", "cluster": ("main", f"c{turn}")[turn % 2]}
                                ],
                            )
                        )
                        open_files.append(len(os.listdir("/proc/self/fd")))
                    ended.set()
                assert set(statuses) == {200} and len(statuses) > 30
                assert max(open_files[-5:]) <= max(open_files[:5]) + 4

    play(scene())


def test_two_reloads_at_once_take_turns(play: Scene, tmp_path: Path) -> None:
    """The last one that was asked for is in force."""

    async def scene() -> None:
        async with backend() as (_, port):
            file = File(tmp_path, port)
            async with LoadBalancer(file.read()) as balancer:
                await asyncio.gather(*(balancer.reload(file.read(realm=f"r{number}")) for number in range(5)))
                assert balancer.configuration.realm == "r4"

    play(scene())


def test_without_service_there_is_no_reload(play: Scene, tmp_path: Path) -> None:
    """Neither before the start nor in a drain nor after the end."""

    async def scene() -> None:
        file = File(tmp_path, 1)
        balancer = LoadBalancer(file.read())
        with pytest.raises(ConfigurationError, match="no reload"):
            await balancer.reload(file.read())
        async with balancer:
            await balancer.drain()
            with pytest.raises(ConfigurationError, match="no reload"):
                await balancer.reload(file.read(realm="late"))
        with pytest.raises(ConfigurationError, match="no reload"):
            await balancer.reload(file.read())

    play(scene())
