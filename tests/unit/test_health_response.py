"""What a response says of the health of an endpoint, however it comes in pieces, and how much of it is read."""

import pytest

from lbjwt.upstream.health.response import MAX_BODY, MAX_HEAD, MAX_WIRE, ResponseCheck, judged
from lbjwt.upstream.health.settings import HealthCheck, Statuses

PLAIN = HealthCheck()
TEXT = HealthCheck(body="all good", statuses=Statuses.read(200))
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

CASES = {
    "status in the range": (PLAIN, OK + b"Content-Length: 0\r\n\r\n", ""),
    "redirect is not followed": (PLAIN, b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", ""),
    "another status": (PLAIN, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "status 503"),
    "not in a narrow set": (TEXT, b"HTTP/1.1 204 No Content\r\n\r\n", "status 204"),
    "after interim responses": (PLAIN, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"\r\n", ""),
    "a protocol nobody asked for": (PLAIN, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "status 101"),
    "HTTP/1.0": (PLAIN, b"HTTP/1.0 200 OK\r\n\r\n", ""),
    "text by length": (TEXT, OK + b"Content-Length: 10\r\n\r\n{all good}", ""),
    "text in chunks": (TEXT, CHUNKED + b"3\r\nall\r\n5\r\n good\r\n0\r\n\r\n", ""),
    "text until the end of the connection": (TEXT, OK + b"\r\nall good", ""),
    "text is not there": (TEXT, OK + b"Content-Length: 8\r\n\r\nall bad!", "the text of `body` is not in the response"),
    "text is not there, in chunks": (TEXT, CHUNKED + b"3\r\nall\r\n0\r\n\r\n", "the text of `body` is not in the response"),
    "no body": (TEXT, OK + b"Content-Length: 0\r\n\r\n", "the text of `body` is not in the response"),
    "text only after the end of the body": (TEXT, OK + b"Content-Length: 2\r\n\r\nokall good", "the text of `body` is not in the response"),
    "no HTTP": (PLAIN, b"SSH-2.0-OpenSSH_9.2\r\n", "the response is not valid HTTP/1.1"),
    "HTTP/2": (PLAIN, b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "the response is not valid HTTP/1.1"),
    "nothing": (PLAIN, b"", "the connection was closed without a whole response head"),
    "half a head": (PLAIN, OK + b"Content-Le", "the connection was closed without a whole response head"),
    "only interim": (PLAIN, b"HTTP/1.1 100 Continue\r\n\r\n", "the connection was closed without a whole response head"),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(("check", "sent", "failure"), CASES.values(), ids=CASES.keys())
def test_failure_by_response(check: HealthCheck, sent: bytes, failure: str, size: int) -> None:
    """Each response, in pieces of any size, then the end of the connection."""
    response = ResponseCheck(check)
    for at in range(0, len(sent), size):
        response.feed(sent[at : at + size])
    response.ended()
    assert response.failure == failure


def test_what_comes_after_the_decision_changes_nothing() -> None:
    """The head decides when no text is looked for, so an endless body is not read."""
    response = ResponseCheck(PLAIN)
    response.feed(CHUNKED)
    assert response.failure == ""
    response.feed(b"no chunk")
    assert response.failure == ""


def test_an_endless_body_is_read_up_to_its_bound() -> None:
    """The text counts within the first 64 KiB only, also when one piece holds more."""
    response = ResponseCheck(TEXT)
    response.feed(CHUNKED)
    fed = 0
    while response.failure is None:
        assert fed <= MAX_BODY
        response.feed(b"400\r\n" + b"x" * 0x400 + b"\r\n")
        fed += 0x400
    assert (response.failure, fed) == ("the text of `body` is not in the first 64 KiB of the response", MAX_BODY)
    late = ResponseCheck(TEXT)
    late.feed(OK + b"\r\n" + b"x" * (MAX_BODY - 4) + b"all good")
    assert late.failure == response.failure


@pytest.mark.parametrize(
    "piece", [b"X-Field: " + b"x" * 1000 + b"\r\n", b"\r\nHTTP/1.1 100 Continue\r\n"], ids=["one head", "interim heads"]
)
def test_an_endless_head_is_read_up_to_its_bound(piece: bytes) -> None:
    response = ResponseCheck(PLAIN)
    response.feed(OK if piece.startswith(b"X") else b"HTTP/1.1 100 Continue\r\n")
    fed = 0
    while response.failure is None:
        assert fed <= MAX_HEAD
        response.feed(piece)
        fed += len(piece)
    assert response.failure == "the head of the response is longer than 64 KiB"


@pytest.mark.parametrize("status", [200, 204, 399, 400, 503])
@pytest.mark.parametrize("text", [None, "fine"])
@pytest.mark.parametrize("body", [b"", b"all is fine", b"x" * 70_000, b"x" * 65_536 + b"fine"])
def test_a_whole_response_is_judged_as_one_that_comes_in_pieces(status: int, text: str | None, body: bytes) -> None:
    """Over HTTP/2 and over HTTP/1.1 the same response passes, or fails for the same reason."""
    check = HealthCheck(body=text)
    response = ResponseCheck(check)
    length = b"" if status == 204 else b"Content-Length: %d\r\n" % len(body)
    sent = b"" if status == 204 else body
    response.feed(b"HTTP/1.1 %d X\r\n%s\r\n" % (status, length) + sent)
    response.ended()
    assert judged(check, status, sent) == response.failure


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"1;", b"x" * 1000),
        (b"0\r\nX: ", b"x" * 1000),
        (b"0\r\n", b"X: y\r\n" * 100),
        (b"", b"1;" + b"x" * 997 + b"\r\nx\r\n"),
    ],
    ids=["chunk extension", "trailer", "trailers", "extension of every chunk"],
)
def test_what_surrounds_the_body_is_bounded(first: bytes, piece: bytes) -> None:
    """Endless chunk extensions and trailers hold no text, and are not read on until the timeout of the check."""
    response = ResponseCheck(TEXT)
    fed = CHUNKED + first
    response.feed(fed)
    count = len(fed)
    while response.failure is None:
        assert count <= MAX_WIRE
        response.feed(piece)
        count += len(piece)
    assert response.failure.startswith("the text of `body` is not in")
