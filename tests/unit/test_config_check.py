"""What is legal and unwise: each code has a configuration that earns it, and sound ones earn none."""

from pathlib import Path
from typing import Any

import pytest

from lbjwt.config.check import check
from lbjwt.config.fields import Source
from lbjwt.config.load import examine_text
from lbjwt.config.model import Configuration

SOUND: dict[str, Any] = {
    "listeners": [{"address": "127.0.0.1:8080"}],
    "issuers": {"main": {"issuer": "https://issuer.example", "audiences": ["api"], "jwks_file": "jwks.json"}},
    "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:9001"}]}},
}


def configuration(
    issuer: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **sections: Any
) -> Configuration:
    """The sound configuration with some keys replaced; a key set to ... is left out."""
    document = {**SOUND, **sections}
    for section, changes in (("issuers", issuer or {}), ("clusters", cluster or {})):
        merged = {**SOUND[section]["main"], **changes}
        document[section] = {"main": {key: value for key, value in merged.items() if value is not ...}}
    return Configuration.model_validate(document, context=Source(Path("/etc/lbjwt")))


def remote(**changes: Any) -> dict[str, Any]:
    """An issuer whose keys are fetched."""
    return {"jwks_file": ..., "remote_jwks": {"uri": "https://issuer.example/jwks", **changes}}


WEAK: list[tuple[str, tuple[str | int, ...], dict[str, Any]]] = [
    ("listener-plain", ("listeners", 0), {"listeners": [{"address": ":8080"}]}),
    ("listener-plain", ("listeners", 1), {"listeners": [{"address": "[::1]:1"}, {"address": "10.0.0.1:80"}]}),
    ("any-issuer", ("issuers", "main", "any_issuer"), {"issuer": {"issuer": ..., "any_issuer": True}}),
    (
        "any-audience",
        ("issuers", "main", "any_audience"),
        {"issuer": {"audiences": ..., "any_audience": True}, "forward_token": False},
    ),
    ("issuer-plain-http", ("issuers", "main", "issuer"), {"issuer": {"issuer": "http://issuer.example"}}),
    ("name-with-spaces", ("issuers", "main", "issuer"), {"issuer": {"issuer": "https://issuer.example "}}),
    ("name-with-spaces", ("issuers", "main", "audiences", 1), {"issuer": {"audiences": ["api", " web"]}}),
    ("name-with-star", ("issuers", "main", "audiences", 0), {"issuer": {"audiences": ["*"]}}),
    ("hmac-and-public-keys", ("issuers", "main", "algorithms"), {"issuer": {"algorithms": ["HS256", "RS256"]}}),
    (
        "jwks-plain-http",
        ("issuers", "main", "remote_jwks", "uri"),
        {"issuer": remote(uri="http://issuer.example/jwks", allow_http=True)},
    ),
    (
        "jwks-refresh-slow",
        ("issuers", "main", "remote_jwks", "refresh_interval"),
        {"issuer": remote(refresh_interval="2h")},
    ),
    (
        "jwks-refresh-fast",
        ("issuers", "main", "remote_jwks", "refresh_interval"),
        {"issuer": remote(refresh_interval="9s")},
    ),
    (
        "jwks-timeout-long",
        ("issuers", "main", "remote_jwks", "timeout"),
        {"issuer": remote(refresh_interval="20s", timeout="20s")},
    ),
    ("clock-skew-large", ("issuers", "main", "clock_skew"), {"issuer": {"clock_skew": "300s"}}),
    ("expiration-optional", ("issuers", "main", "require_expiration"), {"issuer": {"require_expiration": False}}),
    ("lifetime-long", ("issuers", "main", "max_lifetime"), {"issuer": {"max_lifetime": "31d"}}),
    ("idle-over-total", ("clusters", "main", "max_idle_connections"), {"cluster": {"max_connections": 10}}),
    ("header-names-allow", ("header_names",), {"header_names": "allow"}),
    ("forward-any-audience", ("forward_token",), {"issuer": {"audiences": ..., "any_audience": True}}),
    ("trust-everyone", ("trusted_proxies", 0), {"trusted_proxies": ["0.0.0.0/0"]}),
    ("trust-everyone", ("trusted_proxies", 1), {"trusted_proxies": ["10.0.0.0/8", "::/0"]}),
    ("trust-wide", ("trusted_proxies", 0), {"trusted_proxies": ["8.0.0.0/8"]}),
    ("cache-off", ("token_cache",), {"token_cache": {"max_entries": 0}}),
    ("token-limit-small", ("limits", "max_token"), {"limits": {"max_token": "512"}}),
    ("head-limit-large", ("limits", "max_request_head"), {"limits": {"max_request_head": "128KiB"}}),
    ("line-over-head", ("limits", "max_request_line"), {"limits": {"max_request_line": "64KiB"}}),
    ("head-timeout-long", ("timeouts", "request_head"), {"timeouts": {"request_head": "61s"}}),
    ("keep-alive-long", ("timeouts", "keep_alive"), {"timeouts": {"keep_alive": "11m"}}),
    ("drain-none", ("timeouts", "drain"), {"timeouts": {"drain": "0s"}}),
    ("admin-exposed", ("admin", "address"), {"admin": {"address": "0.0.0.0:9900"}}),
]


@pytest.mark.parametrize(("code", "path", "changes"), WEAK)
def test_each_weakness_is_a_warning_at_its_key(code: str, path: tuple[str | int, ...], changes: dict[str, Any]):
    """The weak value is named, and the weakness does not prevent the configuration."""
    problems = check(configuration(**changes))
    assert (code, path, "warning") in {(problem.code, problem.path, problem.level) for problem in problems}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"listeners": [{"address": ":443", "tls": {"certificate": "c", "private_key": "k"}}]},
        {"issuer": remote(uri="http://127.0.0.1:8081/jwks")},
        {"issuer": remote(uri="http://localhost/jwks")},
        {"issuer": {"jwks_file": ..., "secret_file": "s", "algorithms": ["HS256", "HS512"]}},
        {"issuer": {"clock_skew": "0s", "max_lifetime": "1d"}},
        {"trusted_proxies": ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8", "203.0.113.7"]},
        {"admin": {"address": "[::1]:9900"}, "header_names": "reject"},
        {"access_log": {"path": "access.log"}},
    ],
)
def test_sound_configurations_earn_no_warning(changes: dict[str, Any]):
    """A warning that comes for nothing teaches people to ignore warnings."""
    assert check(configuration(**changes)) == []


@pytest.mark.parametrize(
    ("listener", "endpoint", "loop"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        (":80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "localhost:80", True),
        ("[::]:80", "[::1]:80", True),
        (":80", "10.0.0.1:80", False),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        (":80", "unix:/run/a.sock", False),
    ],
)
def test_an_endpoint_that_is_the_balancer_itself_is_an_error(listener: str, endpoint: str, loop: bool):
    """Requests would go round until every connection is used up."""
    tls = {"certificate": "c", "private_key": "k"}
    made = configuration(cluster={"endpoints": [{"address": endpoint}]}, listeners=[{"address": listener, "tls": tls}])
    assert [problem.code for problem in check(made)] == ["proxy-loop"] * loop


def test_the_access_log_must_not_be_a_key_file():
    """A log that is appended to the JWK Set would end every verification at the next start."""
    problems = check(configuration(access_log={"path": "../lbjwt/jwks.json"}))
    assert [(problem.code, problem.level) for problem in problems] == [("log-over-file", "error")]


def test_warnings_have_places():
    """A warning about a file points at its line like an error does, and names its code."""
    text = Path("examples/minimal.yaml").read_text().replace("audiences: [api]", "any_audience: true")
    examination = examine_text(text, Path("/"), "f")
    assert examination.errors == ()
    rendered = [problem.render("f") for problem in examination.problems]
    assert rendered[0].startswith("f:4:1: warning: forward_token: ")
    assert rendered[1].startswith("f:10:19: warning: issuers.main.any_audience: ")
    assert rendered[1].endswith(" [any-audience]")


def test_every_code_is_in_the_documentation():
    """The table of codes in the documentation is complete."""
    page = Path("docs/configuration.md").read_text()
    assert {code for code, _, _ in WEAK if f"`{code}`" not in page} == set()
