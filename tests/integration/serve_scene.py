"""`lbjwt serve` with its workers as a process, an issuer's keys in a file, and what one asks of it over HTTP."""

import contextlib
import http.client
import json
import re
import signal
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.harness.serving import serving
from tests.integration.logged import LoggedProcess

KEY = ECKey.generate_key("P-256", {"kid": "k1"}, private=True)
JWKS = json.dumps({"keys": [KEY.as_dict(private=False)]})


def token():
    """A good one. It outlives the slowest test: clients of a whole test mint theirs once."""
    return jwt.encode({"alg": "ES256", "kid": "k1"}, {"iss": "i", "aud": "a", "exp": int(time.time()) + 1800}, KEY)


@contextlib.contextmanager
def http_server(port, body):
    """A server that answers every GET with `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", port), Handler)) as bound:
        yield bound


def get(url, *, bearer=None):
    """Status, fields and body."""
    connection = http.client.HTTPConnection(url.removeprefix("http://").partition("/")[0], timeout=30)
    with contextlib.closing(connection):
        path = "/" + url.removeprefix("http://").partition("/")[2]
        connection.request("GET", path, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()


class Serve(LoggedProcess):
    """`lbjwt serve` with a configuration."""

    def __init__(self, folder, configuration):
        (folder / "lbjwt.json").write_text(json.dumps(configuration))  # JSON is YAML
        super().__init__(["-m", "lbjwt", "serve", str(folder / "lbjwt.json")], folder)

    def url(self, name="listeners[0]"):
        return f"http://{self.wait_for(re.escape(name) + ' on ([0-9.:]+)')[1]}"


@pytest.fixture
def serve(tmp_path):
    made = []

    def make(**changes):
        configuration = {
            "listeners": [{"address": "127.0.0.1:0"}],
            "issuers": {"main": {"issuer": "i", "audiences": ["a"], "jwks_file": "jwks.json"}},
            "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:9"}]}},
            "admin": {"address": "127.0.0.1:0"},
            "timeouts": {"drain": "3s"},
            **changes,
        }
        (tmp_path / "jwks.json").write_text(JWKS)
        made.append(Serve(tmp_path, configuration))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGTERM)
            try:
                one.end()
            except subprocess.TimeoutExpired:
                one.process.kill()
        one.end()
