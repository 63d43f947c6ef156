"""What gRPC callers get in place of HTTP statuses: one for every reason of ours, by the mapping of gRPC where it has one."""

import re
from pathlib import Path

import pytest

from lbjwt._error_reason import ErrorReason, error_status
from lbjwt.auth._callers import Caller
from lbjwt.auth.grpc import OF_TOKENS, STATUS, grpc_error_answer, grpc_error_trailers

# https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md, for what a client makes of a status without grpc-status.
OF_GRPC = {400: 13, 401: 16, 403: 7, 404: 12, 502: 14, 503: 14}


def test_every_status_of_ours_has_one_for_grpc() -> None:
    statuses = {error_status(reason) for reason in ErrorReason} - {0}
    assert statuses <= STATUS.keys() and {400, 401, 403, 429, 503} <= OF_TOKENS.keys()
    assert {status: STATUS[status] for status in OF_GRPC} == OF_GRPC
    assert {status: value for status, value in OF_TOKENS.items() if STATUS[status] != value} == {400: 3}


@pytest.mark.parametrize(
    ("status", "expected"), [(503, 14), (504, 4), (502, 14), (413, 8), (431, 8), (404, 12), (400, 13), (408, 4)]
)
def test_a_failure_is_told_in_the_head_or_in_trailers(status: int, expected: int) -> None:
    """The same status and message either way; a detail is added where the route says so."""
    answer = grpc_error_answer(status, "some_reason", Caller.GRPC)
    assert (answer.status, answer.body) == (200, b"")
    assert b"\r\ngrpc-status: %d\r\n" % expected in answer.head and b": some_reason\r\n" in answer.head
    assert b"\r\nContent-Type: application/grpc\r\n" in answer.head
    trailers = dict(grpc_error_trailers(status, "some_reason"))
    assert trailers[b"grpc-status"] == b"%d" % expected
    assert b"\r\ngrpc-message: %b\r\n" % trailers[b"grpc-message"] in answer.head
    assert b"some_reason" not in grpc_error_answer(status, "", Caller.GRPC).head


def test_the_manual_has_the_table() -> None:
    """Each status of HTTP stands in the row of its status of gRPC."""
    page = Path("docs/grpc.md").read_text()
    found: dict[int, int] = {}
    for told, number in re.findall(r"^\| ([\d, ]+) \| (\d+) `[A-Z_]+` \|", page, re.MULTILINE):
        found |= {int(status): int(number) for status in told.split(",")}
    assert found == STATUS and "| 400, of a token | 3 `INVALID_ARGUMENT` |" in page


def test_a_response_without_a_status_of_ours_ends_as_unknown() -> None:
    assert grpc_error_trailers(0, "") == [(b"grpc-status", b"2"), (b"grpc-message", b"ended")]
