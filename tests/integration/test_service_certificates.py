"""Certificates of a running balancer: replaced on disk, half replaced, changed by a reload, and TLS that is switched on and off."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lbjwt import LoadBalancer
from lbjwt.assembly.kept_files import KeptFiles
from lbjwt.net import certificate
from lbjwt.net.certificate import Certificate
from lbjwt.net.tls import TLSError
from tests.harness.certificates import PEM, PKCS8, PLAIN, certify
from tests.integration.service_reload_scene import LOOP_NAMES, LOOPS, Connection, File, Scene, player
from tests.integration.service_scene import TOKENS, backend


@pytest.fixture(params=LOOPS, ids=LOOP_NAMES)
def play(request: pytest.FixtureRequest) -> Scene:
    """Runs a coroutine in a loop of each kind."""
    return player(request.param)


def pair(directory: Path, name: str) -> tuple[bytes, bytes]:
    """A new certificate and its key; `name` is where the certificate is written for clients to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    text = certify(key), key.private_bytes(PEM, PKCS8, PLAIN)
    (directory / name).write_bytes(text[0])
    return text


def put(path: Path, content: bytes) -> None:
    """Replace a file as tools for certificates do."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


def listener(address: str = "127.0.0.1:0") -> dict[str, object]:
    return {"address": address, "tls": {"certificate": "cert.pem", "private_key": "key.pem"}}


async def shown(address: tuple[str, int], trusted: Path) -> bool:
    """Whether a new handshake shows the certificate that is in this file."""
    try:
        _, writer = await asyncio.open_connection(
            *address, ssl=ssl.create_default_context(cafile=str(trusted)), server_hostname="localhost"
        )
    except ssl.SSLError:
        return False
    writer.close()
    return True


async def until_shown(address: tuple[str, int], trusted: Path) -> None:
    async with asyncio.timeout(20):  # two looks, on a slow machine
        while not await shown(address, trusted):
            await asyncio.sleep(0.02)


def test_a_certificate_that_was_replaced_is_shown(
    play: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Without a reload, to new handshakes; a connection from before goes on. Half of a pair changes nothing and is logged once. A process that takes the
    place of this one would begin with what is shown.
    """
    names = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    old, new = pair(tmp_path, "old.pem"), pair(tmp_path, "new.pem")
    for name, content in zip(("cert.pem", "key.pem"), old, strict=True):
        (tmp_path / name).write_bytes(content)

    async def scene() -> None:
        async with backend() as (_, port):
            file = File(tmp_path, port)
            files = KeptFiles()
            async with LoadBalancer(file.read(listeners=[listener()]), kept_files=files) as balancer:
                (address,) = balancer.addresses
                context = ssl.create_default_context(cafile=str(tmp_path / "old.pem"))
                assert files.in_force()[names] == old
                kept = Connection()
                kept.reader, kept.writer = await asyncio.open_connection(
                    *address, ssl=context, server_hostname="localhost"
                )
                assert await kept.ask(token=TOKENS.mint()) == 200
                put(tmp_path / "cert.pem", new[0])
                async with asyncio.timeout(20):
                    while not caplog.messages:
                        await asyncio.sleep(0.02)
                assert await shown(address, tmp_path / "old.pem")
                put(tmp_path / "key.pem", new[1])
                await until_shown(address, tmp_path / "new.pem")
                assert files.in_force()[names] == new
                assert await kept.ask(token=TOKENS.mint()) == 200
                kept.writer.close()

    with caplog.at_level("INFO", "lbjwt.service"):
        play(scene())
    refused, used = caplog.messages
    assert "does not belong to" in refused and used.startswith("listeners[0].tls: new certificate in use")


def test_tls_is_switched_on_and_off(play: Scene, tmp_path: Path) -> None:
    """On the same socket: new clients meet it at once, those of before end with the answer under way."""
    text = pair(tmp_path, "ca.pem")
    for name, content in zip(("cert.pem", "key.pem"), text, strict=True):
        (tmp_path / name).write_bytes(content)

    async def scene() -> None:
        async with backend() as (_, port):
            file = File(tmp_path, port)
            async with LoadBalancer(file.read()) as balancer:
                (address,) = balancer.addresses
                async with Connection.to(address) as plain:
                    assert await plain.ask(token=TOKENS.mint()) == 200
                    await balancer.reload(file.read(listeners=[listener()]))
                    assert balancer.addresses == [address]
                    assert await shown(address, tmp_path / "ca.pem")
                    plain.send(token=TOKENS.mint())
                    status, head = await plain.answer()
                    assert status == 200 and b"\r\nConnection: close\r\n" in head
                await balancer.reload(file.read(listeners=[{"address": "127.0.0.1:0"}]))
                async with Connection.to(address) as plain:
                    assert await plain.ask(token=TOKENS.mint()) == 200

    play(scene())


def test_a_reload_reads_certificates_again_and_keeps_sessions(play: Scene, tmp_path: Path) -> None:
    """At once, without waiting for a look. Where the files are the same, a session of before is resumed."""
    old, new = pair(tmp_path, "old.pem"), pair(tmp_path, "new.pem")
    for name, content in zip(("cert.pem", "key.pem"), old, strict=True):
        (tmp_path / name).write_bytes(content)

    async def scene() -> None:
        async with backend() as (_, port):
            file = File(tmp_path, port)
            async with LoadBalancer(file.read(listeners=[listener()])) as balancer:
                (address,) = balancer.addresses
                context = balancer._runtime.listeners._by_name["127.0.0.1:0"].settings.tls
                await balancer.reload(file.read(realm="other"))
                assert balancer._runtime.listeners._by_name["127.0.0.1:0"].settings.tls is context
                put(tmp_path / "cert.pem", new[0])
                with pytest.raises(TLSError, match=r"listeners\[0\]\.tls"):
                    await balancer.reload(file.read())
                put(tmp_path / "key.pem", new[1])
                await balancer.reload(file.read())
                assert await shown(address, tmp_path / "new.pem")

    play(scene())


def test_a_pair_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    """A change counts when two looks saw the same; what cannot be used is tried once for each state of the files."""
    old, new = pair(tmp_path, "old.pem"), pair(tmp_path, "new.pem")
    files = [tmp_path / "cert.pem", tmp_path / "key.pem"]
    for path, content in zip(files, old, strict=True):
        path.write_bytes(content)
    watched = Certificate(*files, key="listeners[0].tls")
    first = watched.context
    assert not watched.has_new_files()
    files[0].write_bytes(new[0][:100])
    assert [watched.has_new_files() for _ in range(2)] == [False, True]
    with pytest.raises(TLSError):
        watched.renew()
    assert [watched.has_new_files() for _ in range(2)] == [False, False], "nothing new"
    files[0].unlink()
    assert not watched.has_new_files()
    for path, content in zip(files, new, strict=True):
        path.write_bytes(content)
    assert [watched.has_new_files() for _ in range(2)] == [False, True]
    assert watched.renew() is watched.context is not first
    os.utime(files[0], (0, 0))  # the time of now may be that of the write: kernels count it in ticks
    assert [watched.has_new_files() for _ in range(2)] == [False, True]
    assert watched.renew() is None and not watched.has_new_files(), "the same bytes are no new certificate"
    assert certificate.LOOK * 2 < 2.0
