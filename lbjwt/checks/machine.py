"""
What lbjwt needs on this machine and around it: free ports, which a running lbjwt may have already, endpoints that accept connections,
revocations that can be read, and enough file descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import ssl
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from lbjwt.assembly.backend_tls import backend_tls_of
from lbjwt.assembly.descriptors import needed, shortage
from lbjwt.assembly.health import check_targets
from lbjwt.assembly.revocations import new_reader
from lbjwt.auth.revocation import RevocationError
from lbjwt.checks.results import Outcome, Result
from lbjwt.errors import cause_of
from lbjwt.net.handshake import fault_of
from lbjwt.net.sockets import BindError, bind, close
from lbjwt.net.tls import TLSError
from lbjwt.net.unix_socket import path_fault
from lbjwt.upstream.health.probe import NotMade, Target, probe

if TYPE_CHECKING:
    from pathlib import Path

    from lbjwt.address import Address
    from lbjwt.config.model import Cluster, Configuration
    from lbjwt.net.certificate import BackendTls

ADMIN_TIMEOUT: Final = 2.0
"""Seconds for the admin API to answer."""
REFUSAL: Final = 0.2
"""Seconds for an endpoint to refuse the client certificate after the handshake. Without a refusal it waits for a request."""
TLS_FAILED: Final = "the TLS handshake fails"
NO_HTTP2: Final = "it does not offer HTTP/2 during the TLS handshake (ALPN), as protocol: http2 requires"
AT_ONCE: Final = 50
"""How many endpoints the check connects to at the same time."""


async def is_running(admin: Address) -> bool:
    """Whether a lbjwt answers at the address of the admin API."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(admin.host, admin.host)
    try:
        async with asyncio.timeout(ADMIN_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, admin.port)
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return False
    return head.startswith(b"HTTP/1.1 200 ") and b"\r\nServer: lbjwt\r\n" in head


def port_results(subject: str, address: Address, running: bool) -> Iterator[Result]:
    """
    Whether a listener or the admin API can have its address.

    Args:
        running: A lbjwt of this configuration answers at its admin API, and so has the ports.
    """
    if address.path is not None:
        yield _path_result(subject, address.path, running)
        return
    try:
        (sockets,) = bind(address, key="address")
    except BindError as error:
        cause = str(error).rpartition(f"{address}: ")[2]
        if running and "in use" in cause:
            sentence = f"a running lbjwt, whose admin API responds, uses {address}"
            yield Result(subject, "port", "note", sentence)
        else:
            yield Result(subject, "port", "problem", f"cannot listen on {address}: {cause}; {_remedy(cause)}")
        return
    close(sockets)
    where = str(address) if address.port else f"{address} (the kernel chooses the port)"
    yield Result(subject, "port", "ok", f"{where} is free")


def _path_result(subject: str, path: str, running: bool) -> Result:
    """Nothing is bound here: a lbjwt that starts in this moment would lose its path."""
    directory, cause = os.path.dirname(path), path_fault(path)
    if cause and running and "listens" in cause:
        return Result(subject, "port", "note", f"a running lbjwt, whose admin API responds, uses unix:{path}")
    if not cause and not os.path.isdir(directory):
        cause = "its directory does not exist"
    elif not cause and not os.access(directory, os.W_OK | os.X_OK):
        cause = "lbjwt may not create the path in its directory"
    if cause:
        return Result(subject, "port", "problem", f"cannot listen on unix:{path}: {cause}")
    return Result(subject, "port", "ok", f"unix:{path} is free")


def _remedy(cause: str) -> str:
    if "in use" in cause:
        return "find the process that uses the port (ss -ltnp), or choose another port"
    if "does not have the address" in cause or "resolve" in cause:
        return "write an address of this machine, or :PORT for all"
    return "give lbjwt that capability, or choose another port"


async def endpoint_results(subject: str, cluster: Cluster) -> list[Result]:
    """
    Whether the endpoints of one cluster accept connections, and TLS handshakes where they use it, or pass the health check if there is one. While
    one does, another one that does not is a warning.
    """
    try:
        tls = backend_tls_of(subject.partition(".")[2], cluster)
    except TLSError:  # told as a problem of the file
        return []
    if cluster.health_check is not None:
        return await _check_results(subject, cluster, tls)
    slots = asyncio.Semaphore(AT_ONCE)
    addresses = {at: one.address for at, one in enumerate(cluster.endpoints) if not one.address.srv}
    causes = await asyncio.gather(*(_reach(one, cluster, slots, tls) for one in addresses.values()))
    outcome, others = _beside(causes, "accepts connections")
    results = []
    for (at, address), cause in zip(addresses.items(), causes, strict=True):
        endpoint = f"{subject}.endpoints[{at}]"
        if not cause:
            what = "TLS connections" if address.https else "connections"
            results.append(Result(endpoint, "endpoint", "ok", f"{address} accepts {what}"))
            continue
        if cause.startswith((TLS_FAILED, NO_HTTP2)):
            sentence = f"{address}: {cause}; {others}"
        else:
            sentence = f"{address} accepts no connection: {cause}; {others}. Check that the backend is running and that this is its address"
        results.append(Result(endpoint, "endpoint", outcome, sentence))
    return results


def _beside(causes: Sequence[str], does: str) -> tuple[Outcome, str]:
    """How bad an endpoint with a cause is, by the causes of all; and what becomes of its requests."""
    if "" in causes:
        return "warning", "requests go to the other endpoints"
    return "problem", f"no other endpoint {does} either"


async def _check_results(subject: str, cluster: Cluster, tls: BackendTls | None) -> list[Result]:
    """The health check of each endpoint, made once, with the code and the settings of the service."""
    slots = asyncio.Semaphore(AT_ONCE)
    numbers = {(subject, str(endpoint.address)): at for at, endpoint in enumerate(cluster.endpoints)}
    targets = [target for target in check_targets(subject, cluster, numbers, tls) if not target.address.srv]
    causes = await asyncio.gather(*(_probe(target, slots) for target in targets))
    outcome, others = _beside(causes, "passes")
    results = []
    for target, cause in zip(targets, causes, strict=True):
        endpoint = f"{subject}.endpoints[{target.row}]"
        if cause:
            sentence = f"{target.address} fails its health check: {cause}; {others}. Check the backend and health_check"
            results.append(Result(endpoint, "endpoint", outcome, sentence))
        else:
            results.append(Result(endpoint, "endpoint", "ok", f"{target.address} passes its health check"))
    return results


async def _probe(target: Target, slots: asyncio.Semaphore) -> str:
    async with slots:
        try:
            return await probe(target)
        except NotMade as error:
            return f"this machine cannot open a connection: {error}"


async def _reach(address: Address, cluster: Cluster, slots: asyncio.Semaphore, tls: BackendTls | None) -> str:
    """ "" when a connection was made that can be used, else why none was."""
    timeout = cluster.connect_timeout
    name = "" if tls is None else tls.name_of(address)
    try:
        async with slots, asyncio.timeout(timeout):
            if address.path is not None:
                _, writer = await asyncio.open_unix_connection(address.path)
            elif tls is None or not address.https:
                _, writer = await asyncio.open_connection(address.host, address.port)
            else:
                reader, writer = await asyncio.open_connection(
                    address.host, address.port, ssl=tls.context, server_hostname=name
                )
                # Over TLS 1.3 a server refuses our certificate after the handshake has ended on this side.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REFUSAL):
                        await reader.read(1)
                agreed = writer.get_extra_info("ssl_object").selected_alpn_protocol()
                if cluster.protocol == "http2" and agreed != "h2":
                    writer.transport.abort()
                    return NO_HTTP2
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except ssl.SSLError as error:
        return f"{TLS_FAILED}: {fault_of(error, name)}"
    except OSError as error:
        return cause_of(error).lower()
    writer.transport.abort()
    return ""


async def revocation_results(configuration: Configuration, directory: Path | None) -> list[Result]:
    """
    How many revocations are in force; nothing when the configuration has none.

    Args:
        directory: The state directory; None without one that can be used.
    """
    reader = new_reader(configuration, directory)
    if reader is None:
        return []
    try:
        await reader.load()
    except RevocationError as error:
        sentence = f"{error}; lbjwt does not start with this file, and a running lbjwt keeps its current entries"
        return [Result("revocation", "revocations", "problem", sentence)]
    sentence = f"{len(reader)} entries in force: {len(reader.filed)} from the file, {len(reader.made)} made at run time"
    return [Result("revocation", "revocations", "ok", sentence)]


def descriptor_results(configuration: Configuration, most: int | None = None) -> list[Result]:
    """Whether a worker may open as many files as its limits promise; `serve` raises the soft limit to the hard one, which is `most`."""
    if most is None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    fault = shortage(configuration, most)
    room = "any number of" if most == resource.RLIM_INFINITY else str(most)
    sentence = f"a worker can open {room} files and needs at most {needed(configuration)}"
    return [Result("limits", "open-files", "warning" if fault else "ok", fault or sentence)]
