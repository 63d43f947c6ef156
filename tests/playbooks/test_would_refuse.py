"""What a backend learns of requests that pass only because a route or rule reports: `X-Jwt-Would-Refuse`, which no client can write."""

import time

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.auth.refusals import status_of as status_for
from lbjwt.config.load import examine_text
from tests.playbooks.policies import Policies, bearer, field_of, status_of, token
from tests.playbooks.stage import Stage, request
from tests.playbooks.steps import is_refused, passes
from tests.playbooks.strict_route import REASONS, bad_requests, strict, strict_stage

FORGED = "X-Jwt-Would-Refuse: forged"
REPORTED = [reason for reason in REASONS if reason not in (DenyReason.NO_CLUSTER, DenyReason.INTERNAL)]
ROUTES = """
  - {name: try, prefix: /try, report_only: true, refusals: {statuses: {403: 404}}, scopes: {all: [orders]}}
  - {name: rule, prefix: /rule, rules: [{claim: level, at_least: 3, report_only: true}]}
  - {name: open, prefix: /open, public: true}
  - {name: maybe, prefix: /maybe, allow_missing: true}
  - {name: rest, prefix: /}
"""


def told(seen: bytes) -> str:
    """What the backend was told; "" when nothing."""
    return field_of(seen, "X-Jwt-Would-Refuse")


@pytest.mark.parametrize("reason", REPORTED, ids=lambda reason: reason.name)
def test_a_backend_is_told_why_a_request_would_be_refused(pieces: int | None, reason: DenyReason) -> None:
    """The reason of the log and the status that the client would have got, once, whatever the client wrote itself."""
    stage = strict_stage(pieces, "prefix: /, report_only: true", reason)
    seen = passes(stage, stage.client(), request("GET", "/", FORGED, auth=bad_requests()[reason]))
    assert told(seen) == f"{reason.name.lower()};status={status_for(reason)}"
    assert b"X-Jwt-Sub" not in seen


def test_a_request_that_nothing_would_refuse_says_nothing(pieces: int | None) -> None:
    """With a good token the header is not there, also when the client sent one in any spelling, on any kind of route."""
    stage = Stage(pieces, **Policies(ROUTES).options())
    client = stage.client()
    good = bearer(token(scope="orders", level=3))
    for path, auth in (("/try", good), ("/rule", good), ("/open", b""), ("/open", good), ("/maybe", b""), ("/x", good)):
        for forged in (FORGED, "x-jwt-would-refuse: x", "X_Jwt_Would_Refuse: x", "X-JWT_WOULD-REFUSE: x"):
            seen = passes(stage, client, request("GET", path, forged, auth=auth))
            assert b"would" not in seen.lower(), (path, forged)


def test_a_rule_that_only_reports_is_told_beside_the_identity(pieces: int | None) -> None:
    """The token is good and its identity arrives; the rule that would have refused it is told each time, verified or remembered."""
    stage = Stage(pieces, **Policies(ROUTES).options())
    client = stage.client()
    for _ in range(2):
        seen = passes(stage, client, request("GET", "/rule", auth=bearer(token(level=2, exp=2_000_000_000))))
        assert told(seen) == "claim_refused;status=403" and field_of(seen, "X-Jwt-Sub") == "user-of-a"
    again = passes(stage, client, request("GET", "/rule", auth=bearer(token(level=3))))
    assert told(again) == ""


def test_the_status_is_that_of_the_route(pieces: int | None) -> None:
    """A route that answers 404 in place of 403 says so here, too; a refused request reaches no backend that could be told."""
    stage = Stage(pieces, **Policies(ROUTES).options())
    client = stage.client()
    assert told(passes(stage, client, request("GET", "/try", auth=bearer(token())))) == "insufficient_scope;status=404"
    expired = bearer(token(exp=int(time.time()) - 3600))
    assert told(passes(stage, client, request("GET", "/try", auth=expired))) == "expired;status=401"
    assert status_of(is_refused(stage, client, request("GET", "/x", FORGED, auth=expired))) == 401


def test_p3_a_client_cannot_have_it_removed(pieces: int | None) -> None:
    """`Connection` must not name it: its loss would make a bad request look like a good one (THREATS P3)."""
    stage = strict_stage(pieces, "prefix: /, report_only: true", DenyReason.MISSING)
    answer = is_refused(stage, stage.client(), request("GET", "/", "Connection: X-Jwt-Would-Refuse", auth=b""))
    assert status_of(answer) == 400
    assert b"\r\nX-Jwt-Sub: alice\r\n" in passes(stage, stage.client(), request(auth=bearer(strict())))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("claim_to_headers: []", "claim_to_headers: [{claim: sub, header: x-jwt-would-refuse}]"),
        ("jwks: {keys: []}", "jwks: {keys: []}, from_headers: [{name: X-Jwt-Would-Refuse}]"),
    ],
)
def test_nothing_else_can_be_called_so(old: str, new: str) -> None:
    """Neither a claim nor a token location has this name."""
    text = (
        'listeners: [{address: "127.0.0.1:0"}]\nclusters: {main: {endpoints: [{address: "127.0.0.1:9001"}]}}\n'
        "issuers: {a: {issuer: i, audiences: [api], jwks: {keys: []}}}\nclaim_to_headers: []\n"
    )
    from pathlib import Path

    (problem,) = examine_text(text.replace(old, new), Path("/")).problems
    assert "set by the balancer" in problem.message
