"""The example of docs/http2.md as a service: what it says about each listener and cluster is what curl and nghttpd see."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.harness.backend import Backend
from tests.harness.balancer import Balancer
from tests.harness.behaviour import good
from tests.harness.ports import free_port
from tests.harness.processes import wait_for_port
from tests.harness.tokens import ShadowVerifier, TokenFactory

EXAMPLE = Path("examples/http2.yaml")
NGHTTPD = shutil.which("nghttpd") or shutil.which("nghttpd", path="/usr/sbin")


@contextmanager
def nghttpd(folder: Path, *arguments: str, tls: tuple[Path, Path] | None = None) -> Iterator[int]:
    """An endpoint that speaks HTTP/2 only; the port. Its output, in `nghttpd.log`, has what it received."""
    port = free_port()
    (folder / "partner").mkdir(exist_ok=True)
    for name in ("index.html", "partner/index.html"):
        (folder / name).write_text("nghttpd\n")
    end = [str(port), *map(str, tls)] if tls else ["--no-tls", str(port)]
    command = [NGHTTPD or "", "-v", "-a", "127.0.0.1", "-d", str(folder), *arguments, *end]
    with (folder / "nghttpd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(NGHTTPD is None, reason="nghttpd is not installed")
def test_the_example_does_what_it_says(tmp_path: Path, files: Path) -> None:
    """HTTP/2 by ALPN and without TLS from clients; to endpoints h2c, whatever ALPN brings, and HTTP/1.1."""
    tokens = TokenFactory()
    pair = files / "key.pem", files / "cert.pem"
    document: dict[str, Any] = YAML(typ="safe").load(EXAMPLE.read_text())
    with ExitStack() as stack:
        pods, partner = tmp_path / "pods", tmp_path / "partner"
        pods.mkdir()
        partner.mkdir()
        shadow = ShadowVerifier(tokens.jwks(), tokens.issuer, tokens.audience)
        old = stack.enter_context(Backend(good, name="old", shadow=shadow))
        ports = {
            "pods": f"127.0.0.1:{stack.enter_context(nghttpd(pods))}",
            "partner": f"https://localhost:{stack.enter_context(nghttpd(partner, tls=pair))}",
            "old": old.address,
        }
        tls, plain = document["listeners"]
        tls["address"], plain["address"] = (f"127.0.0.1:{free_port()}" for _ in range(2))
        tls["tls"] = {"certificate": str(files / "cert.pem"), "private_key": str(files / "key.pem")}
        document["issuers"]["main"] = {
            "issuer": tokens.issuer,
            "audiences": [tokens.audience],
            "jwks_file": str(tokens.write_jwks(tmp_path / "jwks.json")),
        }
        for name, cluster in document["clusters"].items():
            cluster["endpoints"] = [{"address": ports[name]}]
        document["clusters"]["partner"]["tls"] = {"ca": str(files / "cert.pem")}
        admin = free_port()
        document["admin"] = {"address": f"127.0.0.1:{admin}"}
        (tmp_path / "http2.yaml").write_text(json.dumps(document))  # JSON is YAML
        balancer = Balancer(tmp_path, tokens, [], flags=lambda port, _: [str(tmp_path / "http2.yaml")])
        balancer.admin = admin
        stack.enter_context(balancer)

        def ask(listener: dict[str, Any], path: str, *arguments: str) -> str:
            url = (
                f"{'https' if 'tls' in listener else 'http'}://localhost:{listener['address'].rpartition(':')[2]}{path}"
            )
            command = ["curl", "-sS", "--noproxy", "*", "--cacert", str(files / "cert.pem"), *arguments, url]
            command += ["-o", "/dev/null", "-w", "%{http_code} %{http_version}"]
            command += ["-H", f"Authorization: Bearer {tokens.mint()}"]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

        assert ask(tls, "/") == "200 2"
        assert ask(tls, "/partner/") == "200 2"
        assert ask(tls, "/old/r/x") == "200 2"
        assert ask(plain, "/", "--http2-prior-knowledge") == "200 2"
        assert ask(plain, "/") == "200 1.1"
        assert ":path: /partner/" in (partner / "nghttpd.log").read_text()
        assert (pods / "nghttpd.log").read_text().count(":path: /\n") == 3
        assert [seen.verified for seen in old.seen] == ["ok"]
