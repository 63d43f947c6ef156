"""nginx as a plain proxy: one worker, connections to the backend kept."""

from __future__ import annotations

import shutil

from bench.peers.base import Peer, Setup, first_line_of

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    proxy_max_temp_file_size 0;
    ssl_protocols TLSv1.2 TLSv1.3;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream backend {{
        server 127.0.0.1:{backend_port};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port}{ssl} backlog=4096;
        {certificate}
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


def program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def _command(setup: Setup) -> list[str]:
    certificate = ""
    if setup.tls is not None:
        certificate = f"ssl_certificate {setup.tls.certificate}; ssl_certificate_key {setup.tls.private_key};"
    text = CONFIGURATION.format(
        directory=setup.directory,
        backend_port=setup.backend_port,
        port=setup.port,
        ssl=" ssl" if setup.tls else "",
        certificate=certificate,
    )
    path = setup.directory / "nginx.conf"
    path.write_text(text)
    return [program() or "nginx", "-p", str(setup.directory), "-e", "stderr", "-c", str(path)]


PEERS = (
    Peer(
        "nginx",
        "nginx, no auth",
        _command,
        program,
        lambda: first_line_of(program() or "nginx", "-v"),
        "apt-get install nginx-light",
    ),
)
