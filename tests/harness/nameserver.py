"""A name server that answers as told, over UDP and TCP, in a thread of the test; and whether dnsmasq is there."""

import contextlib
import shutil
import socket
import struct
import threading
from collections import defaultdict
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.harness.ports import free_port

DNSMASQ = shutil.which("dnsmasq") or shutil.which("dnsmasq", path="/usr/sbin:/sbin")


class NameServer:
    """
    Knows the records that were set with `set`.

    `mood`: answer; servfail, nxdomain, empty (for every name), silent; truncated (over UDP no records, but the bit that asks to come by TCP); large
    (truncated, and over TCP 4,000 addresses for every query for A).
    """

    def __init__(self) -> None:
        self.mood = "answer"
        self.asked: dict[tuple[str, str, str], int] = defaultdict(int)  # name, type and "udp" or "tcp"
        self._records: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port = free_port()
        self._udp.bind(("127.0.0.1", self.port))
        self._tcp = socket.create_server(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=work) for work in (self._serve_udp, self._serve_tcp)]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def set(self, name: str, kind: str, values: list[str], ttl: int = 1) -> None:
        self._records = {**self._records, (name, kind): (ttl, values)}

    def count(self, name: str, kind: str = "A", way: str = "udp") -> int:
        return self.asked[name, kind, way]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._udp, self._tcp):
            with contextlib.suppress(OSError):  # wakes the thread that waits in it
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self) -> None:
        while True:
            data, peer = self._udp.recvfrom(4096)
            if not data:
                return
            with contextlib.suppress(OSError, dns.exception.DNSException):
                if (answer := self._answer(data, "udp")) is not None:
                    self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        while True:
            try:
                client, _ = self._tcp.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError, dns.exception.DNSException):
                client.settimeout(5)
                (size,) = struct.unpack("!H", client.recv(2, socket.MSG_WAITALL))
                if (answer := self._answer(client.recv(size, socket.MSG_WAITALL), "tcp")) is not None:
                    client.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, data: bytes, way: str) -> bytes | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind, way] += 1
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        mood = self.mood
        if mood == "silent":
            return None
        if mood == "servfail":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif mood in ("truncated", "large") and way == "udp":
            answer.flags |= dns.flags.TC
        elif mood == "large" and kind == "A":
            return large(answer.to_wire(), 4000)
        elif mood == "nxdomain" or (mood != "empty" and not any(known == name for known, _ in self._records)):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif mood != "empty" and (name, kind) in self._records:
            ttl, values = self._records[name, kind]
            answer.answer.append(dns.rrset.from_text_list(question.name, ttl, "IN", kind, values))
        return answer.to_wire()


def large(empty: bytes, count: int) -> bytes:
    """An answer with so many addresses. empty: the answer without any, with the question."""
    records = (struct.pack("!HHHIHI", 0xC00C, 1, 1, 1, 4, 0x0A000001 + at) for at in range(count))
    return empty[:6] + struct.pack("!H", count) + empty[8:] + b"".join(records)
