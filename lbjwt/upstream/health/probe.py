"""
One check of one endpoint: a connection of its own, one request at most, closed at the end.

The request has a fixed text. Nothing of a client, no token and no connection of the traffic is in it.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import Final

from lbjwt.address import Address
from lbjwt.errors import cause_of
from lbjwt.net.descriptors import EXHAUSTED
from lbjwt.upstream.health.response import ResponseCheck
from lbjwt.upstream.health.settings import HealthCheck

PIECE: Final = 16 * 1024
"""Bytes that are read at a time."""


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
    tls: ssl.SSLContext | None = None
    """None: plain."""
    server_name: str | None = None
    """For SNI and the check of the certificate; None: the host of the address."""

    @property
    def host(self) -> str:
        """The value of the `Host` header."""
        if self.check.host is not None:
            return self.check.host
        return "localhost" if self.address.is_unix else str(self.address)

    def request(self) -> bytes:
        """What is sent."""
        check = self.check
        return (
            f"{check.method} {check.path} HTTP/1.1\r\nHost: {self.host}\r\nUser-Agent: lbjwt-health-check\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n"
        ).encode()


async def probe(target: Target) -> str:
    """
    Check once; return "" when the endpoint passes, else why it does not.

    Raises:
        NotMade: No file descriptor is left.
    """
    timeout = target.check.timeout
    connected = False
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await _connect(target)
            connected = True
            try:
                return "" if target.check.type == "tcp" else await _ask(target, reader, writer)
            finally:
                writer.transport.abort()  # nothing is waited for: neither for a close_notify nor for the rest of a body
    except TimeoutError as error:
        if error.errno is not None:
            return cause_of(error).lower()
        return f"no {'response' if connected else 'connection'} within {timeout:g} s"
    except ssl.SSLCertVerificationError as error:
        return f"TLS: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS: {(error.reason or 'handshake failed').lower().replace('_', ' ')}"
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise NotMade from None
        return cause_of(error).lower()
    except UnicodeError:
        return "the host name cannot be encoded"


async def _connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address, tls = target.address, target.tls
    name = None if tls is None else target.server_name or address.host
    if address.path is not None:
        return await asyncio.open_unix_connection(address.path, ssl=tls, server_hostname=name)
    port = target.check.port or address.port
    return await asyncio.open_connection(address.host, port, ssl=tls, server_hostname=name)


async def _ask(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
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
