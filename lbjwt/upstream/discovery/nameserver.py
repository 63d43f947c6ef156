"""
One query to one name server, over UDP or TCP.

dnspython parses an answer in Python, 0.1 ms a record or more, and nothing else runs meanwhile. So an answer that is too large is refused before it is
parsed, and large ones are parsed one at a time in a thread.
"""

import asyncio
import struct
from typing import Any, Final

import dns.exception
import dns.message
import dns.nameserver
import dns.query

from lbjwt.net.threads import in_thread

MAX_ANSWER: Final = 32 * 1024
"""Bytes of one answer. `MAX_RECORDS` addresses of either family have 29 KiB."""

MAX_RECORDS: Final = 1024
"""Records of one answer, in all its sections: as many addresses as a cluster may have endpoints, and aliases that lead to them."""

PARSED_AT_ONCE: Final = 2048
"""Bytes of an answer that is parsed in the loop, which takes some ten milliseconds at most: nearly all answers are shorter."""

_HEADER: Final = struct.Struct("!6H")


class AnswerTooLarge(dns.exception.FormError):
    """The answer is above a limit. The text says which one."""

    def __init__(self, text: str) -> None:
        super().__init__(text)  # type: ignore[no-untyped-call]


class MeasuredNameserver(dns.nameserver.Do53Nameserver):
    """A name server whose answers are measured before they are parsed."""

    def __init__(self, address: str, port: int, parsing: asyncio.Lock) -> None:
        """parsing: Shared by all name servers, held while a large answer is parsed."""
        super().__init__(address, port)
        self._parsing = parsing

    async def async_query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,
        source: str | None,
        source_port: int,
        max_size: bool,
        backend: Any,
        one_rr_per_rrset: bool = False,
        ignore_trailing: bool = False,
    ) -> dns.message.Message:
        """
        Ask over UDP, or with `max_size` over TCP. The other arguments are dnspython's and have no effect.

        Raises:
            AnswerTooLarge: The answer is above `MAX_ANSWER` or `MAX_RECORDS`.
            dns.exception.DNSException: No answer within `timeout` seconds, or a broken or truncated one.
            OSError: The name server cannot be reached, or nothing listens there.
            EOFError: It closed the connection before a whole answer.
        """
        try:
            async with asyncio.timeout(timeout) as limit:
                return await (self._over_tcp(request, limit) if max_size else self._over_udp(request, limit))
        except TimeoutError:
            raise dns.exception.Timeout(timeout=timeout) from None  # type: ignore[no-untyped-call]

    async def _over_udp(self, request: dns.message.QueryMessage, limit: asyncio.Timeout) -> dns.message.Message:
        # Connected, so that the kernel drops datagrams of others and tells that nothing listens.
        transport, received = await asyncio.get_running_loop().create_datagram_endpoint(
            _Datagrams, remote_addr=(self.address, self.port)
        )
        try:
            transport.sendto(request.to_wire())
            while True:
                wire = await received.next()
                if len(wire) < _HEADER.size or wire[:2] != struct.pack("!H", request.id):
                    continue  # forged, or the answer to a query that was given up
                check_size(wire)
                try:
                    message = await self._parsed(wire, limit, raise_on_truncation=True)
                except dns.message.Truncated as error:
                    if request.is_response(error.message()):  # type: ignore[no-untyped-call]
                        raise
                except dns.exception.DNSException:
                    continue
                else:
                    if request.is_response(message):
                        return message
        finally:
            transport.close()

    async def _over_tcp(self, request: dns.message.QueryMessage, limit: asyncio.Timeout) -> dns.message.Message:
        reader, writer = await asyncio.open_connection(self.address, self.port)
        try:
            wire = request.to_wire()
            writer.write(struct.pack("!H", len(wire)) + wire)
            (size,) = struct.unpack("!H", await reader.readexactly(2))
            if size > MAX_ANSWER:
                raise AnswerTooLarge(_too_long(size))
            wire = await reader.readexactly(size)
        finally:
            writer.close()
        check_size(wire)
        message = await self._parsed(wire, limit, raise_on_truncation=False)
        if not request.is_response(message):
            raise dns.query.BadResponse
        return message

    async def _parsed(self, wire: bytes, limit: asyncio.Timeout, *, raise_on_truncation: bool) -> dns.message.Message:
        if len(wire) <= PARSED_AT_ONCE:
            return dns.message.from_wire(wire, raise_on_truncation=raise_on_truncation)
        end = limit.when()
        limit.reschedule(None)  # the answer came in time, whatever else is to be parsed first
        try:
            async with self._parsing:
                return await in_thread(dns.message.from_wire, wire, raise_on_truncation=raise_on_truncation)
        finally:
            limit.reschedule(end)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    async def next(self) -> bytes:
        found = await self._queue.get()
        if isinstance(found, Exception):
            raise found
        return found

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._queue.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        self._queue.put_nowait(exc)


def check_size(wire: bytes) -> None:
    """
    Refuse an answer that is too large to parse, by its length and by what its header says (RFC 1035 section 4.1.1).

    Raises:
        AnswerTooLarge: It has more than `MAX_ANSWER` bytes, or more than `MAX_RECORDS` records.
        dns.exception.FormError: It is shorter than a header.
    """
    if len(wire) > MAX_ANSWER:
        raise AnswerTooLarge(_too_long(len(wire)))
    if len(wire) < _HEADER.size:
        raise dns.message.ShortHeader
    _, _, *counts = _HEADER.unpack_from(wire)
    if (records := sum(counts)) > MAX_RECORDS + 1:  # one is the question
        raise AnswerTooLarge(f"the answer has {records - 1} records; lbjwt takes {MAX_RECORDS} at most")


def _too_long(size: int) -> str:
    return f"the answer has {size} bytes; lbjwt takes {MAX_ANSWER} at most"
