"""Servers of others behind HTTP/2 clusters: nghttpd, nginx, Node, and a second lbjwt."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness.balancer import Balancer
from tests.harness.client import Client, request
from tests.harness.ports import free_port
from tests.harness.processes import wait_for_port
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually
from tests.integration.authority import Authority
from tests.integration.backend_tls_scene import blocking_backend

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {certificate}; ssl_certificate_key {key};
        root {folder}/www;
    }}
}}
"""
NODE = """
const http2 = require("node:http2"), fs = require("node:fs");
const answer = (request, response) => {
    let size = 0;
    request.on("data", (data) => { size += data.length; });
    request.on("end", () => {
        response.setHeader("x-version", request.httpVersion);
        if (request.method === "PUT") response.end(`${size}`);
        else fs.createReadStream(process.argv[5] + request.url).on("error", () => { response.statusCode = 404; response.end(); }).pipe(response);
    });
};
http2.createServer(answer).listen(+process.argv[1], "127.0.0.1");
http2.createSecureServer({ allowHTTP1: true, cert: fs.readFileSync(process.argv[3]), key: fs.readFileSync(process.argv[4]) }, answer)
    .listen(+process.argv[2], "127.0.0.1");
"""


@dataclass
class Backends:
    balancer: Balancer
    token: str


CLUSTERS = {
    "nghttpd": ("nghttpd", "http2"),
    "nghttpd_tls": ("nghttpd_tls", "http2"),
    "nghttpd_auto": ("nghttpd_tls", "auto"),
    "nginx_tls": ("nginx_tls", "http2"),
    "nginx_auto": ("nginx_tls", "auto"),
    "node": ("node", "http2"),
    "node_tls": ("node_tls", "http2"),
    "node_auto": ("node_tls", "auto"),
    "lbjwt": ("lbjwt_tls", "http2"),
    "lbjwt_auto": ("lbjwt_tls", "auto"),
    "old": ("old_tls", "http2"),  # HTTP/1.1 only
    "old_auto": ("old_tls", "auto"),
}
"""Name of the cluster -> the server, and `protocol`."""
UPLOADS = ["node", "node_tls", "node_auto"]


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """All of them, and one balancer in front."""
    folder = tmp_path_factory.mktemp("backends")
    authority = Authority(folder)
    certificate, key = authority.issue("server", names=["localhost"])
    (folder / "www").mkdir()
    for name in CLUSTERS:
        (folder / "www" / name).mkdir()
        (folder / "www" / name / "small").write_bytes(b"small\n")
        (folder / "www" / name / "large").write_bytes(bytes(range(256)) * 4096)
    ports = {name: free_port() for name in ("nghttpd", "nghttpd_tls", "nginx_tls", "node", "node_tls")}
    (folder / "nginx.conf").write_text(
        NGINX.format(folder=folder, port=ports["nginx_tls"], certificate=certificate, key=key)
    )
    www = str(folder / "www")
    commands = [
        ["nghttpd", "--no-tls", "-d", www, "-a", "127.0.0.1", str(ports["nghttpd"])],
        ["nghttpd", "-d", www, "-a", "127.0.0.1", str(ports["nghttpd_tls"]), str(key), str(certificate)],
        ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")],
        ["node", "-e", NODE, "--", str(ports["node"]), str(ports["node_tls"]), str(certificate), str(key), www],
    ]
    tokens = TokenFactory()
    with ExitStack() as stack:
        for command in commands:
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        for port in ports.values():
            wait_for_port(port)

        def cluster(name: str, server: str, protocol: str) -> dict[str, Any]:
            tls = server.endswith("_tls")
            made: dict[str, Any] = {
                "endpoints": [{"address": f"{'https://' if tls else ''}127.0.0.1:{ports[server]}"}],
                "protocol": protocol,
            }
            if tls:
                made["tls"] = {"ca": str(authority.ca_file), "server_name": "localhost"}
            if not server.startswith(("lbjwt", "old")):  # which wants a token
                made["health_check"] = {"path": f"/{name}/small", "body": "small", "interval": "1s", "timeout": "20s"}
            return made

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        ports["old_tls"] = stack.enter_context(blocking_backend(context))
        ports["lbjwt_tls"] = free_port()
        (folder / "inner").mkdir()
        listener = {
            "address": f"127.0.0.1:{ports['lbjwt_tls']}",
            "tls": {"certificate": str(certificate), "private_key": str(key)},
        }
        inner = cluster("nghttpd", "nghttpd", "http2")
        stack.enter_context(
            Balancer(folder / "inner", tokens, [], clusters={"main": inner}, listeners=[listener], workers=1)
        )
        clusters = {"main": ..., **{name: cluster(name, *how) for name, how in CLUSTERS.items()}}
        routes = [{"name": name, "prefix": f"/{name}", "cluster": name} for name in CLUSTERS]
        balancer = stack.enter_context(Balancer(folder, tokens, [], clusters=clusters, routes=routes, workers=1))
        yield Backends(balancer, tokens.mint())


@pytest.mark.parametrize("name", [name for name in CLUSTERS if not name.startswith("old")])
def test_responses_of_real_servers_are_whole(backends: Backends, name: str) -> None:
    """A small one, 1 MiB, a head alone, one that is not there; all on one connection to the endpoint."""
    with Client(backends.balancer.port) as client:
        for _ in range(2):
            small = client.ask(f"/{name}/small", token=backends.token)
            assert (small.status, small.body) == (200, b"small\n")
        large = client.ask(f"/{name}/large", token=backends.token)
        assert (large.status, large.body) == (200, bytes(range(256)) * 4096)
        head = client.ask(f"/{name}/large", token=backends.token, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert client.ask(f"/{name}/none", token=backends.token).status == 404
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(backends.balancer.port)) for _ in range(40)]
        for one in clients:
            one.send(request(f"/{name}/small", token=backends.token))
        assert {one.response().body for one in clients} == {b"small\n"}
    assert backends.balancer.metric("lbjwt_endpoint_connections", cluster=name) <= 2


@pytest.mark.parametrize("name", UPLOADS)
def test_uploads_to_real_servers_arrive_whole(backends: Backends, name: str) -> None:
    """1 MiB with a length, and in chunks."""
    with Client(backends.balancer.port) as client:
        response = client.ask(f"/{name}/x", token=backends.token, method="PUT", body=bytes(1 << 20))
        assert (response.body, response.field("x-version")) == (b"1048576", "2.0")
        client.send(request(f"/{name}/x", token=backends.token, method="PUT", fields=["Transfer-Encoding: chunked"]))
        client.socket.sendall((b"4000\r\n" + bytes(0x4000) + b"\r\n") * 64 + b"0\r\n\r\n")
        assert client.response().body == b"1048576"


def test_health_checks_go_over_the_protocol_of_the_cluster(backends: Backends) -> None:
    """Each endpoint that is checked passes, with the text of `body` in its response."""
    status = json.loads(backends.balancer.admin_get("/status")[1])
    checked = [name for name in CLUSTERS if not name.startswith(("lbjwt", "old"))]
    for name in checked:
        assert backends.balancer.metric("lbjwt_endpoint_healthy", cluster=name) == 1, status
    assert "health check" not in backends.balancer.stderr


def test_an_endpoint_that_does_not_offer_http2_is_named_in_the_log(backends: Backends) -> None:
    """`http2`: 503, and the log says what to change. `auto`: the same endpoint is asked over HTTP/1.1."""
    with Client(backends.balancer.port) as client:
        assert client.ask("/old/x", token=backends.token).status == 503
        assert eventually(
            lambda: (
                "does not offer HTTP/2 during the TLS handshake (ALPN), and its cluster has `protocol: http2`"
                in backends.balancer.stderr
            )
        )
        response = client.ask("/old_auto/x", token=backends.token)
        assert (response.status, response.body) == (200, b"ok")
