"""What a service is asked for while its program is replaced: clients that keep their connections, and clients that open one for each request."""

import contextlib
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.integration.serve_scene import token


class Clients:
    """
    Requests from threads, one after another in each, until `stop`; every one that gets no 200 is a failure.

    Args:
        port: Of the service.
        kept: Threads that keep their connection as long as the service does.
        fresh: Threads that open one for each request.
        pause: Seconds between two requests of a thread.
    """

    def __init__(self, port: int, *, kept: int = 3, fresh: int = 3, pause: float = 0.01) -> None:
        self._port = port
        self._pause = pause
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.answered: Counter[str] = Counter()
        self.closed = 0  # connections that a response ended
        self.failures: list[str] = []
        head = f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
        self._threads = [
            threading.Thread(target=self._run, args=(kind, (head + more + "\r\n").encode()))
            for kind, count, more in (("kept", kept, ""), ("fresh", fresh, "Connection: close\r\n"))
            for _ in range(count)
        ]

    def _run(self, kind: str, request: bytes) -> None:
        connection: socket.socket | None = None
        while not self._over.is_set():
            try:
                if connection is None:
                    connection = socket.create_connection(("127.0.0.1", self._port), timeout=30)
                connection.sendall(request)
                response = b""
                while not response.endswith(b"hello"):
                    part = connection.recv(4096)
                    if not part:
                        raise ConnectionError(f"the connection ended after {response!r}")
                    response += part
                if not response.startswith(b"HTTP/1.1 200 "):
                    raise ConnectionError(repr(response))
                ends = b"\r\nConnection: close\r\n" in response
            except OSError as error:
                with self._lock:
                    self.failures.append(f"{kind}: {error}")
                ends = True
            else:
                with self._lock:
                    self.answered[kind] += 1
                    self.closed += ends and kind == "kept"
            if ends and connection is not None:
                connection.close()
                connection = None
            time.sleep(self._pause)
        if connection is not None:
            connection.close()

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class Backend(ThreadingHTTPServer):
    """Answers with "hello", on kept connections; `/slow` after `release` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        backend = self
        self.release = threading.Event()
        self.asked = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                if self.path == "/slow":
                    backend.asked.set()
                    backend.release.wait(30)
                body = b"hello"
                head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
                self.wfile.write(head + body)

            def log_message(self, *arguments: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    @contextlib.contextmanager
    def serving(self):
        thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self.server_port
        finally:
            self.release.set()
            self.shutdown()
            thread.join()
            self.server_close()


def living(pid: int) -> bool:
    """True for a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
