"""uvicorn and gunicorn over unix sockets, as Python services are run behind a proxy; both close idle connections after a second."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from pathlib import Path

from bench.proof.realscene import Judged, allowed_posts, around_the_timeout, burst, running, served
from bench.proof.registry import Bar, Result
from bench.proof.scene import scene

APPLICATION = """
import os

LOG = os.open("served.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(method, id):
    os.write(LOG, f"{method} {id}\\n".encode())


async def asgi(scope, receive, send):
    size, more = 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        size, more = size + len(event.get("body", b"")), event.get("more_body", False)
    id = dict(scope["headers"]).get(b"x-test-id", b"")
    note(scope["method"], id.decode())
    fields = [(b"x-echo-id", id), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"%d bytes" % size})


def wsgi(environ, start_response):
    size = len(environ["wsgi.input"].read())
    id = environ.get("HTTP_X_TEST_ID", "")
    note(environ["REQUEST_METHOD"], id)
    start_response("200 OK", [("X-Echo-Id", id), ("Content-Type", "text/plain")])
    return [b"%d bytes" % size]
"""

SERVERS = {
    "uvicorn": ["uvicorn", "application:asgi", "--uds", "web.sock", "--timeout-keep-alive", "1", "--lifespan", "off"],
    "gunicorn": [
        "gunicorn",
        "application:wsgi",
        "--bind",
        "unix:web.sock",
        "--worker-class",
        "gthread",
        "--threads",
        "32",
        "--keep-alive",
        "1",
    ],
}


def one(name: str, n: int, directory: Path) -> Judged:
    """`n` requests to one of the servers, half of them as it closes its connections."""
    folder = directory / name
    folder.mkdir()
    (folder / "application.py").write_text(APPLICATION)
    path, judged = folder / "web.sock", Judged()

    def ready() -> bool:
        with socket.socket(socket.AF_UNIX) as sock:
            return not sock.connect_ex(str(path))

    with ExitStack() as stack:
        stack.enter_context(running([sys.executable, "-m", *SERVERS[name]], ready, folder / "output", folder))
        stage = stack.enter_context(scene(folder, processes=0, behaviours=(), endpoints=[f"unix:{path}"], shadow=False))
        samples = burst(stage, "a", n // 2)
        samples += around_the_timeout(stage, "b", n - n // 2, 1.0)
    judged.add(samples, served(folder / "served.log"))
    return judged


def run(n: int, directory: Path) -> Result:
    """Half of the requests to each."""
    every = [one(name, n // 2, directory) for name in SERVERS]
    get, post = (sum(judged.failed[method] for judged in every) for method in ("GET", "POST"))
    duplicates = sum(judged.duplicates for judged in every)
    allowed = allowed_posts(n)
    figure = f"{get} GET and {post} POST failed (POST ≤ {allowed}), {duplicates} duplicates"
    note = "\n".join(judged.note for judged in every).strip()
    return Result(n, figure, not get and not duplicates and post <= allowed, failures=get + duplicates, note=note)


BAR = Bar(
    "python_backends",
    "uvicorn and gunicorn over unix sockets that close idle connections after 1 s: 0 GET fail, POST fail ≤ 0.5 %, 0 duplicates",
    512,
    20_000,
    run,
)
