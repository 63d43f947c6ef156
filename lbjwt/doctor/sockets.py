"""Ports and endpoints: can we listen where we are told to, is it us who listens there already, and does anybody answer where we send requests?"""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from lbjwt.doctor.model import Finding
from lbjwt.doctor.runner import LIMIT, Look, in_thread
from lbjwt.errors import cause_of
from lbjwt.net.sockets import BindError, bind, close

if TYPE_CHECKING:
    from lbjwt.address import Address
    from lbjwt.config.model import Cluster, Configuration

__all__ = ["cluster_look", "is_running", "port_looks"]

ADMIN_TIMEOUT: Final = 2.0
"""Seconds for the admin door to answer."""

AT_ONCE: Final = 50
"""Endpoints that are connected to at a time."""


async def is_running(configuration: Configuration) -> bool:
    """Whether a lbjwt answers at the configured admin door."""
    admin = configuration.admin
    if admin is None or not admin.address.port:
        return False
    address = admin.address

    def ask() -> bool:
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
        connection = http.client.HTTPConnection(host, address.port, timeout=ADMIN_TIMEOUT)
        try:
            connection.request("GET", "/livez")
            response = connection.getresponse()
            return response.status == 200 and response.headers.get("Server") == "lbjwt"
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    try:
        async with asyncio.timeout(2 * ADMIN_TIMEOUT):
            return await in_thread(ask)
    except TimeoutError:
        return False


def port_looks(configuration: Configuration, *, running: bool) -> Iterator[Look]:
    """
    One for each listener and the admin door.

    Args:
        running: A lbjwt of this configuration answers at its admin door, and so has the ports.
    """
    places = [(f"listeners[{index}]", listener.address) for index, listener in enumerate(configuration.listeners)]
    if configuration.admin is not None:
        places.append(("admin", configuration.admin.address))
    for subject, address in places:
        yield _port_look(subject, address, running)


def _port_look(subject: str, address: Address, running: bool) -> Look:
    def try_it() -> list[Finding]:
        try:
            (sockets,) = bind(address, key="address")
        except BindError as error:
            cause = str(error).rpartition(f"{address}: ")[2]
            if running and "in use" in cause:
                return [
                    Finding(
                        subject, "port", "note", f"{address} is in use by a running lbjwt, whose admin door answers"
                    )
                ]
            return [Finding(subject, "port", "problem", f"cannot listen on {address}: {cause}; {_remedy(cause)}")]
        close(sockets)
        where = str(address) if address.port else f"{address} (the kernel chooses the port)"
        return [Finding(subject, "port", "ok", f"{where} is free")]

    async def look() -> list[Finding]:
        return await in_thread(try_it)

    return Look(subject, "port", look)


def _remedy(cause: str) -> str:
    if "in use" in cause:
        return "find out who has it (ss -ltnp), or choose another"
    if "does not have the address" in cause or "resolve" in cause:
        return "write an address of this machine, or :PORT for all"
    return "give lbjwt that right, or choose another port"


def cluster_look(label: str, cluster: Cluster) -> Look:
    """Whether the endpoints of one cluster accept connections. While one does, another one that does not is a warning."""
    subject = f"clusters.{label}"
    turns = -(-len(cluster.endpoints) // AT_ONCE)

    async def look() -> list[Finding]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def reach(address: Address) -> str:
            async with gate:
                return await _reach(address, cluster.connect_timeout)

        causes = await asyncio.gather(*(reach(endpoint.address) for endpoint in cluster.endpoints))
        found = []
        for at, (endpoint, cause) in enumerate(zip(cluster.endpoints, causes, strict=True)):
            place = f"{subject}.endpoints[{at}]"
            if not cause:
                found.append(Finding(place, "endpoint", "ok", f"{endpoint.address} accepts connections"))
                continue
            others = "requests go to the others" if "" in causes else "no endpoint is left to send requests to"
            found.append(
                Finding(
                    place,
                    "endpoint",
                    "warning" if "" in causes else "problem",
                    f"{endpoint.address} accepts no connection: {cause}; {others}. Is the backend running, and is this its address?",
                )
            )
        return found

    return Look(subject, "endpoint", look, turns * cluster.connect_timeout + LIMIT)


async def _reach(address: Address, timeout: float) -> str:
    """ "" when a connection was made, else why none was."""
    try:
        async with asyncio.timeout(timeout):
            if address.path is not None:
                _, writer = await asyncio.open_unix_connection(address.path)
            else:
                _, writer = await asyncio.open_connection(address.host, address.port)
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except OSError as error:
        return cause_of(error).lower()
    writer.transport.abort()
    return ""
