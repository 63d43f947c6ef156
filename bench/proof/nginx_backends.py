"""nginx as the backend: one that keeps no connection (`keepalive_timeout 0`), and one that closes those idle for a second."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

from bench.peers import nginx
from bench.proof.realscene import Judged, allowed_posts, around_the_timeout, burst, running, served
from bench.proof.registry import Bar, Result
from bench.proof.scene import scene
from tests.harness.ports import free_port

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    log_format served "$request_method $http_x_test_id";
    access_log {folder}/served.log served;
    keepalive_timeout {keep};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            add_header X-Echo-Id $http_x_test_id;
            return 200 "hello";
        }}
    }}
}}
"""


def one(keep: str, n: int, directory: Path) -> Judged:
    """`n` requests to an nginx with this `keepalive_timeout`."""
    folder = directory / f"nginx-{keep}"
    folder.mkdir()
    port, judged = free_port(), Judged()
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=port, keep=keep))
    command = [nginx.program() or "nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]

    def ready() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    with ExitStack() as stack:
        stack.enter_context(running(command, ready, folder / "output", folder))
        stage = stack.enter_context(
            scene(folder, processes=0, behaviours=(), endpoints=[f"127.0.0.1:{port}"], shadow=False)
        )
        samples = burst(stage, "a", n) if keep == "0" else around_the_timeout(stage, "a", n, 1.0)
    judged.add(samples, served(folder / "served.log"))
    return judged


def run(n: int, directory: Path) -> Result:
    """Half of the requests to each."""
    none, second = one("0", n // 2, directory), one("1s", n - n // 2, directory)
    get, post = (none.failed[method] + second.failed[method] for method in ("GET", "POST"))
    duplicates = none.duplicates + second.duplicates
    allowed = allowed_posts(n)
    figure = f"{get} GET and {post} POST failed (POST ≤ {allowed}), {duplicates} duplicates"
    good = not get and not duplicates and not none.failed and post <= allowed
    return Result(n, figure, good, failures=get + duplicates, note=f"{none.note}\n{second.note}".strip())


BAR = Bar(
    "nginx_backends",
    "nginx backends with keepalive_timeout 0 and 1 s, requests as connections end: 0 GET fail, POST fail ≤ 0.5 %, 0 duplicates",
    512,
    20_000,
    run,
    needs=("nginx",),
)
