"""What is legal and dangerous: sound configurations earn nothing, and edges. Each code has its cases in test_checks_unsafe.py."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lbjwt.checks.dangers import warnings
from lbjwt.checks.registry import text_problems
from lbjwt.config.fields import Source
from lbjwt.config.load import examine_text
from lbjwt.config.model import Configuration
from lbjwt.config.problems import describe

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


def codes(changes: dict[str, Any]) -> list[str]:
    """Of the errors of a changed configuration."""
    try:
        configuration(**changes)
    except ValidationError as error:
        return [problem.code for problem in describe(error, Configuration)]
    return []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"listeners": [{"address": ":443", "tls": {"certificate": "c", "private_key": "k"}}]},
        {"issuer": {"jwks_file": ..., "remote_jwks": {"uri": "http://127.0.0.1:8081/jwks"}}},
        {"issuer": {"jwks_file": ..., "remote_jwks": {"uri": "http://localhost/jwks"}}},
        {"issuer": {"jwks_file": ..., "discovery": {}}},
        {"issuer": {"jwks_file": ..., "secret_file": "s", "algorithms": ["HS256", "HS512"]}},
        {"issuer": {"clock_skew": "0s", "max_lifetime": "1d"}},
        {"trusted_proxies": ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8", "203.0.113.7"]},
        {"admin": {"address": "[::1]:9900"}, "header_names": "reject"},
        {"access_log": {"path": "access.log"}},
        {
            "routes": [
                {"name": "all"},
                {"name": "open", "path": "/api/status", "public": True},
                {"name": "any", "prefix": "/any", "public": True},
            ]
        },
        {
            "routes": [
                {"name": "api", "prefix": "/api", "methods": ["GET"]},
                {"name": "open", "hosts": ["*.example"], "path": "/", "public": True},
            ]
        },
    ],
)
def test_sound_configurations_earn_no_warning(changes: dict[str, Any]):
    """A warning that comes for nothing teaches people to ignore warnings."""
    assert warnings(configuration(**changes)) == []


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
        ("127.0.0.1:80", "localhost:80", True),
        ("127.0.0.1:80", "LOCALHOST.:80", True),
        ("[::1]:80", "localhost:80", True),
        ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", True),
        ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", True),
        (":80", "[::ffff:127.0.0.9]:80", True),
        ("127.0.0.1:80", "https://127.0.0.1:80", True),
        ("127.0.0.2:80", "localhost:80", False),
        ("10.0.0.1:80", "localhost:80", False),
        ("10.0.0.1:80", "[::ffff:10.0.0.1]:80", True),
    ],
)
def test_an_endpoint_that_is_the_balancer_itself_is_an_error(listener: str, endpoint: str, loop: bool):
    """Requests would go round until every connection is used up."""
    tls = {"certificate": "c", "private_key": "k"}
    changes = {"cluster": {"endpoints": [{"address": endpoint}]}, "listeners": [{"address": listener, "tls": tls}]}
    assert codes(changes) == ["proxy-loop"] * loop


def test_a_short_interval_shortens_the_timeout_that_nobody_set():
    made = configuration(cluster={"endpoints": [{"address": "10.0.0.1:80"}], "health_check": {"interval": "1s"}})
    check = made.clusters["main"].health_check
    assert warnings(made) == [] and check is not None and (check.timeout, check.check.timeout) == (None, 1.0)


def test_the_access_log_must_not_be_a_key_file():
    """A log that is appended to the JWK Set would end every verification at the next start."""
    assert codes({"access_log": {"path": "../lbjwt/jwks.json"}}) == ["log-over-file"]


def test_warnings_have_places():
    """A warning about a file points at its line like an error does, and names its code."""
    text = Path("examples/minimal.yaml").read_text().replace("audiences: [api]", "any_audience: true")
    examination = examine_text(text, Path("/"), "f")
    assert examination.problems == ()
    (rendered,) = [problem.render("f") for problem in text_problems(examination)]
    assert rendered.startswith("f:10:19: warning: issuers.main.any_audience: ")
    assert rendered.endswith(" [any-audience]")
