"""
One check of one endpoint: a connection of its own, one request at most, closed at the end.

The request has a fixed text. Nothing of a client, no token and no connection of the traffic is in it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from lbjwt.address import Address
from lbjwt.errors import cause_of
from lbjwt.http2._one_request import OneRequest
from lbjwt.net.certificate import BackendTls
from lbjwt.net.descriptors import is_local
from lbjwt.net.handshake import fault_of
from lbjwt.net.threads import in_thread
from lbjwt.net.tls import TLSError
from lbjwt.upstream.health import grpc
from lbjwt.upstream.health.response import ResponseCheck, decided, judged
from lbjwt.upstream.health.settings import HealthCheck

PIECE: Final = 16 * 1024
"""Bytes that are read at a time."""


NO_HTTP2: Final = "it does not offer HTTP/2 during the TLS handshake (ALPN)"


class NotMade(Exception):
    """The check could not be made, for a reason that is this process's own: it says nothing of the endpoint."""


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint and how it is checked."""

    row: int
    """Of its shared state."""
    cluster: str
    address: Address
    check: HealthCheck
    tls: BackendTls | None = None
    """None: plain."""
    protocol: str = "http1"
    """That the cluster speaks: `http1`, `http2`, or `auto`, which is what the TLS handshake agrees on."""

    @property
    def host(self) -> str:
        """The value of the `Host` header."""
        if self.check.host is not None:
            return self.check.host
        return "localhost" if self.address.is_unix else replace(self.address, host=self.address.name).authority

    @property
    def server_name(self) -> str | None:
        """Whom the certificate must name; None without TLS. A Unix socket is on this machine."""
        return None if self.tls is None else self.tls.name_of(self.address) or "localhost"

    def request(self) -> bytes:
        """What is sent."""
        check = self.check
        return (
            f"{check.method} {check.path} HTTP/1.1\r\nHost: {self.host}\r\nUser-Agent: lbjwt-health-check\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n"
        ).encode()

    def fields(self) -> list[tuple[bytes, bytes]]:
        """What is sent over HTTP/2."""
        return [
            (b":method", self.check.method.encode()),
            (b":scheme", b"http" if self.tls is None else b"https"),
            (b":path", self.check.path.encode()),
            (b":authority", self.host.encode()),
            (b"user-agent", b"lbjwt-health-check"),
            (b"accept", b"*/*"),
        ]


async def probe(target: Target) -> str:
    """
    Check once; return "" when the endpoint passes, else why it does not.

    Raises:
        NotMade: This machine is short of descriptors, local ports or memory, or no file for TLS could be used since the start.
    """
    timeout = target.check.timeout
    connected = False
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await _connect(target)
            connected = True
            try:
                match target.check.type:
                    case "tcp":
                        return ""
                    case "grpc":
                        return await _call(target, reader, writer)
                return await _ask(target, reader, writer)
            finally:
                writer.transport.abort()  # nothing is waited for: neither for a close_notify nor for the rest of a body
    except TimeoutError as error:
        if error.errno is not None:
            return cause_of(error).lower()
        return f"no {'response' if connected else 'connection'} within {timeout:g} s"
    except ssl.SSLError as error:
        return f"the TLS handshake failed: {fault_of(error, target.server_name or '')}"
    except OSError as error:
        if is_local(error):
            raise NotMade(cause_of(error)) from None
        return cause_of(error).lower()
    except UnicodeError:
        return "the host name cannot be encoded"


async def _connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address, name = target.address, target.server_name
    tls = None if target.tls is None else await _context(target.tls)
    if address.path is not None:
        return await asyncio.open_unix_connection(address.path, ssl=tls, server_hostname=name)
    port = target.check.port or address.port
    return await asyncio.open_connection(address.host, port, ssl=tls, server_hostname=name)


async def _context(tls: BackendTls) -> ssl.SSLContext:
    """The context of the files as they are now; those that cannot be used change nothing, which the first worker logs."""
    if tls.has_new_files() or tls.fault:
        with contextlib.suppress(TLSError):
            await in_thread(tls.renew)
    if tls.fault:
        raise NotMade
    return tls.context


async def _call(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Ask the health service of a gRPC server."""
    tls = writer.get_extra_info("ssl_object")
    if tls is not None and tls.selected_alpn_protocol() != "h2":
        return NO_HTTP2
    request = OneRequest(grpc.request_fields(tls is not None, target.host), grpc.request_body(target.check.service))
    await _exchange(request, reader, writer, lambda: request.ended)
    return grpc.failure_of(request.status, request.fields, request.body)


async def _ask(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    tls = writer.get_extra_info("ssl_object")
    agreed = None if tls is None else tls.selected_alpn_protocol()
    if target.protocol == "http2" and tls is not None and agreed != "h2":
        return NO_HTTP2
    if target.protocol == "http2" or (target.protocol == "auto" and agreed == "h2"):
        return await _ask_http2(target, reader, writer)
    response = ResponseCheck(target.check)
    with contextlib.suppress(ConnectionError):  # what it had sent before decides
        writer.write(target.request())
        while response.failure is None:
            data = await reader.read(PIECE)
            if not data:
                break
            response.feed(data)
    response.ended()
    assert response.failure is not None
    return response.failure


async def _exchange(
    request: OneRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_enough: Callable[[], bool]
) -> None:
    """Send the request, and read of the response until it is enough or the connection ends."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):  # what it had sent before decides
        while True:
            while output := request.output():
                writer.write(output)
            if is_enough() or not (data := await reader.read(PIECE)):
                break
            request.receive(data, loop.time())


async def _ask_http2(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    request = OneRequest(target.fields(), b"")
    await _exchange(
        request,
        reader,
        writer,
        lambda: request.ended or bool(request.status and decided(target.check, request.status, request.body)),
    )
    if not request.opened:
        return "it does not speak HTTP/2"
    if not request.status:
        return "the connection was closed without a whole response head"
    return judged(target.check, request.status, request.body)
