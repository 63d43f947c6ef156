"""Which form of answer a refused client understands."""

import pytest

from lbjwt.auth._callers import Caller, caller_of, is_browser
from lbjwt.http1._request import Parse, RequestHead, RequestPolicy

POLICY = RequestPolicy()


def head_of(*lines: bytes, method: bytes = b"GET") -> RequestHead:
    head = RequestHead()
    wire = b"%b / HTTP/1.1\r\nHost: a.example\r\n%b\r\n" % (method, b"".join(line + b"\r\n" for line in lines))
    assert head.parse_bytes(wire, POLICY) == Parse.COMPLETE, head.problem
    return head


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"Content-Type: application/grpc",), Caller.GRPC),
        ((b"content-TYPE:Application/GRPC+proto",), Caller.GRPC),
        ((b"Content-Type: application/grpc;charset=utf-8",), Caller.GRPC),
        ((b"Content-Type: application/grpc ; x=y",), Caller.GRPC),
        ((b"Content-Type: application/grpc-web",), Caller.GRPC_WEB),
        ((b"Content-Type: application/grpc-web+proto",), Caller.GRPC_WEB),
        ((b"Content-Type: application/grpc-WEB;x=y",), Caller.GRPC_WEB),
        ((b"Content-Type: application/grpc-web-text",), Caller.GRPC_WEB_TEXT),
        ((b"Content-Type: application/grpc-web-text+proto",), Caller.GRPC_WEB_TEXT),
        ((b"Content-Type: application/grpc-website",), Caller.GRPC),
        ((b"Content-Type: application/grpc-web-texts",), Caller.GRPC),
        ((b"X-A: b", b"Content-Type: application/grpc+json", b"Content-Type: text/html"), Caller.GRPC),
        ((b"Content-Type: text/html", b"Content-Type: application/grpc"), Caller.NO_GRPC),
        ((b"Content-Type: application/grpcx",), Caller.NO_GRPC),
        ((b"Content-Type: application/grp",), Caller.NO_GRPC),
        ((b"Content-Type: text/plain; application/grpc",), Caller.NO_GRPC),
        ((b"Content-Type:",), Caller.NO_GRPC),
        ((b"X-Content-Type: application/grpc",), Caller.NO_GRPC),
        ((), Caller.NO_GRPC),
    ],
)
def test_grpc_callers_are_known_by_their_content_type(lines: tuple[bytes, ...], expected: Caller):
    """`application/grpc`, bare or with a suffix, in any case; of two fields the first counts."""
    assert caller_of(head_of(*lines, method=b"POST")) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"Accept: text/html",), True),
        ((b"accept: application/xhtml+xml, TEXT/html;q=0.9,*/*",), True),
        ((b"Accept: application/json", b"Accept: text/html ;level=1"), True),
        ((b"Accept: */*",), False),
        ((b"Accept: text/*",), False),
        ((b"Accept: text/html2, application/json; x=text/html",), False),
        ((b"Accept: application/json",), False),
        ((b"Accept:",), False),
        ((b"X-Accept: text/html",), False),
        ((), False),
        ((b"Accept: text/html", b"Authorization: Bearer x"), False),
        ((b"Accept: text/html", b"Authorization: a", b"Authorization: b"), False),
    ],
)
def test_browsers_are_known_by_what_they_accept(lines: tuple[bytes, ...], expected: bool):
    """text/html among what is accepted, and no Authorization: programs that bring one want to know, not to be sent away."""
    for method in (b"GET", b"HEAD"):
        assert is_browser(head_of(*lines, method=method)) is expected
    for method in (b"POST", b"OPTIONS", b"PROPFIND"):
        assert is_browser(head_of(*lines, method=method)) is False
