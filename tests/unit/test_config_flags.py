"""Flags: the same configuration as the file with the same meaning, and problems in the words of flags."""

from dataclasses import replace
from pathlib import Path

import pytest

from lbjwt.checks.dangers import warnings
from lbjwt.config.dump import dump
from lbjwt.config.flags import Flags, configuration_from_flags, issuer_from_flags, problems_under_flags
from lbjwt.config.load import load_text
from lbjwt.config.problems import ConfigurationError
from lbjwt.config.remote import Discovery

HERE = Path("/home/op")
LEAST = Flags(
    listen=("127.0.0.1:8080",), backend=("127.0.0.1:9001",), jwks="jwks.json", issuer="https://i", audience=("api",)
)
ALL = Flags(
    listen=("127.0.0.1:8080", "[::1]:8080"),
    backend=("127.0.0.1:9001", "unix:/run/app.sock"),
    jwks="https://issuer.example/jwks",
    issuer="https://i",
    audience=("api", "web"),
    algorithm=("RS256", "ES256"),
    claim_header=("sub=X-Jwt-Sub", "https://claims.example/role=X-Role"),
    tls_cert="cert.pem",
    tls_key="/etc/key.pem",
    workers="4",
    admin="127.0.0.1:9900",
    access_log="-",
    state_directory="state",
)
SAME = """
listeners:
  - address: 127.0.0.1:8080
    tls: {certificate: /home/op/cert.pem, private_key: /etc/key.pem}
  - address: "[::1]:8080"
    tls: {certificate: /home/op/cert.pem, private_key: /etc/key.pem}
issuers:
  main:
    issuer: https://i
    audiences: [api, web]
    algorithms: [RS256, ES256]
    remote_jwks: {uri: https://issuer.example/jwks}
clusters:
  main:
    endpoints: [{address: 127.0.0.1:9001}, {address: unix:/run/app.sock}]
claim_to_headers:
  - {claim: sub, header: X-Jwt-Sub}
  - {claim: https://claims.example/role, header: X-Role}
workers: 4
admin: {address: 127.0.0.1:9900}
access_log: {path: "-"}
state_directory: /home/op/state
"""


def problems(flags: Flags) -> list[str]:
    """The lines a person would read."""
    with pytest.raises(ConfigurationError) as caught:
        configuration_from_flags(flags, HERE)
    return [problem.render() for problem in caught.value.problems]


def test_flags_and_file_make_the_same_configuration():
    """All flags together equal the file with the same meaning."""
    assert configuration_from_flags(ALL, HERE) == load_text(SAME, Path("/"))


@pytest.mark.parametrize(
    "flags",
    [
        LEAST,
        ALL,
        replace(LEAST, jwks=None, pem="key.pem", workers="auto", access_log="a.log"),
        replace(LEAST, jwks=None, secret_file="secret.bin", algorithm=("HS256",)),
        replace(LEAST, issuer=None, any_issuer=True, audience=(), any_audience=True),
        replace(LEAST, jwks=None, issuer="https://issuer.example"),
    ],
)
def test_printed_flags_load_back_as_equal(flags: Flags):
    """--print-config grows flags into a file."""
    configuration = configuration_from_flags(flags, HERE)
    assert load_text(dump(configuration), Path("/elsewhere")) == configuration


def test_nothing_said_tells_all_that_is_needed():
    """One run names every flag that is missing."""
    assert problems(Flags(workers="1")) == [
        "--listen: is required",
        "give --issuer, the exact iss claim (or say --any-issuer)",
        "give --audience (or say --any-audience)",
        "--backend: is required",
    ]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (replace(LEAST, any_issuer=True), "--any-issuer contradicts --issuer; keep one"),
        (replace(LEAST, any_audience=True), "--any-audience contradicts --audience; keep one"),
        (replace(LEAST, pem="k.pem"), "--pem: give one key source only, but here are --jwks and --pem"),
        (replace(LEAST, jwks=None, secret_file="s"), "--secret-file needs --algorithm, such as HS256"),
        (replace(LEAST, tls_cert="c"), "--tls-key: is required"),
        (replace(LEAST, tls_key="k"), "--tls-cert: is required"),
        (replace(LEAST, claim_header=("sub",)), "--claim-header: must have the form CLAIM=Header-Name"),
        (replace(LEAST, claim_header=("sub=Host",)), "--claim-header: Host has a fixed meaning"),
        (replace(LEAST, claim_header=("a=X-A", "b=x-a")), "--claim-header: x-a and X-A can be the same header name"),
        (
            replace(LEAST, listen=("8080",)),
            '--listen: must be HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH; did you mean ":8080"?',
        ),
        (replace(LEAST, listen=(":1", ":1")), "--listen: two listeners have the address :1"),
        (replace(LEAST, backend=(":9001",)), "--backend: an endpoint needs a host"),
        (replace(LEAST, backend=("127.0.0.1:8080",)), "--backend: is lbjwt's own listener"),
        (replace(LEAST, jwks="http://issuer.example/jwks"), "--jwks: with plain http"),
        (replace(LEAST, jwks="file:///jwks.json"), "--jwks: must be an https URL"),
        (replace(LEAST, algorithm=("none",)), '--algorithm: "none" is never accepted'),
        (replace(LEAST, algorithm=("RS256", "rs512")), '"RS512"?'),
        (replace(LEAST, jwks=None, pem="a.pem", algorithm=("HS256",)), "--algorithm: HS algorithms need a secret"),
        (replace(LEAST, workers="0"), "--workers: must be a whole number from 1 to 1024, or auto"),
        (replace(LEAST, workers="four"), "--workers: must be a whole number"),
        (replace(LEAST, workers="٤"), "--workers: must be a whole number"),
        (
            replace(LEAST, admin="127.0.0.1:8080"),
            "--admin: 127.0.0.1:8080 is already the address of a listener; choose another one",
        ),
        (replace(LEAST, access_log="/home/op/jwks.json"), "--access-log: is also the name of a file"),
        (replace(LEAST, issuer=""), "--issuer: must not be empty"),
        (replace(LEAST, jwks=None, issuer="main"), "--jwks: is required: give a file or an https URL with the keys"),
        (replace(LEAST, jwks=None, issuer="main"), "because lbjwt can discover the keys only if --issuer is a URL"),
        (replace(LEAST, jwks=None, issuer=None, any_issuer=True), "--jwks: is required: give a file or an https URL"),
        (
            replace(LEAST, jwks=None, issuer="http://issuer.example"),
            "--issuer: with plain http, anybody on the network path",
        ),
        (
            replace(LEAST, jwks=None, issuer="https://issuer.example?a"),
            "--issuer: discovery needs an issuer without",
        ),
        (
            replace(LEAST, jwks=None, issuer="https://169.254.169.254"),
            "--issuer: discovery cannot use this issuer",
        ),
        (replace(LEAST, state_directory=""), "--state-directory: a file name must not be empty"),
    ],
)
def test_problems_name_the_flag(flags: Flags, expected: str):
    """One wrong flag gives one line that begins with it."""
    found = problems(flags)
    assert len(found) == 1, found
    assert expected in found[0]


def test_missing_and_wrong_flags_are_told_together():
    """What is missing does not hide what is wrong."""
    found = problems(replace(LEAST, backend=(), listen=("x",), workers="0"))
    assert [line.partition(":")[0] for line in found] == ["--listen", "--backend", "--workers"]


def test_warnings_name_the_flag():
    """A weakness is told under the flag that made it."""
    configuration = configuration_from_flags(replace(LEAST, listen=(":8080",), audience=(), any_audience=True), HERE)
    found = [problem.render() for problem in problems_under_flags(warnings(configuration))]
    assert found[0].startswith("warning: --listen: this listener has no TLS")
    assert found[1].startswith("warning: --any-audience: ")


def test_given_flags_are_named_as_they_are_written():
    """What was said can be repeated to the person who said it."""
    assert Flags().given() == []
    assert replace(LEAST, any_audience=True).given() == [
        "--listen",
        "--backend",
        "--jwks",
        "--issuer",
        "--audience",
        "--any-audience",
    ]


def test_an_issuer_alone():
    """Tokens are verified by hand with the flags of the issuer only."""
    issuer = issuer_from_flags(Flags(jwks="a.json", issuer="i", any_audience=True), HERE)
    assert (issuer.jwks_file, issuer.any_audience) == (HERE / "a.json", True)
    with pytest.raises(ConfigurationError, match="give --issuer"):
        issuer_from_flags(Flags(jwks="a.json", any_audience=True), HERE)


def test_an_issuer_alone_finds_no_keys():
    """Where nothing is fetched, keys must be given: an https issuer does not stand in for them."""
    with pytest.raises(ConfigurationError) as caught:
        issuer_from_flags(Flags(issuer="https://issuer.example", any_audience=True), HERE)
    assert [problem.path for problem in caught.value.problems] == [("--jwks",)]


def test_an_issuer_is_enough_to_find_its_keys():
    """Without --jwks, --pem and --secret-file the keys are found by the issuer's URL."""
    made = configuration_from_flags(replace(LEAST, jwks=None, issuer="https://issuer.example"), HERE)
    assert made.issuers["main"].discovery == Discovery()
    assert configuration_from_flags(LEAST, HERE).issuers["main"].discovery is None
