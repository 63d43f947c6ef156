"""The harness against a toy proxy: silent when it is honest, and each planted fault is found and named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.harness.backend import Backend
from tests.harness.balancer import Balancer
from tests.harness.behaviour import good
from tests.harness.client import Client, Outcome, request
from tests.harness.ledger import Finding, compare
from tests.harness.load import Job, drive, jobs
from tests.harness.tokens import ShadowVerifier, TokenFactory


def run_toy(
    directory: Path,
    fault: str,
    work: list[Job],
    tokens: TokenFactory,
    *,
    connections: int = 4,
    may_fail: bool = False,
    with_log: bool = True,
) -> list[Finding]:
    """Requests through a toy proxy with one fault; what the ledgers say about it."""
    shadow = ShadowVerifier(tokens.jwks(), tokens.issuer, tokens.audience)
    jwks = tokens.write_jwks(directory / "jwks.json")
    with Backend(good, shadow=shadow) as backend:
        command = [
            sys.executable,
            "-m",
            "tests.harness.toy_proxy",
            "{port}",
            str(backend.port),
            fault,
            str(directory / "access.log"),
            str(jwks),
            tokens.issuer,
            tokens.audience,
        ]
        with Balancer(directory, tokens, [], command=command) as toy:
            patience = 30.0 if fault == "none" else 3.0  # some faults leave a request unanswered
            samples = drive(toy.port, work, connections=connections, timeout=patience)
            return compare(samples, backend.seen, toy.access_log() if with_log else None, may_fail=may_fail)


@pytest.fixture(scope="module")
def tokens() -> TokenFactory:
    """One issuer for the module."""
    return TokenFactory()


def mixed(tokens: TokenFactory) -> list[Job]:
    """GETs, POSTs and a few refusals."""
    good_token, bad_token = tokens.mint(), tokens.mint(lifetime=-600)
    return [
        *jobs(40, good_token, prefix="g"),
        *jobs(20, good_token, prefix="p", method="POST", body=b"hello"),
        *jobs(10, bad_token, prefix="x"),
        *jobs(6, good_token, prefix="c", target="/chunked/5000?{id}"),
    ]


def test_an_honest_proxy_has_no_findings(tmp_path: Path, tokens: TokenFactory) -> None:
    """Without a planted fault the three ledgers agree."""
    assert run_toy(tmp_path, "none", mixed(tokens), tokens) == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("swap", "cross-delivery"),
        ("duplicate", "duplication"),
        ("unverified", "unverified"),
        ("lose", "loss"),
        ("lie", "log"),
        ("forget", "log"),
        ("double", "garbage"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, tokens: TokenFactory, fault: str, kind: str) -> None:
    """Each fault of the toy shows up under its own name."""
    findings = run_toy(tmp_path, fault, mixed(tokens), tokens)
    assert kind in {finding.kind for finding in findings}, findings[:5]


def test_a_truncated_response_that_looks_whole_is_found(tmp_path: Path, tokens: TokenFactory) -> None:
    """A proxy that completes a cut response is caught by the backend's own word that it was cut."""
    work = list(jobs(10, tokens.mint(), prefix="t", target="/evil/truncate?size=1000&cut=300&{id}"))
    assert {finding.kind for finding in run_toy(tmp_path, "complete", work, tokens, with_log=False)} == {"truncation"}


def test_a_truncated_response_that_stays_truncated_is_no_finding(tmp_path: Path, tokens: TokenFactory) -> None:
    """A cut that reaches the client as a cut is what a backend's death looks like."""
    work = list(jobs(10, tokens.mint(), prefix="t", target="/evil/truncate?size=1000&cut=300&{id}"))
    assert run_toy(tmp_path, "none", work, tokens, may_fail=True, with_log=False) == []


def test_a_failed_request_is_a_loss_unless_the_test_broke_something(tmp_path: Path, tokens: TokenFactory) -> None:
    """The same cut counts as loss in a run where nothing may fail."""
    work = list(jobs(3, tokens.mint(), prefix="t", target="/evil/truncate?size=1000&cut=300&{id}"))
    assert {finding.kind for finding in run_toy(tmp_path, "none", work, tokens, with_log=False)} == {"loss"}


def test_surplus_bytes_given_to_the_next_request_are_found(tmp_path: Path, tokens: TokenFactory) -> None:
    """A proxy that goes on using a connection with bytes left over delivers a stray response, and the ledger says so."""
    work = list(jobs(8, tokens.mint(), prefix="s", target="/evil/surplus?what=response&{id}"))
    findings = run_toy(tmp_path, "surplus", work, tokens, connections=1, with_log=False)
    assert "cross-delivery" in {finding.kind for finding in findings}, findings


def test_a_request_the_proxy_should_have_refused_is_found(tmp_path: Path, tokens: TokenFactory) -> None:
    """Raw client lines with bare LF reach the backend's strict reader and become a finding."""
    with Backend(good) as backend:
        jwks = tokens.write_jwks(tmp_path / "jwks.json")
        command = [
            sys.executable,
            "-m",
            "tests.harness.toy_proxy",
            "{port}",
            str(backend.port),
            "frame",
            str(tmp_path / "access.log"),
            str(jwks),
            tokens.issuer,
            tokens.audience,
        ]
        with Balancer(tmp_path, tokens, [], command=command) as toy, Client(toy.port) as client:
            client.send(request(token=tokens.mint(), id="f-1").replace(b"\r\n\r\n", b"\r\nX-A: b\nX-C: d\r\n\r\n"))
            assert client.response().outcome is Outcome.COMPLETE
        assert backend.site.faults
        assert {finding.kind for finding in compare([], backend.seen)} == {"unverified", "ghost"}
