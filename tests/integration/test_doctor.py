"""`lbjwt doctor` against real sockets: issuers that are honest, broken, hung or slow of clock; ports, endpoints and a running lbjwt."""

import contextlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lbjwt.address import Address
from lbjwt.checks.fetched_keys import clock_result
from lbjwt.checks.machine import port_results
from lbjwt.cli import main
from tests.harness.balancer import Balancer
from tests.harness.keyserver import DISCOVERY, Answer, Blackhole, KeyServer
from tests.harness.ports import free_port
from tests.harness.serving import serving
from tests.harness.tokens import TokenFactory
from tests.integration.authority import Authority
from tests.integration.health_scene import backends, checked
from tests.unit.auth_tokens import jwk_of, private_key, rsa_key

JWKS = json.dumps({"keys": [jwk_of(private_key("ES256"), kid="k1"), jwk_of(rsa_key(), kid="r1")]}).encode()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """An issuer's web server with good metadata and keys."""
    with KeyServer() as server:
        metadata = json.dumps({"issuer": server.url, "jwks_uri": f"{server.url}/jwks"}).encode()
        server.documents |= {DISCOVERY: lambda: metadata, "/jwks": lambda: JWKS}
        server.clock = 0.0
        yield server


@pytest.fixture
def backend() -> Iterator[str]:
    """An address that accepts connections."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def written(directory: Path, backend: str, issuer: dict[str, Any], **changes: Any) -> Path:
    """A configuration file with one issuer."""
    document = {
        "listeners": [{"address": f"127.0.0.1:{free_port()}"}],
        "issuers": {"main": {"audiences": ["api"], **issuer}},
        "clusters": {"main": {"endpoints": [{"address": backend}], "connect_timeout": "30s"}},
        **changes,
    }
    path = directory / "lbjwt.yaml"
    path.write_text(json.dumps(document))
    return path


def doctor(*arguments: str | Path) -> Result:
    """One call of the command."""
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)])


def findings(path: Path, code: int) -> list[tuple[str, str, str, str]]:
    """What was found, as (subject, check, outcome, sentence), after a look at the exit code."""
    result = doctor(path, "--json")
    assert result.exit_code == code, result.output
    report = json.loads(result.stdout)
    found = [(one["subject"], one["check"], one["outcome"], one["sentence"]) for one in report["findings"]]
    assert report["problems"] == sum(outcome == "problem" for _, _, outcome, _ in found)
    return found


def of(found: list[tuple[str, str, str, str]], check: str) -> tuple[str, str]:
    """Outcome and sentence of the first finding of a check."""
    return next((outcome, sentence) for _, name, outcome, sentence in found if name == check)


def discovered(server: KeyServer, timeout: str = "30s") -> dict[str, Any]:
    """timeout: where an answer comes, one that a busy machine does not exhaust."""
    return {"issuer": server.url, "discovery": {"timeout": timeout}}


GOOD = """\
configuration
issuers.main
  ok       discovery        the issuer's metadata gives this URL for the keys: http://127.0.0.1:N/jwks
  ok       reachable        http://127.0.0.1:N/jwks gave N bytes in N ms
  ok       keys             2 keys that can be used
  ok       key              "k1" (EC P-256, 256 bits) for ES256
  ok       key              "r1" (RSA, 2048 bits) for PS256, PS384, PS512, RS256, RS384, RS512
  ok       clock            the issuer's clock agrees with this machine's
  note     stored-keys      there are no stored keys in DIRECTORY/state/keys/main.json: after a restart, lbjwt has no keys until it reaches the issuer
listeners[0]
  ok       port             127.0.0.1:N is free
admin
  ok       port             127.0.0.1:N is free
clusters.main.endpoints[0]
  ok       endpoint         127.0.0.1:N accepts connections
state_directory
  ok       state-directory  lbjwt creates DIRECTORY/state when it starts
revocation
  ok       revocations      0 entries in force: 0 from the file, 0 made at run time
limits
  ok       open-files       a worker can open N files and needs at most N

no problems, N warnings
"""


def test_when_all_is_well(tmp_path: Path, server: KeyServer, backend: str):
    """Every line of the text but what `check` says, exit code 0, and the same findings as JSON; nothing is left behind."""
    path = written(
        tmp_path,
        backend,
        discovered(server),
        admin={"address": f"127.0.0.1:{free_port()}"},
        state_directory=str(tmp_path / "state"),
        revocation={},
        limits={"max_connections": 100},
    )
    result = doctor(path)
    text = result.stdout.replace(str(path), "FILE").replace(str(tmp_path), "DIRECTORY")
    text = re.sub(
        r"(127\.0\.0\.1:|open |at most |gave |in )\d+|open any number of", lambda match: f"{match[1] or 'open '}N", text
    )
    text = re.sub(
        r"problems, \d+ warnings?", "problems, N warnings", re.sub(r"  warning  configuration .*\n", "", text)
    )
    assert (text, result.exit_code) == (GOOD, 0)
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    found = [one for one in findings(path, 0) if one[1] != "configuration"]
    assert [line.split()[:2] for line in lines] == [[outcome, check] for _, check, outcome, _ in found]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lbjwt.yaml"]


def test_the_json_has_stable_names(tmp_path: Path, server: KeyServer, backend: str):
    """The whole document of a small report."""
    path = written(tmp_path, backend, {"issuer": "i", "jwks": json.loads(JWKS), "algorithms": ["ES256"]})
    report = json.loads(doctor(path, "--json").stdout)
    assert list(report) == ["outcome", "problems", "warnings", "findings"]
    assert (report["outcome"], report["problems"], report["warnings"]) == ("warning", 0, 1)
    left_out, keys = report["findings"][:2]
    assert (left_out["subject"], left_out["outcome"]) == ("configuration", "warning")
    assert left_out["sentence"].endswith(
        "key 1 was left out: a key of type RSA with 2048 bits fits no algorithm of ES256"
    )
    assert keys == {"subject": "issuers.main", "check": "keys", "outcome": "ok", "sentence": "1 key from jwks"}


@pytest.mark.parametrize(
    ("answers", "documents", "check", "sentence", "remedy"),
    [
        ({}, {DISCOVERY: b'{"issuer":"http://other","jwks_uri":"http://other/jwks"}'}, "discovery", "an issuer other than", "write the issuer"),
        ({}, {DISCOVERY: b'{"issuer":"ISSUER"}'}, "discovery", "names no jwks_uri", "use remote_jwks"),
        ({DISCOVERY: Answer(status=404)}, {}, "discovery", "status 404", "with curl"),
        ({DISCOVERY: Answer(hang=True)}, {}, "discovery", "did not answer completely within", "raise timeout"),
        ({"/jwks": Answer(status=500)}, {}, "reachable", "status 500", "with curl"),
        ({"/jwks": Answer(hang=True)}, {}, "reachable", "did not answer completely within", "raise timeout"),
        ({"/jwks": Answer(endless=True)}, {}, "reachable", "more than 262144 bytes", "raise max_bytes"),
        ({"/jwks": Answer(status=302, fields=("Location: http://127.0.0.1:1/",))}, {}, "reachable", "another origin", "configure the URL"),
        ({}, {"/jwks": b"<html>"}, "keys", "not a JWK Set", "cannot verify tokens of this issuer"),
        ({}, {"/jwks": b'{"keys":[{"kty":"oct","k":"eA"}]}'}, "keys", "no usable key", "symmetric"),
    ],
)  # fmt: skip
def test_each_way_an_issuer_fails_is_told_with_what_to_do(
    tmp_path: Path,
    server: KeyServer,
    backend: str,
    answers: dict[str, Answer],
    documents: dict[str, bytes],
    check: str,
    sentence: str,
    remedy: str,
):
    """Exit code 1, the cause, the remedy; and the other looks go on."""
    server.answers |= answers
    for place, document in documents.items():
        server.documents[place] = partial(document.replace, b"ISSUER", server.url.encode())
    timeout = "3s" if any(answer.hang for answer in answers.values()) else "30s"
    found = findings(written(tmp_path, backend, discovered(server, timeout)), 1)
    outcome, said = of(found, check)
    assert outcome == "problem" and sentence in said and remedy in said, said
    assert of(found, "endpoint")[0] == of(found, "port")[0] == "ok"


def test_of_many_tenants_some_are_asked(tmp_path: Path, server: KeyServer, backend: str):
    """Each has keys of its own; twenty tell enough, and the rest are named by their number."""
    names = [f"t{number}" for number in range(23)]
    server.documents |= {f"/{name}/jwks": lambda: JWKS for name in names}
    issuer = {
        "issuer": "https://issuer.example/{tenant}",
        "tenants": {"names": names},
        "remote_jwks": {"uri": f"{server.url}/{{tenant}}/jwks"},
    }
    found = findings(written(tmp_path, backend, issuer), 0)
    assert len([one for one in found if one[1] == "reachable"]) == server.count() == 20
    assert of(found, "keys") == ("note", "3 further tenants were not checked: lbjwt did not fetch their keys")


def test_an_issuer_that_is_not_there(tmp_path: Path, backend: str):
    """Refused or swallowed connections are told within the timeout; the query of a URL is not."""
    with Blackhole() as hole:
        for port, words, timeout in (
            (free_port(), "cannot connect", "30s"),
            (hole.port, "did not answer completely", "500ms"),
        ):
            remote = {"uri": f"http://127.0.0.1:{port}/jwks?key=geheim", "timeout": timeout}
            outcome, said = of(
                findings(written(tmp_path, backend, {"issuer": "i", "remote_jwks": remote}), 1), "reachable"
            )
            assert outcome == "problem" and words in said and "geheim" not in said


@contextlib.contextmanager
def https(certificate: tuple[Path, Path]) -> Iterator[int]:
    """A server that answers every GET with the key set, over TLS; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            self.request.settimeout(30)
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def do_GET(self) -> None:
            self.send_response(200)  # with a Date
            self.send_header("Content-Length", str(len(JWKS)))
            self.end_headers()
            self.wfile.write(JWKS)

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, *arguments: object) -> None:
            """A client may refuse the certificate."""

    with serving(Server(("127.0.0.1", 0), Handler)) as port:
        yield port


def test_a_private_authority(tmp_path: Path, backend: str):
    """With its file all is well and its dates are told; without, what is missing; with a file that is none, that."""
    authority = Authority(tmp_path)
    with https(authority.issue("server", names=["localhost"])) as port:
        remote = {"uri": f"https://localhost:{port}/jwks", "ca_file": str(authority.ca_file)}
        found = findings(written(tmp_path, backend, {"issuer": "i", "remote_jwks": remote}), 0)
        assert of(found, "reachable")[0] == of(found, "clock")[0] == "ok"
        assert of(found, "authority") == ("warning", of(found, "authority")[1])  # it ends tomorrow
        del remote["ca_file"]
        outcome, said = of(findings(written(tmp_path, backend, {"issuer": "i", "remote_jwks": remote}), 1), "reachable")
        assert outcome == "problem" and "no valid certificate" in said and "ca_file" in said
        (tmp_path / "none.pem").write_text("no")
        remote["ca_file"] = str(tmp_path / "none.pem")
        found = findings(written(tmp_path, backend, {"issuer": "i", "remote_jwks": remote}), 1)
        assert of(found, "configuration")[0] == of(found, "authority")[0] == of(found, "reachable")[0] == "problem"


def test_a_client_certificate_and_its_dates(tmp_path: Path, server: KeyServer, backend: str):
    """One that has ended is a problem before any issuer refuses it; a key that is another's, too."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("client", days=(-3, -1))
    other = authority.issue("other", days=(-1, 30))
    fetch = {"uri": f"{server.url}/jwks", "client_certificate": str(certificate), "client_key": str(key)}
    found = findings(written(tmp_path, backend, {"issuer": "i", "remote_jwks": fetch}), 1)
    outcome, said = of(found, "client-certificate")
    assert outcome == "problem" and "CN=client expired on" in said
    fetch |= {"client_certificate": str(other[0])}
    found = findings(written(tmp_path, backend, {"issuer": "i", "remote_jwks": fetch}), 1)
    assert of(found, "client-certificate")[0] == "ok"
    assert "the private key does not belong to the certificate" in of(found, "configuration")[1]


@pytest.mark.parametrize(
    ("offset", "code", "outcome", "words"),
    [
        (-12, 0, "warning", "ahead of the issuer's"),
        (12, 0, "warning", "behind the issuer's"),
        (120, 1, "problem", "lbjwt refuses new tokens"),
        (-120, 1, "problem", "tokens expire too early"),
    ],
)
def test_the_issuers_clock(
    tmp_path: Path, server: KeyServer, backend: str, offset: float, code: int, outcome: str, words: str
):
    """Seconds are a warning, more than clock_skew allows is a problem, in either direction."""
    server.clock = offset
    found = findings(written(tmp_path, backend, discovered(server)), code)
    said = of(found, "clock")
    assert said[0] == outcome and words in said[1] and "NTP" in said[1]


@pytest.mark.parametrize(
    ("date", "skew", "outcome"),
    [
        (None, 60, "note"),
        (1000.0, 60, "ok"),  # cut to the second: it was written at 1000.9
        (1000.0 - 6.0, 60, "ok"),  # 994.99… was 5.01 s before 1000, within the second
        (1000.0 - 6.1, 60, "warning"),
        (1002.0 + 5.0, 60, "ok"),
        (1002.0 + 5.1, 60, "warning"),
        (1002.0 + 60.0, 60, "warning"),
        (1002.0 + 60.1, 60, "problem"),
        (1000.0 - 61.1, 60, "problem"),
        (1002.0 + 2.1, 2, "problem"),
        (1002.0 + 2.0, 2, "ok"),
        (1002.0 + 250, 300, "warning"),
    ],
)
def test_what_a_date_says_of_a_clock(date: float | None, skew: float, outcome: str):
    """Asked at 1000, answered at 1002: only a difference that nothing else explains counts."""
    assert clock_result("s", date, 1000.0, 1002.0, skew).outcome == outcome


def test_keys_that_are_not_fetched(tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch):
    """A file that is not there, a secret of words in the environment, and one that is not set."""
    found = findings(written(tmp_path, backend, {"issuer": "i", "jwks_file": "none.json"}), 1)
    assert [one for one in found if one[2] == "problem"] == [
        ("configuration", "configuration", "problem", of(found, "configuration")[1])
    ]
    assert "none.json" in of(found, "configuration")[1]
    secret = "a sentence that somebody thought of"
    monkeypatch.setenv("DOCTOR_SECRET", secret)
    made = {"issuer": "i", "secret_env": "DOCTOR_SECRET", "algorithms": ["HS256"]}
    result = doctor(written(tmp_path, backend, made), "--json")
    assert result.exit_code == 0 and "of randomness" in result.stdout and secret not in result.stdout
    monkeypatch.delenv("DOCTOR_SECRET")
    assert "DOCTOR_SECRET is not set" in of(findings(written(tmp_path, backend, made), 1), "configuration")[1]


def test_endpoints(tmp_path: Path, backend: str):
    """While one accepts, others that do not are warnings; when none does, all are problems; a Unix socket is an endpoint too."""
    with Blackhole() as hole, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "app.sock"))
        unix.listen()
        dead = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{hole.port}", f"unix:{tmp_path / 'none.sock'}"]

        def outcomes(code: int, *addresses: str) -> list[tuple[str, str]]:
            clusters = {"main": {"endpoints": [{"address": one} for one in addresses], "connect_timeout": "3s"}}
            path = written(tmp_path, backend, {"issuer": "i", "jwks": json.loads(JWKS)}, clusters=clusters)
            return [(outcome, said) for _, check, outcome, said in findings(path, code) if check == "endpoint"]

        found = outcomes(0, backend, f"unix:{tmp_path / 'app.sock'}", *dead)
        assert [outcome for outcome, _ in found] == ["ok", "ok", "warning", "warning", "warning"]
        for (_, said), cause in zip(
            found[2:], ("connection refused", "no answer within 3 s", "no such file"), strict=True
        ):
            assert cause in said
        found = outcomes(1, *dead)
        assert [outcome for outcome, _ in found] == ["problem"] * 3 and "no other endpoint" in found[0][1]


@pytest.mark.parametrize(
    ("protocol", "offered", "outcome"),
    [
        ("http2", ["h2", "http/1.1"], "ok"),
        ("http2", ["http/1.1"], "problem"),
        ("auto", ["http/1.1"], "ok"),
        ("http1", ["http/1.1"], "ok"),
    ],
)
def test_an_endpoint_must_offer_what_its_cluster_speaks(
    tmp_path: Path, files: Path, protocol: str, offered: list[str], outcome: str
) -> None:
    """An endpoint that does not offer HTTP/2 during the handshake serves no request of a cluster with `protocol: http2`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "cert.pem", files / "key.pem")
    context.set_alpn_protocols(offered)
    endpoint = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    endpoint.socket = context.wrap_socket(endpoint.socket, server_side=True)
    threading.Thread(target=endpoint.handle_request, daemon=True).start()
    with contextlib.closing(endpoint.socket):
        address = f"https://localhost:{endpoint.server_port}"
        cluster = {"endpoints": [{"address": address}], "protocol": protocol, "tls": {"ca": str(files / "cert.pem")}}
        path = written(tmp_path, address, {"issuer": "i", "jwks": json.loads(JWKS)}, clusters={"main": cluster})
        found = of(findings(path, int(outcome == "problem")), "endpoint")
    assert found[0] == outcome
    assert ("does not offer HTTP/2" in found[1]) == (outcome == "problem")


def test_a_health_check_is_made_once(tmp_path: Path, backend: str):
    """With the settings of the cluster: an endpoint that accepts may fail it, with the cause that the service would log."""
    with backends("one", "two") as (one, two):
        two.health = 503
        cluster = checked(
            one.address, two.address, f"127.0.0.1:{free_port()}", body="all good", timeout="5s", interval="6s"
        )
        path = written(tmp_path, backend, {"issuer": "i", "jwks": json.loads(JWKS)}, clusters={"main": cluster})
        found = [(outcome, said) for _, check, outcome, said in findings(path, 0) if check == "endpoint"]
        assert [outcome for outcome, _ in found] == ["ok", "warning", "warning"]
        assert f"{one.address} passes its health check" in found[0][1]
        assert "status 503; requests go to the other endpoints" in found[1][1] and "connection refused" in found[2][1]
        one.health = 404
        found = [(outcome, said) for _, check, outcome, said in findings(path, 1) if check == "endpoint"]
        assert [outcome for outcome, _ in found] == ["problem"] * 3 and "no other endpoint passes either" in found[0][1]
        assert len(one.checks) == 2


def test_a_port_that_another_program_has(tmp_path: Path, backend: str):
    """A problem, also when that program answers at the place of the admin door but is no lbjwt."""
    with KeyServer() as stranger, socket.create_server(("127.0.0.1", 0)) as taken:
        stranger.documents["/livez"] = lambda: b"ok"
        port = taken.getsockname()[1]
        path = written(
            tmp_path,
            backend,
            {"issuer": "i", "jwks": json.loads(JWKS)},
            listeners=[{"address": f"127.0.0.1:{port}"}, {"address": "192.0.2.1:80"}, {"address": "127.0.0.1:0"}],
            admin={"address": f"127.0.0.1:{stranger.port}"},
        )
        found = [one for one in findings(path, 1) if one[1] == "port"]
        assert [(subject, outcome) for subject, _, outcome, _ in found] == [
            ("listeners[0]", "problem"),
            ("listeners[1]", "problem"),
            ("listeners[2]", "ok"),
            ("admin", "problem"),
        ]
        assert "in use by another process; find the process" in found[0][3]
        assert "does not have the address; write an address of this machine" in found[1][3]


def test_a_running_lbjwt_is_no_problem(tmp_path: Path, backend: str):
    """Its ports and its state directory are notes: the doctor can look at any time."""
    tokens = TokenFactory()
    with Balancer(tmp_path, tokens, [backend], state_directory=str(tmp_path / "state"), revocation={}) as running:
        found = findings(running.config_path, 0)
    notes = [(subject, check) for subject, check, outcome, _ in found if outcome == "note" and check != "key"]
    assert notes == [("listeners[0]", "port"), ("admin", "port"), ("state_directory", "state-directory")]
    assert of(found, "port")[1].startswith("a running lbjwt, whose admin API responds, uses ")
    found = findings(running.config_path, 0)
    assert [outcome for _, check, outcome, _ in found if check in ("port", "state-directory")] == ["ok", "ok", "ok"]


def test_a_running_lbjwt_excuses_no_other_problem():
    """An address that this machine does not have is one all the same."""
    (result,) = port_results("listeners[0]", Address.parse("192.0.2.1:80"), True)
    assert result.outcome == "problem"


def test_a_listener_with_a_certificate_that_has_ended(tmp_path: Path, backend: str):
    """Told with its name and date, beside what `check` says of the files."""
    certificate, key = Authority(tmp_path).issue("front", days=(-9, -2))
    key.chmod(0o600)
    listener = {"address": "127.0.0.1:0", "tls": {"certificate": str(certificate), "private_key": str(key)}}
    path = written(tmp_path, backend, {"issuer": "i", "jwks": json.loads(JWKS)}, listeners=[listener])
    outcome, said = of(findings(path, 1), "certificate")
    assert outcome == "problem" and "CN=front expired on" in said


def test_a_configuration_that_cannot_be_used(tmp_path: Path, backend: str):
    """Exit code 2, every problem of the text and its files, and no online check."""
    path = written(tmp_path, backend, {"issuer": "i", "jwks_file": "x", "audience": ["a"]})
    found = findings(path, 2)
    assert {subject for subject, _, _, _ in found} == {"configuration"}
    told = [sentence for _, _, _, sentence in found]
    assert any('issuers.main.audience: unknown key; did you mean "audiences"?' in sentence for sentence in told)
    assert any("issuers.main.jwks_file: cannot read" in sentence for sentence in told)
    assert findings(tmp_path / "none.yaml", 2)[0][2] == "problem"


def test_what_check_says_is_said_here_too(tmp_path: Path, backend: str):
    """A warning about the configuration, with its line."""
    path = written(tmp_path, backend, {"issuer": "i", "jwks": json.loads(JWKS), "any_audience": True})
    text = path.read_text().replace('"audiences": ["api"], ', "")
    path.write_text(text)
    said = [said for _, check, outcome, said in findings(path, 0) if (check, outcome) == ("configuration", "warning")]
    assert [one.split(": ")[:2] for one in said] == [["line 1", "issuers.main.any_audience"]]


def test_what_a_file_is_wrong_about_is_told_once(tmp_path: Path, backend: str):
    """A file or directory that a check of the configuration and one of the machine both look at is one problem."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    path = written(
        tmp_path,
        backend,
        {"issuer": "i", "jwks": json.loads(JWKS), "max_lifetime": "1h"},
        revocation={"file": str(tmp_path / "none")},
        state_directory=str(state),
    )
    told = [sentence for _, _, outcome, sentence in findings(path, 1) if outcome == "problem"]
    assert len(told) == 2
    assert (
        f"{state} can be written by its group or by others" in told[0]
        and f"{tmp_path / 'none'} cannot be read" in told[1]
    )


def test_each_of_several_urls_is_asked(tmp_path: Path, server: KeyServer, backend: str):
    """One that fails is a warning while another one has keys; keys with a URL each are fetched when a token names them."""
    uris = [f"{server.url}/jwks", f"{server.url}/gone"]
    remote = {"uri": uris[0], "more_uris": uris[1:]}
    found = findings(written(tmp_path, backend, {"issuer": "i", "remote_jwks": remote}), 0)
    assert [(outcome, said.partition(" gave")[0]) for _, check, outcome, said in found if check == "reachable"] == [
        ("ok", " and ".join(uris)),
        ("warning", f"{uris[1]} answered with status 404; the keys of the other URLs count"),
    ]
    assert of(found, "keys") == ("ok", "2 keys that can be used")
    each = {"issuer": "i", "remote_keys": {"uri": f"{server.url}/{{kid}}"}}
    outcome, said = of(findings(written(tmp_path, backend, each), 0), "keys")
    assert (outcome, "when a token names it" in said) == ("note", True)
