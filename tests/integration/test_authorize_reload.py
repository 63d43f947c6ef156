"""Listeners that are asked, while their configuration, their secret or their keys change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lbjwt import LoadBalancer
from lbjwt.address import Address
from lbjwt.config.load import load_text
from lbjwt.config.model import Configuration
from lbjwt.errors import ConfigurationError
from lbjwt.net.sockets import BindError
from tests.harness.issuer import Issuer, http
from tests.harness.ports import free_port
from tests.harness.short_path import short_directory
from tests.integration.service_scene import TOKENS, backend, configuration
from tests.unit.encrypted_tokens import encrypt, private_jwk, recipient

SECRET = b"the-first-of-two-secrets"
NEXT = b"the-other-of-two-secrets"


def asked(directory: Path, port: int, more: str = "", keys: str = "jwks_file: jwks.json") -> Configuration:
    """A listener at this port that forwards nothing."""
    TOKENS.write_jwks(directory / "jwks.json")
    return load_text(
        f"""
listeners: [{{address: "127.0.0.1:{port}", mode: authorize, authorize: {{profile: envoy{more}}}}}]
issuers: {{main: {{issuer: "{TOKENS.issuer}", audiences: [{TOKENS.audience}], {keys}}}}}
claim_to_headers: [{{claim: sub, header: X-Jwt-Sub}}]
""",
        directory,
    )


@contextlib.asynccontextmanager
async def closed_at_the_end() -> AsyncIterator[contextlib.ExitStack]:
    """Connections, each with what it has to do after the close within a turn of the loop."""
    with contextlib.ExitStack() as closing:
        yield closing
    await asyncio.sleep(0)


class Client:
    """A connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, closing: contextlib.ExitStack) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        closing.callback(writer.close)
        return cls(reader, writer)

    async def ask(self, *lines: bytes, token: str | None = None) -> bytes:
        """The head of the answer; b"" when the connection ended before it."""
        given = [b"Authorization: Bearer " + token.encode()] if token else []
        self.writer.write(b"\r\n".join([b"GET /a HTTP/1.1", b"Host: api.example", *given, *lines, b"", b""]))
        try:
            async with asyncio.timeout(60):
                head = await self.reader.readuntil(b"\r\n\r\n")
                size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
                await self.reader.readexactly(size)
                return head
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""


def test_a_listener_becomes_one_that_is_asked_and_back(tmp_path: Path) -> None:
    """An old connection gets an answer of one kind or none; the application is asked by forwarded requests alone."""
    asyncio.run(there_and_back(tmp_path))


async def there_and_back(tmp_path: Path) -> None:
    port = free_port()
    token = TOKENS.mint("ES256")
    async with backend() as (application, at):
        forwarding = configuration(tmp_path, at, listen=f"127.0.0.1:{port}")
        async with LoadBalancer(forwarding) as balancer, closed_at_the_end() as closing:
            before = await Client.connect(port, closing)
            assert b" 200 " in await before.ask(token=token)
            assert len(application.seen) == 1
            await balancer.reload(asked(tmp_path, port))
            assert (await before.ask(token=token))[9:12] in (b"", b"404")
            client = await Client.connect(port, closing)
            allowed = await client.ask(token=token)
            assert b" 200 " in allowed and b"X-Jwt-Sub: alice\r\n" in allowed
            assert b" 401 " in await client.ask()
            assert len(application.seen) == 1
            await balancer.reload(forwarding)
            assert (await client.ask())[9:12] in (b"", b"401")
            after = await Client.connect(port, closing)
            assert b" 200 " in await after.ask(token=token)
            assert len(application.seen) == 2


def test_a_path_goes_with_its_listener(tmp_path: Path) -> None:
    """In a program too: at a reload without it, at the end, and after a start that failed."""
    with short_directory() as directory:
        asyncio.run(comes_and_goes(tmp_path, directory / "a.sock"))


async def comes_and_goes(tmp_path: Path, path: Path) -> None:
    token = TOKENS.mint("ES256")
    port = free_port()
    over_tcp = asked(tmp_path, port)
    listener = over_tcp.listeners[0].model_copy(update={"address": Address(path=str(path))})
    over_path = over_tcp.model_copy(update={"listeners": (listener,)})
    async with LoadBalancer(over_path) as balancer, closed_at_the_end() as closing:
        client = Client(*await asyncio.open_unix_connection(str(path)))
        closing.callback(client.writer.close)
        assert b"X-Jwt-Sub: alice\r\n" in await client.ask(token=token)
        assert balancer.addresses == []
        await balancer.reload(over_tcp)
        assert not path.exists() and balancer.addresses == [("127.0.0.1", port)]
        await balancer.reload(over_path)
        assert path.exists()
        with pytest.raises(BindError, match="another process listens there"):
            await LoadBalancer(over_path).start()
    assert not path.exists()
    taken = over_tcp.model_copy(update={"listeners": (listener, over_tcp.listeners[0])})
    with socket.create_server(("127.0.0.1", port)):
        failing = LoadBalancer(taken)
        with pytest.raises(BindError):
            await failing.start()
        await failing.stop()
    assert not path.exists()


def test_new_keys_for_decryption_need_no_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As other key files: a file that is replaced counts, and one that cannot be used leaves the old keys in force."""
    monkeypatch.setattr("lbjwt.service.SWEEP", 0.02)
    asyncio.run(new_keys(tmp_path, caplog))


async def new_keys(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    port, file = free_port(), directory / "key.jwk"
    keys = [recipient("P-256"), recipient("P-256", 1)]
    tokens = [encrypt(TOKENS.mint("ES256").encode(), key, "ECDH-ES").decode() for key in keys]
    file.write_text(json.dumps(private_jwk(keys[0])))
    settings = asked(directory, port, keys="jwks_file: jwks.json, jwe: {key_files: [key.jwk]}")
    async with LoadBalancer(settings), closed_at_the_end() as closing, asyncio.timeout(60):
        client = await Client.connect(port, closing)
        assert [(await client.ask(token=token))[9:12] for token in tokens] == [b"200", b"401"]
        file.unlink()
        while "key.jwk: No such file" not in caplog.text:
            await asyncio.sleep(0.02)
        assert (await client.ask(token=tokens[0]))[9:12] == b"200"
        file.write_text(json.dumps(private_jwk(keys[1])))
        while (await client.ask(token=tokens[1]))[9:12] != b"200":
            await asyncio.sleep(0.02)
        assert (await client.ask(token=tokens[0]))[9:12] == b"401"


def test_a_reload_reads_the_secret_again(tmp_path: Path) -> None:
    """On connections that are open too; one that cannot be used is refused, and the old one stays."""
    asyncio.run(new_secrets(tmp_path))


async def new_secrets(tmp_path: Path) -> None:
    port = free_port()
    token = TOKENS.mint("ES256")
    (tmp_path / "secret").write_bytes(SECRET)
    settings = asked(tmp_path, port, ", secret_file: secret")
    async with LoadBalancer(settings) as balancer, closed_at_the_end() as closing:
        client = await Client.connect(port, closing)
        assert b" 200 " in await client.ask(b"X-Lbjwt-Secret: " + SECRET, token=token)
        (tmp_path / "secret").write_bytes(SECRET + b"\n" + NEXT)
        await balancer.reload(settings)
        for secret in (SECRET, NEXT):
            assert b" 200 " in await client.ask(b"X-Lbjwt-Secret: " + secret, token=token)
        (tmp_path / "secret").write_bytes(b"short")
        with pytest.raises(ConfigurationError, match=r"listeners\[0\].authorize.secret_file"):
            await balancer.reload(settings)
        (tmp_path / "secret").write_bytes(NEXT)
        assert b" 200 " in await client.ask(b"X-Lbjwt-Secret: " + SECRET, token=token)
        await balancer.reload(settings)
        assert b" 403 " in await client.ask(b"X-Lbjwt-Secret: " + SECRET, token=token)


def test_a_question_waits_for_a_new_key(tmp_path: Path) -> None:
    """Like a request: the description is read again when the key is there, and the verdict is about the same request."""
    asyncio.run(new_key(tmp_path))


async def new_key(tmp_path: Path) -> None:
    port = free_port()
    keys = TOKENS.jwks()["keys"]
    lines = [b"X-Forwarded-Method: GET", b"X-Forwarded-Uri: /b", b"X-Forwarded-Host: api.example"]
    async with Issuer() as issuer:
        issuer.answers["/jwks"] = http({"keys": [key for key in keys if key["kid"] != "ES256"]})
        remote = f'remote_jwks: {{uri: "{issuer.uri}/jwks", cooldown: 1s}}'
        settings = asked(tmp_path, port, ", original_request: x-forwarded", remote)
        async with LoadBalancer(settings) as balancer, closed_at_the_end() as closing:
            client = await Client.connect(port, closing)
            assert b" 200 " in await client.ask(*lines, token=TOKENS.mint("RS256"))
            issuer.answers["/jwks"] = http({"keys": keys})
            async with asyncio.timeout(60):
                while b" 200 " not in (head := await client.ask(*lines, token=TOKENS.mint("ES256"))):
                    await asyncio.sleep(0.1)  # in the cooldown after the first fetch no question waits
            assert b"X-Jwt-Sub: alice\r\n" in head
            assert balancer.board.totals()["waited"] >= 1
            assert b" 401 " in await client.ask(*lines)
