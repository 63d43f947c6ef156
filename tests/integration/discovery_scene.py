"""Backends on several loopback addresses, clients that never stop asking, and the service between them."""

import contextlib
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.harness.ports import free_port
from tests.harness.waiting import eventually
from tests.integration.serve_scene import get, token


class Backends:
    """One backend at each address, all at the same port. Each answers with its address."""

    def __init__(self, *hosts):
        self.counts = Counter()
        self._servers = []
        self.port = free_port()
        for host in hosts:
            server = _Server((host, self.port), self)
            self._servers.append(server)
        self._threads = [threading.Thread(target=one.serve_forever, args=(0.02,)) for one in self._servers]

    def at(self, host):
        return f"{host}:{self.port}"

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        for server in self._servers:
            server.shutdown()
        for thread in self._threads:
            thread.join()
        for server in self._servers:
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, backends):
        self.backends = backends
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self):
        host = self.server.server_address[0]
        self.server.backends.counts[host] += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(host)))
        self.end_headers()
        self.wfile.write(host.encode())

    def log_message(self, *arguments):
        pass


PAUSE = (
    0.01  # seconds between two requests of a client: without, a handful of them take a core from whatever is waited for
)


class Clients:
    """Some clients, each of which sends one GET after another on a connection that it keeps."""

    def __init__(self, url, number=4):
        self.statuses = Counter()
        self.slowest = 0.0
        self._where = url.removeprefix("http://")
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(number)]

    def _ask(self):
        connection = http.client.HTTPConnection(self._where, timeout=30)
        fields = {"Authorization": f"Bearer {token()}"}
        with contextlib.closing(connection):
            while not self._stop.wait(PAUSE):
                begun = time.monotonic()
                try:
                    connection.request("GET", "/", headers=fields)
                    response = connection.getresponse()
                    response.read()
                    self.statuses[response.status] += 1
                except (OSError, http.client.HTTPException) as error:
                    self.statuses[type(error).__name__] += 1
                    connection.close()
                self.slowest = max(self.slowest, time.monotonic() - begun)

    @property
    def failed(self):
        return {status: count for status, count in self.statuses.items() if status != 200}

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        assert eventually(lambda: self.statuses[200] >= 20), self.statuses
        return self

    def __exit__(self, *error):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def status(admin):
    return json.loads(get(f"{admin}/status")[2])


def endpoints(admin):
    """The addresses that are in use, with the name that each came from."""
    return {one["address"]: one["name"] for one in status(admin)["endpoints"]}


def metric(admin, name):
    """The sum of all samples of a metric."""
    lines = get(f"{admin}/metrics")[2].splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def send(method, url, document=None, **fields):
    """Status and decoded answer of a request to the admin API."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **fields}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
