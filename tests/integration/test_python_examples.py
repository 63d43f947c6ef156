"""The Python programs of examples/, each in the server it is made for, with an issuer whose keys change."""

import contextlib
import http.client
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.keyserver import KeyServer
from tests.harness.ports import free_port
from tests.harness.processes import wait_for_port
from tests.harness.publisher import Issuer
from tests.harness.waiting import eventually

ROOT = Path(__file__).parents[2]
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def issuer():
    with KeyServer() as server:
        yield Issuer(server)


@contextlib.contextmanager
def serving(issuer, *command, path=ROOT):
    """A server of an application, in a process of its own."""
    port = free_port()
    environment = os.environ | {"ISSUER": issuer.issuer, "PYTHONPATH": os.pathsep.join([str(ROOT), str(path)])}
    words = [word.replace("PORT", str(port)) for word in command]
    process = subprocess.Popen([sys.executable, "-m", *words], cwd=path, env=environment, stdin=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def ask(port, path, token=None, method="GET", **headers):
    """One request: status, fields, and the body as JSON, if it is some. Of a WebSocket the body is what came in its first frame."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        fields["Authorization"] = f"Bearer {token}"
    connection.request(method, path, headers=fields)
    response = connection.getresponse()
    if response.status == 101:
        _, size = response.fp.read(2)  # RFC 6455 section 5.2: shorter than 126 bytes
        body = response.fp.read(size)
    else:
        body = response.read()
    connection.close()
    return response.status, response.headers, json.loads(body) if body.startswith((b"{", b'"')) else body


@pytest.fixture(scope="module")
def starlette(issuer):
    with serving(issuer, "uvicorn", "examples.asgi_app:app", "--port", "PORT", "--no-access-log") as port:
        yield port


@pytest.fixture(scope="module")
def fastapi(issuer):
    with serving(issuer, "uvicorn", "examples.fastapi_app:app", "--port", "PORT", "--no-access-log") as port:
        yield port


def test_the_asgi_example(starlette, issuer):
    """Its first request already finds keys; health checks need no token."""
    assert ask(starlette, "/orders", issuer.mint(aud="orders"))[::2] == (200, {"orders_of": "alice"})
    status, headers, _ = ask(starlette, "/orders")
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="lbjwt"')
    assert ask(starlette, "/orders", issuer.mint(aud="orders", exp=1))[0] == 401
    assert ask(starlette, "/health")[::2] == (200, b"ok\n")
    assert ask(starlette, "/health/../orders")[0] == 400
    assert ask(starlette, "/nothing", issuer.mint(aud="orders"))[0] == 404


@pytest.mark.parametrize("server", ["starlette", "fastapi"])
def test_a_websocket_of_an_example(server, issuer, request):
    """It opens with a good token; without one, the handshake has the answer of any request."""
    port = request.getfixturevalue(server)
    good = issuer.mint(aud="orders", scope="orders:read")
    assert ask(port, "/updates", good, **HANDSHAKE)[::2] == (101, {"updates_for": "alice"})
    status, headers, _ = ask(port, "/updates", **HANDSHAKE)
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="lbjwt"')


def test_the_fastapi_example(fastapi, issuer):
    """Each endpoint asks for its own scope."""
    reading, writing = (issuer.mint(aud="orders", scope=f"orders:{right}") for right in ("read", "write"))
    assert ask(fastapi, "/orders", reading)[::2] == (200, {"orders_of": "alice"})
    assert ask(fastapi, "/orders", writing, "POST")[::2] == (200, {"ordered_by": "alice"})
    status, headers, body = ask(fastapi, "/orders", reading, "POST")
    assert (status, body) == (403, {"detail": "Forbidden"})
    assert headers["WWW-Authenticate"] == 'Bearer realm="lbjwt", error="insufficient_scope", scope="orders:write"'
    assert ask(fastapi, "/orders", "nonsense")[0] == 401


FORKED = """
import os
from examples.wsgi_app import orders
from lbjwt import Verifier
from lbjwt.wsgi import JWTMiddleware

verifier = Verifier.discover(os.environ["ISSUER"], audiences=["orders"], fetch={"cooldown": 1})
app = JWTMiddleware(orders, verifier)
assert verifier.ready()
"""


def test_forked_workers_of_the_wsgi_example_find_new_keys(tmp_path):
    """The application is loaded before the fork: each worker has the keys of that moment at once, and learns new ones by itself."""
    (tmp_path / "forked.py").write_text(FORKED)
    gunicorn = ["gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:PORT", "--log-level", "warning"]
    with KeyServer() as server:
        issuer = Issuer(server)
        with serving(issuer, *gunicorn, "forked:app", path=tmp_path) as port:
            old = issuer.mint(aud="orders")
            assert [ask(port, "/", old)[0] for _ in range(6)] == [200] * 6
            assert ask(port, "/")[0] == 401
            issuer.publish_next()
            new = issuer.mint(issuer.switch(), aud="orders")
            # either worker answers, and each has to fetch for itself
            assert eventually(lambda: [ask(port, "/", new)[0] for _ in range(6)] == [200] * 6, 60)
            assert ask(port, "/", issuer.mint(aud="orders", exp=1))[0] == 401


def test_the_lambda_example(issuer, monkeypatch):
    """Events of both kinds; doubled fields are refused."""
    monkeypatch.setenv("ISSUER", issuer.issuer)
    function = importlib.import_module("examples.lambda_handler")
    try:
        good = f"Bearer {issuer.mint(aud='orders')}"
        for event in ({"headers": {"authorization": good}}, {"multiValueHeaders": {"Authorization": [good]}}):
            answer = function.handler(event, None)
            assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"orders_of": "alice"})
        for event in (
            {"headers": {}},
            {"headers": None},
            {"multiValueHeaders": {"Authorization": [good, good]}},
            {"headers": {"authorization": f"{good},{good}"}},
            {"headers": {"authorization": f"Bearer {issuer.mint(aud='other')}"}},
        ):
            answer = function.handler(event, None)
            assert (answer["statusCode"], answer["headers"]["www-authenticate"]) == (401, "Bearer")
        function.verifier.close()
        assert function.handler({"headers": {"authorization": good}}, None)["statusCode"] == 503
    finally:
        function.verifier.close()


CONFIGURATION = """
listeners: [{{address: "127.0.0.1:{port}"}}]
issuers:
  main: {{issuer: "{issuer}", audiences: [orders], discovery: {{}}}}
clusters:
  main: {{endpoints: [{{address: "unix:/nowhere"}}]}}
"""


def test_the_embedded_balancer_reloads(issuer, tmp_path):
    """On SIGHUP it says what changed; a file with a mistake changes nothing."""
    path, port = tmp_path / "lbjwt.yaml", free_port()
    text = CONFIGURATION.format(port=port, issuer=issuer.issuer)
    path.write_text(text)
    command = [sys.executable, ROOT / "examples/embedded.py", path]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == f"listening on [('127.0.0.1', {port})]\n"
            assert ask(port, "/", issuer.mint(aud="orders"))[0] in (
                502,
                503,
            )  # the token is good, and no endpoint is there
            path.write_text(text + "realm: orders\n")
            process.send_signal(signal.SIGHUP)
            assert "realm" in process.stdout.readline()
            path.write_text("nonsense")
            process.send_signal(signal.SIGHUP)
            assert process.stdout.readline().startswith("not reloaded: ")
            assert 'realm="orders"' in ask(port, "/")[1]["WWW-Authenticate"]
        finally:
            process.terminate()
