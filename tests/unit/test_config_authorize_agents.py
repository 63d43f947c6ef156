"""`mode: authorize` with profiles that have a protocol of their own: what goes together."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbjwt.assembly.authorizers import check_settings
from lbjwt.config.load import load_text
from tests.unit.broken_files import assert_told

ELSEWHERE = Path("/etc/lbjwt")
HAPROXY = """\
listeners:
  - address: 127.0.0.1:9085
    mode: authorize
    authorize: {profile: haproxy}
issuers: {main: {issuer: "https://issuer.example", audiences: [api], jwks_file: jwks.json}}
"""
ENVOY = HAPROXY.replace("haproxy}", "envoy-grpc}\n    h2c: true")


@pytest.mark.parametrize(
    ("text", "old", "new", "path", "part"),
    [
        (ENVOY, "\n    h2c: true", "", "listeners[0].authorize.profile", "gRPC needs HTTP/2"),
        (ENVOY, "h2c: true", "h2c: false", "listeners[0].authorize.profile", "gRPC needs HTTP/2"),
        (
            ENVOY,
            "h2c: true",
            "tls: {certificate: a.pem, private_key: b.pem}\n    http2: false",
            "listeners[0].authorize.profile",
            "gRPC needs HTTP/2",
        ),
        (ENVOY, "grpc}", "grpc, original_request: wire}", "listeners[0].authorize.original_request", "in its own protocol"),
        (HAPROXY, "haproxy}", "haproxy, original_request: wire}", "listeners[0].authorize.original_request", "own protocol"),
        (HAPROXY, "haproxy}", "haproxy, secret_file: a}", "listeners[0].authorize.secret_file", "no place for a secret"),
        (HAPROXY, "haproxy}", "haproxy, dynamic_metadata: [sub]}", "listeners[0].authorize.dynamic_metadata", "envoy-grpc"),
        (ENVOY, "grpc}", "grpc, dynamic_metadata: [sub, sub]}", "listeners[0].authorize.dynamic_metadata", "twice"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_told(text: str, old: str, new: str, path: str, part: str) -> None:
    assert_told(text, old, new, path, part)


def test_with_tls_http2_is_there_already() -> None:
    text = ENVOY.replace("h2c: true", "tls: {certificate: a.pem, private_key: b.pem}")
    assert load_text(text, ELSEWHERE).listeners[0].http2


@pytest.mark.parametrize(
    ("places", "parameters", "cookies"),
    [
        ("", [], False),
        ("from_cookies: [{name: session}], from_params: [{name: a}, {name: b, forward: true}]", [b"a"], True),
        ("from_cookies: [{name: session, forward: true}]", [], False),
    ],
)
def test_envoy_cuts_out_the_tokens_that_are_not_passed_on(places: str, parameters: list[bytes], cookies: bool) -> None:
    text = ENVOY.replace("audiences:", f"{places}, audiences:") if places else ENVOY
    configuration = load_text(text.replace("grpc}", "grpc, dynamic_metadata: [sub]}"), ELSEWHERE)
    section = configuration.listeners[0].authorize
    assert section is not None
    settings = check_settings(configuration, section)
    assert (settings.parameters, settings.cookies, settings.claims) == (parameters, cookies, ("sub",))
