"""What another proxy is answered: every identity header, the headers to remove, and the statuses that it can take."""

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.auth._callers import Caller
from lbjwt.auth.decision import PROFILES, Allowing, decision_of, other_spellings
from lbjwt.auth.grpc import grpc_error_answer
from lbjwt.auth.refusals import RefusalStyle, compile_refusals
from lbjwt.http1._answer import Answer

PLAIN = compile_refusals()


def test_allowed_has_every_identity_header() -> None:
    """Those without a claim are empty, each stands there once, and nothing follows."""
    answer = Allowing(["X-Jwt-Sub", "X-Jwt-Roles", "x-jwt-sub"])(b"X-Jwt-Roles: a,b\r\n")
    assert (answer.status, answer.body) == (200, b"")
    decision = decision_of(answer)
    assert decision.allowed
    assert sorted(decision.headers) == [(b"X-Jwt-Roles", b"a,b"), (b"x-jwt-sub", b"")]


def test_allowed_names_what_to_remove() -> None:
    """The headers of tokens that are not passed on, and the spellings that some applications take for an identity header."""
    decision = decision_of(Allowing(["X-Jwt-Sub"], ["Authorization"])(b""))
    assert decision.remove == (b"Authorization", b"x-jwt_sub", b"x_jwt-sub", b"x_jwt_sub")
    assert decision_of(Allowing([])(b"")).remove == ()


@pytest.mark.parametrize(
    ("name", "count"), [("Subject", 0), ("X-User", 1), ("X-Jwt-Sub", 3), ("A-B-C-D-E", 15), ("A-B-C-D-E-F", 0)]
)
def test_other_spellings(name: str, count: int) -> None:
    spelled = other_spellings(name)
    assert len(set(spelled)) == len(spelled) == count
    assert all(one.replace("_", "-") == name.lower() and one != name.lower() for one in spelled)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("reason", list(DenyReason)[1:], ids=lambda reason: reason.name)
def test_no_refusal_lets_a_request_pass(name: str, reason: DenyReason) -> None:
    """Whatever the reason; the original status is told where it could not stay."""
    meant = PLAIN[reason]
    given = PROFILES[name].adapted(meant)
    assert given.status >= 400
    if given.status != meant.status:
        assert name == "nginx" and given.status in (401, 403)
        assert b"\r\nX-Lbjwt-Status: %d\r\n" % meant.status in given.head
    assert (b"WWW-Authenticate" in given.head) is (given.status == 401 or (given is meant and b"WWW-" in meant.head))
    assert given.body == meant.body


@pytest.mark.parametrize(
    ("meant", "challenge", "given"),
    [
        (400, True, 401), (400, False, 403), (401, True, 401), (403, True, 403), (404, False, 403), (421, False, 403), (429, False, 403),
        (500, False, 500), (503, False, 503),
    ],
)  # fmt: skip
def test_what_nginx_can_take(meant: int, challenge: bool, given: int) -> None:
    line = b'WWW-Authenticate: Bearer realm="a"\r\n' if challenge else b""
    assert PROFILES["nginx"].adapted(Answer(meant, line, b"")).status == given
    assert PROFILES["envoy"].adapted(Answer(meant, line, b"")).status == meant


def test_no_other_answer_is_taken_for_allowed() -> None:
    """A gRPC refusal is a 200, and so is a document: were one to come here, it would become 503."""
    for profile in PROFILES.values():
        for answer in (grpc_error_answer(401, "", Caller.GRPC), Answer(204, b"", b""), Answer(200, b"", b"{}")):
            assert profile.adapted(answer).status == 503


def test_a_style_of_refusals_is_kept() -> None:
    """A problem document is told to the client, with its own status."""
    answers = compile_refusals(style=RefusalStyle(json=True, statuses={403: 404}))
    decision = decision_of(PROFILES["caddy"].adapted(answers[DenyReason.CLAIM_REFUSED]))
    assert (decision.status, decision.allowed) == (404, False)
    assert dict(decision.headers)[b"Content-Type"] == b"application/problem+json" and b"404" in decision.body
