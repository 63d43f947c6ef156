"""TLS to servers of others: nginx that requires a client certificate, and OpenSSL's own server that changes its keys within a connection."""

import contextlib
import http.client
import shutil
import socket
import subprocess
import threading

import pytest

from tests.harness.ports import free_port
from tests.harness.waiting import eventually
from tests.integration.authority import Authority
from tests.integration.serve_scene import get, serve, token

__all__ = ["serve"]

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
OPENSSL = shutil.which("openssl")

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name backend.test;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        ssl_client_certificate {ca};
        ssl_verify_client on;
        ssl_protocols {protocol};
        location / {{
            client_body_in_single_buffer on;
            proxy_pass http://127.0.0.1:{inner};
            add_header X-Seen "$request_method $ssl_client_s_dn $ssl_server_name $ssl_protocol $connection $request_body";
        }}
    }}
    server {{
        listen 127.0.0.1:{inner};
        location / {{ return 200 "hello"; }}
    }}
}}
"""


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def running(command, folder, **options):
    with subprocess.Popen(command, cwd=folder, **options) as process:
        try:
            yield process
        finally:
            process.terminate()


def cluster(authority, port, **more):
    client = authority.issue("client")
    tls = {
        "ca": str(authority.ca_file),
        "certificate": str(client[0]),
        "private_key": str(client[1]),
        "server_name": "backend.test",
    }
    return {"main": {"endpoints": [{"address": f"https://127.0.0.1:{port}"}], "tls": tls, **more}}


@pytest.mark.skipif(NGINX is None, reason="nginx is missing")
@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_nginx_with_a_private_authority_and_client_certificates(serve, tmp_path, protocol):
    """GET and POST with its body on one connection; nginx has verified our certificate and got the name by SNI, and so do health checks."""
    authority = Authority(tmp_path)
    authority.issue("server", names=["backend.test"])
    port, inner = free_port(), free_port()
    (tmp_path / "nginx.conf").write_text(
        CONFIGURATION.format(folder=tmp_path, port=port, inner=inner, ca=f'"{authority.ca_file}"', protocol=protocol)
    )
    with running([NGINX, "-p", str(tmp_path), "-e", "stderr", "-c", str(tmp_path / "nginx.conf")], tmp_path):
        assert eventually(lambda: accepts(port))
        served = serve(clusters=cluster(authority, port, health_check={"path": "/", "statuses": 200, "timeout": "30s"}))
        url = served.url()
        served.wait_for("ready: ")
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        seen = []
        with contextlib.closing(connection):
            for method, body in (("GET", None), ("POST", b"name=value"), ("GET", None)):
                connection.request(method, "/", body, {"Authorization": f"Bearer {token()}"})
                response = connection.getresponse()
                assert (response.status, response.read()) == (200, b"hello")
                seen.append(response.headers["X-Seen"].split(" "))
        assert [one[0] for one in seen] == ["GET", "POST", "GET"] and seen[1][5] == "name=value"
        assert {tuple(one[1:4]) for one in seen} == {("CN=client", "backend.test", protocol)}
        assert len({one[4] for one in seen}) == 1, "one connection to nginx for all of them"
        assert "fails" not in served.log


@pytest.mark.skipif(OPENSSL is None, reason="openssl is missing")
@pytest.mark.parametrize("command", ["k", "K"], ids=["of the server", "of both sides"])
def test_a_server_may_change_the_keys_of_a_connection(serve, tmp_path, command):
    """A KeyUpdate of TLS 1.3 (RFC 8446 section 4.6.3) comes before each of two responses, and may ask for one of ours."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server", names=["backend.test"])
    port = free_port()
    server = [
        OPENSSL,
        "s_server",
        "-accept",
        f"127.0.0.1:{port}",
        "-cert",
        str(certificate),
        "-key",
        str(key),
        "-tls1_3",
        "-crlf",
        "-msg",
    ]
    with running(
        server, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = []
        reader = threading.Thread(target=lambda: said.extend(iter(process.stdout.readline, "")))
        reader.start()

        def say(text):
            process.stdin.write(text)
            process.stdin.flush()

        def count(start, end=""):
            return sum(line.startswith(start) and line.rstrip().endswith(end) for line in said)

        assert eventually(lambda: count("ACCEPT"))
        served = serve(clusters=cluster(authority, port))
        url = served.url()
        served.wait_for("ready: ")
        answers = []
        asking = threading.Thread(target=lambda: answers.extend(get(url, bearer=token())[::2] for _ in range(2)))
        asking.start()
        for number in (1, 2):
            assert eventually(lambda number=number: count("GET / ") == number)
            say(f"{command}\n")
            assert eventually(lambda number=number: count(">>> ", "KeyUpdate") == number)
            say("HTTP/1.1 200 OK\nContent-Length: 4\n\nok\n")
        asking.join(30)
        assert answers == [(200, "ok\r\n")] * 2
        assert count("GET / ") == 2 and count(">>> ", "ServerHello") == 1, "one connection"
        assert count("<<< ", "KeyUpdate") == (1 if command == "K" else 0), "ours goes out with the next request"
        process.terminate()
        reader.join(30)
