"""Settings of gRPC: which of them go together, and what a wrong combination is told."""

from pathlib import Path
from typing import Any

import pytest

from lbjwt.config.load import load_text
from lbjwt.errors import ConfigurationError
from lbjwt.upstream._retry import RetryCause

TEXT = """
listeners: [{address: "127.0.0.1:8080", h2c: true}]
issuers: {main: {issuer: i, audiences: [a], jwks_file: jwks.json}}
clusters: {main: {endpoints: [{address: "127.0.0.1:1"}], %s}}
routes: [{name: all, prefix: /, retry: {on: [grpc_unavailable, 503]}}]
"""


def load(cluster: str) -> Any:
    return load_text(TEXT % cluster, Path())


def test_a_grpc_check_of_a_service() -> None:
    check = load("protocol: http2, health_check: {type: grpc, service: shop.Orders, host: shop}").clusters["main"]
    assert (check.health_check.check.service, check.health_check.check.host) == ("shop.Orders", "shop")


def test_a_check_over_tls_as_requests_go_unless_told() -> None:
    check = load("protocol: auto, health_check: {type: grpc}").clusters["main"].health_check.check
    assert check.is_over_tls(https=True) and not check.is_over_tls(https=False)
    check = load("protocol: auto, health_check: {type: grpc, scheme: http}").clusters["main"].health_check.check
    assert not check.is_over_tls(https=True)


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ("health_check: {type: grpc}", "a check of type grpc needs HTTP/2; set protocol: http2"),
        ("protocol: http2, health_check: {type: grpc, path: /x}", "has no effect on a check of type grpc"),
        ("protocol: http2, health_check: {type: grpc, statuses: 200}", "has no effect on a check of type grpc"),
        ("protocol: http2, health_check: {service: shop.Orders}", "has an effect on a check of type grpc only"),
        ("protocol: http2, health_check: {type: grpc, service: 'a b'}", "must be the name of a gRPC service"),
    ],
)
def test_settings_that_do_not_go_together(cluster: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        load(cluster)


def test_unavailable_is_a_cause_of_its_own() -> None:
    (route,) = load("protocol: http2").routes
    assert route.retry.on == ("grpc_unavailable", 503) and RetryCause.GRPC_UNAVAILABLE > RetryCause.STATUS
