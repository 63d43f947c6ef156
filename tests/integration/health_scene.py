"""Backends whose health a test decides, and what a balancer says of them."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.harness.ports import free_port
from tests.integration.serve_scene import get


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A check that is over does not read the rest."""


class Backend:
    """
    Answers requests with its name, and `/health` as `health` says: a status, or None for no answer at all. `down` refuses connections until `up`.
    """

    def __init__(self, name="b"):
        self.name = name
        self.health = 200
        self.body = b"all good"
        self.checks = []
        """Method, path, Host and all header names of each check, and when it came."""
        self.requests = []
        """When each other request came."""
        self.released = threading.Event()
        self._server = None
        self.port = free_port()  # nobody else takes it while it is down
        self.up()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def up(self):
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                status, body = 200, backend.name.encode()
                if self.path.startswith("/health"):
                    names = sorted(name.lower() for name in self.headers)
                    backend.checks.append((self.command, self.path, self.headers["Host"], names, time.monotonic()))
                    status, body = backend.health, backend.body
                    if status is None:
                        backend.released.wait(60)
                        return
                else:
                    backend.requests.append(time.monotonic())
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *arguments):
                pass

        self._server = _Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def down(self):
        if self._server is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def close(self):
        self.released.set()
        self.down()


@contextlib.contextmanager
def backends(*names):
    made = []
    try:
        for name in names:
            made.append(Backend(name))
        yield made
    finally:
        for one in made:
            one.close()


def checked(*addresses, **check):
    """A cluster whose endpoints are checked, ten times a second unless told, with a patience that a busy machine does not exhaust."""
    check = {"path": "/health", "interval": "100ms", "timeout": "10s", "jitter": "0%", "rise": 2, "fall": 2, **check}
    return {
        "endpoints": [{"address": address} for address in addresses],
        "health_check": check,
        "panic_threshold": "0%",  # only the checks decide here
    }


def status(admin):
    """The whole of `/status`."""
    return json.loads(get(f"{admin}/status")[2])


def health(admin):
    """What `/status` says of the check of each endpoint, by address."""
    return {one["address"]: one["health_check"] for one in status(admin)["endpoints"]}


def states(admin):
    return {address: one["state"] for address, one in health(admin).items()}


def metrics(admin, name):
    """The samples of a metric by the address of the endpoint."""
    found = {}
    for line in get(f"{admin}/metrics")[2].splitlines():
        if line.startswith(f"{name}{{"):
            found[line.partition('endpoint="')[2].partition('"')[0]] = float(line.rpartition(" ")[2])
    return found
