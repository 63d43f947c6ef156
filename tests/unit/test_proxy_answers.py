"""The answers of our own: one for every reason and form there is, complete but for what belongs to the connection."""

import re

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt.auth.refusals import RefusalStyle, status_of
from lbjwt.errors import ConfigurationError
from lbjwt.http1._answer import Answer
from lbjwt.proxy.answers import metadata_answer, redirect_answer, route_answers

TEMPLATE = "https://login.example/?u={url}"
STYLE = RefusalStyle(scopes=("orders:read", "orders:write"), redirect=TEMPLATE)
ANSWERS, (GRPC, WEB, WEB_TEXT), REDIRECTS, _ = route_answers("the realm", STYLE)
REDIRECT = redirect_answer(TEMPLATE.encode(), b"https", b"a.example", b"/x?y")
DOCUMENT = metadata_answer(b'{"resource": "https://a.example"}')


def fields(answer: Answer) -> dict[bytes, bytes]:
    """The fields, after a look at the lines of the head."""
    lines = answer.head.split(b"\r\n")
    assert re.fullmatch(rb"HTTP/1\.1 %d [A-Z][A-Za-z ]+" % answer.status, lines[0])
    assert lines[-1] == b"" and all(re.fullmatch(rb"[A-Za-z-]+: [ -~]+", line) for line in lines[1:-1])
    return {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:-1])}


def test_every_reason_has_its_answer() -> None:
    """They are indexed by the number of the reason, and no reason, also none at all, leads to a success."""
    assert len(ANSWERS) == len(GRPC) == len(REDIRECTS) == len(DenyReason)
    assert {answer.status for answer in ANSWERS} == {400, 401, 403, 429, 503}
    assert ANSWERS[DenyReason.NONE].status == ANSWERS[DenyReason.INTERNAL].status == 401
    assert [answer.status for answer in ANSWERS[1:]] == [status_of(reason) for reason in [*DenyReason][1:]]
    for table, content_type in (
        (GRPC, b"application/grpc"),
        (WEB, b"application/grpc-web"),
        (WEB_TEXT, b"application/grpc-web-text"),
    ):
        assert {(answer.status, fields(answer)[b"content-type"]) for answer in table} == {(200, content_type)}
        statuses = [int(fields(answer)[b"grpc-status"]) for answer in table]
        assert min(statuses) > 0 and statuses == [int(fields(answer)[b"grpc-status"]) for answer in GRPC]


@pytest.mark.parametrize("answer", [*ANSWERS, *GRPC, REDIRECT, DOCUMENT], ids=lambda answer: str(answer.status))
def test_q15_heads_are_whole_lines_of_our_own(answer: Answer) -> None:
    """Status line and fields end with CRLF, the length is that of the body, and date, request id and Connection are left to the connection."""
    found = fields(answer)
    assert found[b"content-length"] == b"%d" % len(answer.body)
    assert found[b"server"] == b"lbjwt" and b"cache-control" in found
    assert not {b"connection", b"date", b"x-request-id", b"set-cookie"} & found.keys()


def test_the_challenge_names_realm_and_scopes() -> None:
    """RFC 6750 section 3: the realm in each challenge, the scopes only to who has a good token without them."""
    assert b'Bearer realm="the realm"\r\n' in ANSWERS[DenyReason.MISSING].head
    for reason in DenyReason:
        named = b'error="insufficient_scope", scope="orders:read orders:write"' in ANSWERS[reason].head
        assert named == (status_of(reason) == 403), reason
        assert (b"orders" in ANSWERS[reason].head) == named
    assert fields(ANSWERS[DenyReason.KEYS_UNAVAILABLE])[b"retry-after"] == b"5"


def test_the_answers_of_an_issuer_without_routes() -> None:
    """Text, standard statuses, and the scopes of the issuer."""
    answers = route_answers("the realm", RefusalStyle(scopes=("orders:read", "orders:write")))[0]
    assert [(answer.head, answer.body) for answer in answers[:16]] == [
        (answer.head, answer.body) for answer in ANSWERS[:16]
    ]
    assert len(answers) == len(DenyReason)


def test_browsers_are_sent_to_log_in() -> None:
    """Only where another token would help; a 302 that nobody keeps, to the template's host."""
    for reason in DenyReason:
        assert REDIRECTS[reason] == (TEMPLATE.encode() if status_of(reason) == 401 else None)
    assert set(route_answers("r")[2]) == {None}
    assert REDIRECT.status == 302 and REDIRECT.body == b""
    assert fields(REDIRECT)[b"location"] == b"https://login.example/?u=https%3A%2F%2Fa.example%2Fx%3Fy"
    assert fields(REDIRECT)[b"cache-control"] == b"no-store"


def test_metadata_documents_are_for_everybody() -> None:
    """JSON that any page may read and nobody keeps for long."""
    assert DOCUMENT.status == 200
    found = fields(DOCUMENT)
    assert found[b"content-type"] == b"application/json"
    assert found[b"access-control-allow-origin"] == b"*"
    assert found[b"cache-control"] == b"max-age=300"


def test_a_realm_that_would_end_the_line_is_refused() -> None:
    """A line break in the realm is an error of the configuration and never a header."""
    with pytest.raises(ConfigurationError, match="realm"):
        route_answers("a\r\nX-Evil: 1")
