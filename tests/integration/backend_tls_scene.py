"""Endpoints that speak TLS, as tests of a served configuration need them: what they were shown, and what they answer."""

import asyncio
import socket
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lbjwt import Configuration
from tests.harness.closing import close_server
from tests.integration.service_reload_scene import File
from tests.integration.service_scene import TOKENS


def server_side(
    pair: tuple[Path, Path],
    *,
    clients: Path | None = None,
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None,
) -> ssl.SSLContext:
    """
    The context of an endpoint.

    Args:
        pair: Certificate and key.
        clients: Authority of the client certificates that it requires; None: it requires none.
        versions: Least and most; None: all.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cafile=clients)
    if versions is not None:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version, context.maximum_version = versions
    return context


@dataclass
class Seen:
    """One connection, as the endpoint saw it."""

    resumed: bool
    version: str
    alpn: str | None
    client: str
    """Common name of the client certificate; "" without one."""


@dataclass
class SecureBackend:
    """An HTTP server over TLS: it answers with the size of the body it got, and in chunks with the body itself for `/echo`."""

    context: ssl.SSLContext
    port: int = 0
    close_each: bool = False
    """Close after each response."""
    connections: list[Seen] = field(default_factory=list)
    requests: int = 0
    names: list[str | None] = field(default_factory=list)
    """What clients asked for by SNI."""

    def __post_init__(self) -> None:
        self.context.sni_callback = lambda connection, name, context: self.names.append(name)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls: Any = writer.get_extra_info("ssl_object")
        certificate = tls.getpeercert() or {}
        subject = {key: value for pairs in certificate.get("subject", ()) for key, value in pairs}
        self.connections.append(
            Seen(tls.session_reused, tls.version(), tls.selected_alpn_protocol(), subject.get("commonName", ""))
        )
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
                body = await reader.readexactly(size)
                self.requests += 1
                end = b"Connection: close\r\n" if self.close_each else b""
                if b" /echo " in head:
                    writer.write(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (end, size) + body)
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\n%sContent-Length: 2\r\n\r\nok" % end)
                await writer.drain()
                if self.close_each:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            with suppress(OSError):
                writer.close()


@asynccontextmanager
async def secure_backend(context: ssl.SSLContext, **options: Any) -> AsyncIterator[SecureBackend]:
    """A running one."""
    scene = SecureBackend(context, **options)
    server = await asyncio.start_server(scene.serve, "127.0.0.1", scene.port, ssl=context)
    scene.port = server.sockets[0].getsockname()[1]
    try:
        yield scene
    finally:
        await close_server(server)


@contextmanager
def blocking_backend(context: ssl.SSLContext) -> Iterator[int]:
    """The port of a server on plain sockets, which sends its alerts: asyncio's closes without them. It answers each request."""

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as tls:
            while tls.recv(65536):
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(30)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def cluster(*addresses: str, **more: Any) -> dict[str, Any]:
    """The `clusters` section of one cluster."""
    return {"main": {"endpoints": [{"address": address} for address in addresses], **more}}


def configuration(directory: Path, *addresses: str, **more: Any) -> Configuration:
    """One with these endpoints."""
    return File(directory, 1).read(clusters=cluster(*addresses, **more))


def bearer() -> bytes:
    """A good token as a header."""
    return b"Authorization: Bearer " + TOKENS.mint().encode() + b"\r\n"


async def ask(address: tuple[str, int], target: str = "/", method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(
            f"{method} {target} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nContent-Length: {len(body)}\r\n".encode()
            + bearer()
            + b"\r\n"
            + body
        )
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return int(head[9:12]), rest
