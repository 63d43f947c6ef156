"""nginx as a plain proxy: one worker, connections to the backend kept."""

from __future__ import annotations

import shutil

from bench.certificate import NAME
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
{upstreams}
    server {{
        listen 127.0.0.1:{port}{ssl} backlog=4096;
        {certificate}
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        {trust}
{locations}
    }}
}}
"""

UPSTREAM = """    upstream c{number} {{
        {rule}
{servers}
        keepalive {kept};
        keepalive_requests 1000000000;
    }}
"""


def program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def _command(setup: Setup) -> list[str]:
    certificate = ""
    if setup.tls is not None:
        certificate = f"ssl_certificate {setup.tls.certificate}; ssl_certificate_key {setup.tls.private_key};"
    addresses = setup.addresses()
    servers = "\n".join(f"        server {address};" for address in addresses)
    upstreams = "".join(
        UPSTREAM.format(
            number=number,
            rule="least_conn;" if len(addresses) > 1 else "",
            servers=servers,
            kept=max(256, len(addresses)),
        )
        for number in range(setup.clusters)
    )
    scheme = "https" if setup.backend_tls else "http"
    locations = "\n".join(
        f"        location {prefix} {{ proxy_pass {scheme}://c{number}; }}"
        for prefix, number in [*setup.areas(), ("/", 0)]
    )
    trust = ""
    if setup.backend_tls is not None:
        trust = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {setup.backend_tls.certificate}; proxy_ssl_name {NAME};"
    text = CONFIGURATION.format(
        directory=setup.directory,
        upstreams=upstreams,
        locations=locations,
        trust=trust,
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
