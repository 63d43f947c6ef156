"""
A toy proxy with a fault planted on request, to show that the harness finds it. It is no part of the product and imitates nothing of it.

`python -m tests.harness.toy_proxy PORT BACKEND_PORT FAULT ACCESS_LOG JWKS ISSUER AUDIENCE`. Faults: none, swap (crosses responses), duplicate
(sends a POST twice), unverified (lets every token pass), complete (ends a cut response as if it were whole), surplus (keeps using a
connection that held bytes too many), lose (answers 200 itself), lie (logs another status), forget (logs nothing), frame (forwards a
request it should refuse, line ends and all), double (sends a response twice), drop (ends every tenth connection with its request unanswered),
restart (as drop, but for all connections at once, and with a closed door for a moment: at SIGHUP, as a proxy does that reloads by a restart).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.harness.tokens import ShadowVerifier
from tests.harness.wire import END, HEAD, Head, RequestReader, ResponseReader, WireError

UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n"


class ToyProxy:
    """One request at a time, whole messages, no streaming."""

    def __init__(self, backend_port: int, fault: str, access_log: Path, shadow: ShadowVerifier) -> None:
        self.backend_port = backend_port
        self.fault = fault
        self.access_log = access_log.open("ab", buffering=0)
        self.shadow = shadow
        self.held: list[tuple[bytes, asyncio.Future[bytes]]] = []
        self.pooled: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.count = 0
        self.clients: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client connection."""
        messages, raw = RequestReader(), b""
        head: Head | None = None
        self.clients.add(writer)
        try:
            while data := await reader.read(65536):
                raw += data
                if self.fault == "frame" and b"\r\n\r\n" in raw.replace(b"\n", b"\r\n").replace(b"\r\r", b"\r"):
                    await self.send_unanswered(raw)
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    return
                for kind, value in messages.feed(data):
                    if kind is HEAD:
                        assert isinstance(value, Head)
                        head = value
                    elif kind is END and head is not None:
                        self.count += 1
                        if self.fault == "drop" and self.count % 10 == 0:
                            return
                        await self.exchange(head, raw, writer)
                        raw = b""
        except WireError:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        except ConnectionError:
            pass
        finally:
            self.clients.discard(writer)
            writer.close()

    async def restart(self, server: asyncio.Server, port: int) -> None:
        """What a reload must not do."""
        server.close()
        for writer in list(self.clients):
            writer.transport.abort()
        await asyncio.sleep(0.3)  # a load of a hundred a second notices, even if it stands still for a part of that
        await asyncio.start_server(self.serve, "127.0.0.1", port)

    async def exchange(self, head: Head, raw: bytes, writer: asyncio.StreamWriter) -> None:
        """One request and its response."""
        fault, method = self.fault, head.method
        if fault != "unverified" and self.shadow.judge(head.get_all(b"authorization")) != "ok":
            answer, whole, endpoint = UNAUTHORIZED, True, ""
        elif fault == "lose":
            answer, whole, endpoint = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True, "b"
        else:
            if fault == "duplicate" and method == b"POST":
                await self.fetch(raw, method)
            answer, whole = await self.fetch(raw, method)
            endpoint = "b"
        if fault == "swap" and whole and answer.startswith(b"HTTP/1.1 200"):
            answer = await self.swap(answer)
        if fault == "complete" and not whole:
            answer, whole = answer.partition(b"\r\n\r\n")[0] + b"\r\nX-Rest: gone\r\n\r\n", True
            answer = answer.replace(b"Content-Length: 1000", b"Content-Length: 0")
        status = int(answer[9:12])
        if fault != "forget":
            record = {
                "request_id": (head.get(b"x-request-id") or b"").decode(),
                "path": head.target.decode(),
                "endpoint": endpoint,
                "status": 204 if fault == "lie" else status,
                "complete": whole,
            }
            self.access_log.write(json.dumps(record).encode() + b"\n")
        writer.write(answer * 2 if fault == "double" else answer)
        if not whole:
            writer.close()

    async def swap(self, answer: bytes) -> bytes:
        """Hold a response until a second one is there, and give each client the other's."""
        if not self.held:
            future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self.held.append((answer, future))
            return await future
        other, future = self.held.pop()
        future.set_result(answer)
        return other

    async def send_unanswered(self, raw: bytes) -> None:
        """Give the backend these bytes and wait until it has read them: it refuses them and closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.backend_port)
        writer.write(raw)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    async def fetch(self, raw: bytes, method: bytes) -> tuple[bytes, bool]:
        """The backend's response, and whether it was whole."""
        keep = self.fault == "surplus"
        reader, writer = self.pooled or await asyncio.open_connection("127.0.0.1", self.backend_port)
        self.pooled = None
        writer.write(raw)
        messages, answer, status = ResponseReader(), b"", 0
        messages.expect(method)
        try:
            while data := await reader.read(65536):
                before = len(answer)
                answer += data
                for kind, value in messages.feed(data):
                    if kind is HEAD and isinstance(value, Head):
                        status = value.status
                    elif kind is END and status >= 200:
                        rest, messages.pending = messages.pending, b""
                        if keep and before >= 0:
                            # The planted fault: what came too much is left for whoever is next.
                            reader.feed_data(rest) if rest else None
                            self.pooled = (reader, writer)
                        else:
                            writer.close()
                        return answer[: len(answer) - len(rest)], True
        except (ConnectionError, WireError):
            pass
        writer.close()
        return answer or b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", not answer


async def main(
    port: str, backend_port: str, fault: str, access_log: str, keys: str, issuer: str, audience: str
) -> None:
    """Serve until killed."""
    shadow = ShadowVerifier(json.loads(keys), issuer, audience)
    proxy = ToyProxy(int(backend_port), fault, Path(access_log), shadow)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", int(port))
    if fault == "restart":
        loop, tasks = asyncio.get_running_loop(), []
        loop.add_signal_handler(signal.SIGHUP, lambda: tasks.append(loop.create_task(proxy.restart(server, int(port)))))
    await asyncio.Event().wait()


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != 1:
        port, backend_port, fault, access_log, jwks, issuer, audience = sys.argv[1:]
        asyncio.run(main(port, backend_port, fault, access_log, Path(jwks).read_text(), issuer, audience))
