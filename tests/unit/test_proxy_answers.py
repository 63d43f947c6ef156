"""The answers to refused tokens: one for every reason there is, complete but for what belongs to the connection."""

import re

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.errors import ConfigurationError
from lbjwt.proxy.answers import refusal_answers

ANSWERS = refusal_answers("the realm", ["orders:read", "orders:write"])


def test_every_reason_has_its_answer() -> None:
    """They are indexed by the number of the reason, and no reason, also none at all, leads to a success."""
    assert len(ANSWERS) == len(DenyReason)
    assert {answer.status for answer in ANSWERS} == {400, 401, 403, 503}
    assert ANSWERS[DenyReason.NONE].status == ANSWERS[DenyReason.INTERNAL].status == 401


@pytest.mark.parametrize("reason", DenyReason, ids=lambda reason: reason.name)
def test_heads_are_whole_lines_with_the_right_length(reason: DenyReason) -> None:
    """Status line and fields end with CRLF, the length is that of the body, and date, request id and Connection are left to the connection."""
    answer = ANSWERS[reason]
    lines = answer.head.split(b"\r\n")
    assert re.fullmatch(rb"HTTP/1\.1 %d [A-Z][A-Za-z ]+" % answer.status, lines[0])
    assert lines[-1] == b"" and all(re.fullmatch(rb"[A-Za-z-]+: [ -~]+", line) for line in lines[1:-1])
    fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:-1])}
    assert fields[b"content-length"] == b"%d" % len(answer.body)
    assert fields[b"server"] == b"lbjwt" and fields[b"cache-control"] == b"no-store"
    assert not {b"connection", b"date", b"x-request-id"} & fields.keys()


def test_the_challenge_names_realm_and_scopes() -> None:
    """RFC 6750 section 3: the realm in each challenge, the scopes only to who lacks one."""
    assert b'Bearer realm="the realm"\r\n' in ANSWERS[DenyReason.MISSING].head
    assert (
        b'error="insufficient_scope", scope="orders:read orders:write"' in ANSWERS[DenyReason.INSUFFICIENT_SCOPE].head
    )
    assert all(
        b"orders" not in ANSWERS[reason].head for reason in DenyReason if reason is not DenyReason.INSUFFICIENT_SCOPE
    )


def test_a_realm_that_would_end_the_line_is_refused() -> None:
    """A line break in the realm is an error of the configuration and never a header."""
    with pytest.raises(ConfigurationError, match="realm"):
        refusal_answers("a\r\nX-Evil: 1", ())
