"""Clients that people use, over HTTP/2: by ALPN, and where they can with prior knowledge. Each says itself what it spoke."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.behaviour import good
from tests.harness.ports import free_port
from tests.harness.record import Seen
from tests.harness.script import Script, pattern
from tests.harness.stage import Stage
from tests.harness.waiting import eventually

ASSETS = 20

ELEMENTS = "\n".join(f'<script src="/assets/{number}.js"></script>' for number in range(ASSETS))
SCRIPT = """
onload = () => {
  const all = performance.getEntriesByType("resource").filter(entry => entry.name.includes("/assets/"));
  const kept = all.filter(entry => entry.nextHopProtocol === "h2" && entry.connectStart === entry.connectEnd);
  document.title = `${all.length} assets, ${kept.length} by HTTP/2 over an open connection`;
};
"""
PAGE = f"<!doctype html><title>loading</title>\n{ELEMENTS}\n<script>{SCRIPT}</script>\n"

NODE = """
const http2 = require("http2"), fs = require("fs");
const [url, token, ca] = process.argv.slice(1);
const session = http2.connect(url, ca ? {ca: fs.readFileSync(ca)} : {});
session.on("error", error => { console.log(JSON.stringify({error: error.message})); process.exit(1); });
const told = {protocol: session.alpnProtocol, answers: []};
let open = 3;
for (let number = 0; number < 3; number++) {
  const stream = session.request({":method": "POST", ":path": "/r/" + number, authorization: "Bearer " + token});
  let body = "", status = 0;
  stream.on("response", fields => { status = fields[":status"]; });
  stream.on("data", piece => { body += piece; });
  stream.on("end", () => {
    told.answers.push([status, body.split(" ")[3]]);
    if (--open === 0) { told.protocol = session.alpnProtocol; console.log(JSON.stringify(told)); session.close(); }
  });
  stream.end("x".repeat(70000 + number));
}
"""


def site(seen: Seen) -> bytes | Script:
    """The good backend; and a site whose login page sets a cookie and leads to a page with assets."""
    path, _, query = seen.target.partition("?")
    if path == "/login":
        fields = f"302 Found\r\nSet-Cookie: {query}; Path=/; Secure\r\nLocation: /page\r\nContent-Length: 0"
        return f"HTTP/1.1 {fields}\r\n\r\n".encode()
    if path == "/page" or path.startswith("/assets/"):
        body, kind = (PAGE, "text/html") if path == "/page" else ("/* an asset */", "text/javascript")
        return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    return good(seen)


class Scene(Stage):
    """A stage with a listener for TLS and one for HTTP/2 without it. The token may be in Authorization, in a cookie or in the query."""

    tls: str
    plain: str
    ca: str

    def bearer(self) -> str:
        """The field line."""
        return f"Authorization: Bearer {self.token}"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, files: Path) -> Iterator[Scene]:
    tls, plain = free_port(), free_port()
    pair = {"certificate": str(files / "cert.pem"), "private_key": str(files / "key.pem")}
    locations = {
        "from_headers": [{"name": "Authorization", "scheme": "Bearer"}],
        "from_cookies": [{"name": "token"}],
        "from_params": [{"name": "token", "forward": True}],
    }
    listeners = [
        {"address": f"127.0.0.1:{tls}", "tls": pair},
        {"address": f"127.0.0.1:{plain}", "h2c": True},
    ]
    folder = tmp_path_factory.mktemp("clients")
    with Scene(folder, behaviours=(site,), shadow=False, listeners=listeners, issuers={"main": locations}) as scene:
        scene.tls, scene.plain, scene.ca = (
            f"https://localhost:{tls}",
            f"http://127.0.0.1:{plain}",
            str(files / "cert.pem"),
        )
        yield scene


def run(*command: str, code: int = 0) -> str:
    """What a program printed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


# --- curl ---------------------------------------------------------------------------------------------------------------


def curl(scene: Scene, url: str, *arguments: str) -> str:
    """The body, then status and version."""
    said = "\n%{http_code} %{http_version}"
    return run("curl", "-sS", "--noproxy", "*", "--cacert", scene.ca, "-H", scene.bearer(), "-w", said, *arguments, url)


def test_curl_speaks_http2_by_alpn_and_with_prior_knowledge(scene: Scene) -> None:
    """curl takes HTTP/2 wherever it is offered; without TLS it is told to, and otherwise speaks HTTP/1.1 to the same listener."""
    assert curl(scene, f"{scene.tls}/r/x").endswith("\n200 2")
    assert curl(scene, f"{scene.plain}/r/x", "--http2-prior-knowledge").endswith("\n200 2")
    assert curl(scene, f"{scene.plain}/r/x").endswith("\n200 1.1")
    assert curl(scene, f"{scene.tls}/r/x", "--http1.1").endswith("\n200 1.1")


def test_curl_asks_for_an_upgrade_and_stays_with_http1(scene: Scene) -> None:
    """`Upgrade: h2c` is obsolete (RFC 9113 section 3.1) and ignored."""
    assert curl(scene, f"{scene.plain}/r/x", "--http2").endswith("\n200 1.1")


def test_curl_uploads_and_downloads(scene: Scene, tmp_path: Path) -> None:
    """1 MiB up arrives whole; 1 MiB down is the backend's."""
    upload = tmp_path / "upload"
    upload.write_bytes(pattern(1 << 20))
    assert f" {1 << 20} " in curl(scene, f"{scene.tls}/r/x", "-T", str(upload))
    assert curl(scene, f"{scene.tls}/bytes/{1 << 20}") == pattern(1 << 20).decode("latin-1") + "\n200 2"


# --- the programs of nghttp2 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["tls", "plain"])
def test_h2load_has_every_request_answered(scene: Scene, listener: str) -> None:
    """1,000 requests over 10 connections with 10 streams each: all 2xx, none failed."""
    url = f"{getattr(scene, listener)}/r/x"
    said = run("h2load", "-n", "1000", "-c", "10", "-m", "10", "-H", scene.bearer(), url)
    assert "1000 succeeded, 0 failed, 0 errored, 0 timeout" in said, said
    assert "status codes: 1000 2xx" in said
    assert f"Application protocol: {'h2' if listener == 'tls' else 'h2c'}" in said


def test_nghttp_takes_a_page_with_its_assets(scene: Scene) -> None:
    """nghttp -a follows the page's script elements on the same connection; -s lists what it got."""
    lines = run("nghttp", "-ans", "-H", scene.bearer(), f"{scene.tls}/page").splitlines()
    found = [line.split()[-1] for line in lines if re.search(r" 200 +\S+ +/", line)]
    assert sorted(found) == sorted(["/page", *(f"/assets/{number}.js" for number in range(ASSETS))]), lines


# --- libraries ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["tls", "plain"])
def test_node_sends_bodies_on_several_streams(scene: Scene, listener: str) -> None:
    """Node's http2: three uploads at a time on one session, each beyond one stream window."""
    arguments = [scene.ca] if listener == "tls" else []
    told = json.loads(run("node", "-e", NODE, getattr(scene, listener), scene.token, *arguments))
    assert told["protocol"] == ("h2" if listener == "tls" else "h2c")
    assert sorted(told["answers"]) == [[200, str(70000 + number)] for number in range(3)]


def test_httpx_reuses_its_connection(scene: Scene) -> None:
    """httpx offers both protocols and takes HTTP/2; a refusal leaves the connection to the next request."""
    trust = ssl.create_default_context(cafile=scene.ca)
    with httpx.Client(http2=True, verify=trust, trust_env=False) as client:
        good = {"Authorization": f"Bearer {scene.token}"}
        answers = [client.get(f"{scene.tls}/r/x", headers=headers) for headers in (good, {}, good)]
        assert [answer.status_code for answer in answers] == [200, 401, 200]
        assert {answer.http_version for answer in answers} == {"HTTP/2"}
        assert answers[1].headers["www-authenticate"].startswith("Bearer")
        assert len({answer.extensions["network_stream"].get_extra_info("client_addr") for answer in answers}) == 1


# --- a browser --------------------------------------------------------------------------------------------------------------


def test_chromium_loads_a_page_with_its_assets_over_one_connection(scene: Scene, tmp_path: Path) -> None:
    """The token comes in the query, then in a cookie; the browser itself says what each asset came over."""
    said = run(
        "chromium-headless-shell" if shutil.which("chromium-headless-shell") else "chromium",
        "--no-sandbox",  # which does not work for root
        "--disable-gpu",
        "--ignore-certificate-errors",
        "--no-proxy-server",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
        f"{scene.tls}/login?token={scene.token}",
    )
    assert f"<title>{ASSETS} assets, {ASSETS} by HTTP/2 over an open connection</title>" in said, said


# --- what lbjwt says of them ------------------------------------------------------------------------------------------------


def test_the_access_log_names_the_protocol(scene: Scene) -> None:
    """Of answered requests and of those refused because of their head."""
    curl(scene, f"{scene.tls}/r/log-2")
    curl(scene, f"{scene.plain}/r/log-1", "--http1.0")
    curl(scene, f"{scene.tls}/r/log-2-refused", "-H", "Expect: a miracle")
    curl(scene, f"{scene.plain}/r/log-1-refused", "-H", "Host: a b")

    def logged() -> dict[str, tuple[str, int]]:
        found = scene.balancer.access_log()
        return {one["path"]: (one["protocol"], one["status"]) for one in found if "/log-" in one["path"]}

    expected = {
        "/r/log-2": ("HTTP/2", 200),
        "/r/log-1": ("HTTP/1.0", 200),
        "/r/log-2-refused": ("HTTP/2", 417),
        "/r/log-1-refused": ("HTTP/1.1", 400),
    }
    assert eventually(lambda: logged() == expected), logged()
