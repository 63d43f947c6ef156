"""The page on troubleshooting shows what really happens: its outputs are those of the commands it names."""

import json
import re
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from lbjwt._fastverify import DenyReason
from lbjwt.cli import main
from tests.harness.balancer import Balancer
from tests.harness.keyserver import KeyServer
from tests.harness.tokens import TokenFactory
from tests.unit.auth_tokens import jwk_of, private_key, token

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "troubleshooting.md").read_text()
YAML, LOG, METRIC, EXPLAIN, DOCTOR = re.findall(r"```(?:yaml|json|)\n(.*?)```", PAGE, re.DOTALL)
CLAIMS = {
    "iat": 1795572000,
    "exp": 1795575600,
    "iss": "https://issuer.example",
    "aud": "api",
    "sub": "alice",
    "scope": "profile",
}
HEADER = {"typ": "JWT", "alg": "ES256", "kid": "2026-11"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The directory of the page: its configuration and keys."""
    (tmp_path / "jwks.json").write_text(
        json.dumps({"keys": [jwk_of(private_key("ES256"), kid="2026-11", alg="ES256")]})
    )
    (tmp_path / "lbjwt.yaml").write_text(YAML)
    return tmp_path


def test_the_explanation_is_the_one_of_the_page(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Every line, with the file name of the page."""
    monkeypatch.chdir(place)
    command, _, shown = EXPLAIN.partition("\n")
    arguments = command.removeprefix("$ lbjwt ").removesuffix(" < token.txt").split()
    header, payload = (json.dumps(part, separators=(",", ":")).encode() for part in (HEADER, CLAIMS))
    given = token(payload, algorithm="ES256", header=header).decode()
    result = CliRunner().invoke(main, arguments, input=given)
    assert result.stdout.replace(str(place), "/etc/lbjwt") == shown
    assert result.exit_code == 1


def test_the_report_is_the_one_of_the_page(place: Path):
    """Every line but for numbers that are another machine's, next to a running lbjwt."""
    keys = json.loads((place / "jwks.json").read_text())["keys"]
    keys.append({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "old"})
    with KeyServer() as server, socket.create_server(("127.0.0.1", 0)) as backend:
        server.documents["/jwks"] = lambda: json.dumps({"keys": keys}).encode()
        ports = {"9001": str(backend.getsockname()[1]), "8081": str(server.port)}
        issuer = {"issuer": "https://issuer.example", "jwks_file": ..., "remote_jwks": {"uri": f"{server.url}/jwks"}}
        address = f"127.0.0.1:{ports['9001']}"
        with Balancer(place, TokenFactory(), [address], issuers={"main": issuer}, trusted_proxies=...) as running:
            server.clock = 95.0
            result = CliRunner().invoke(main, ["doctor", str(running.config_path)])
    ports |= {"8080": str(running.port), "9900": str(running.admin)}
    text = result.stdout.replace(str(running.config_path), "lbjwt.yaml")
    for shown, real in ports.items():
        text = text.replace(f":{real}", f":{shown}")
    assert numbers_out(text) == numbers_out(DOCTOR.partition("\n")[2])
    assert result.exit_code == 1


def numbers_out(text: str) -> str:
    """Without sizes, times and limits of a machine."""
    text = re.sub(r"gave \d+ bytes in \d+ ms", "gave N bytes in N ms", text)
    text = re.sub(r"clock is 9\d s", "clock is N s", text)
    return re.sub(r"open (\d+|any number of) files", "open N files", text)


def test_the_log_line_and_the_metric_are_of_their_kind():
    """The keys of the line are documented, its reason is one, and the metric is named as it is exposed."""
    record = json.loads(LOG)
    operations = (DOCS / "operations.md").read_text()
    assert all(f"`{name}`" in operations for name in record)
    assert record["reason"].upper() in DenyReason.__members__
    assert "lbjwt_refusals_total" in METRIC and "`lbjwt_refusals_total`" in operations


def test_every_reason_is_in_the_table():
    """Each once, and none that does not exist."""
    table = PAGE.split("| reason |")[1].split("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(reason.name.lower() for reason in DenyReason if reason)
