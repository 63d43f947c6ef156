"""
Response heads and what each must be read as.

A case is (name, request, bytes, reading): the request is the method, with "+upgrade" when it asked for a websocket; the
reading is (body, content_length, keep_alive) or the code of the problem.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Request = Literal["GET", "HEAD", "POST", "GET+upgrade"]
Reading = tuple[str, int, bool] | str


class Case(NamedTuple):
    name: str
    request: Request
    wire: bytes
    reading: Reading


def head(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return start + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


SWITCH: Final = head(b"Connection: Upgrade", b"Upgrade: websocket", start=b"HTTP/1.1 101 Switching Protocols")

CASES: Final = [
    Case("6.3 length", "GET", head(b"Content-Length: 5"), ("LENGTH", 5, True)),
    Case("6.3 length zero", "GET", head(b"Content-Length: 0"), ("LENGTH", 0, True)),
    Case("6.3 length of a POST", "POST", head(b"Content-Length: 5"), ("LENGTH", 5, True)),
    Case("6.3 largest length", "GET", head(b"Content-Length: 9223372036854775807"), ("LENGTH", 2**63 - 1, True)),
    Case("6.3 length past the filler", "GET", head(b"Content-Length: 65537"), ("LENGTH", 65537, True)),
    Case("6.3 chunked", "GET", head(b"Transfer-Encoding: chunked"), ("CHUNKED", -1, True)),
    Case("6.3 chunked in any case", "GET", head(b"transfer-encoding: CHUNKED"), ("CHUNKED", -1, True)),
    Case("6.3 neither: until close (p19)", "GET", head(), ("UNTIL_CLOSE", -1, False)),
    Case("6.3 HTTP/1.0 until close", "GET", head(start=b"HTTP/1.0 200 OK"), ("UNTIL_CLOSE", -1, False)),
    Case("6.3 HTTP/1.0 length", "GET", head(b"Content-Length: 5", start=b"HTTP/1.0 200 OK"), ("LENGTH", 5, False)),
    Case(
        "9.3 HTTP/1.0 keep-alive",
        "GET",
        head(b"Connection: Keep-Alive", b"Content-Length: 5", start=b"HTTP/1.0 200 OK"),
        ("LENGTH", 5, True),
    ),
    Case("9.3 keep-alive until close", "GET", head(b"Connection: keep-alive"), ("UNTIL_CLOSE", -1, False)),
    Case("9.3 close", "GET", head(b"Connection: close", b"Content-Length: 5"), ("LENGTH", 5, False)),
    Case("9.3 close among others", "GET", head(b"Connection: X-A , Close", b"Content-Length: 5"), ("LENGTH", 5, False)),
    Case(
        "9.3 close and keep-alive",
        "GET",
        head(b"Connection: close", b"Connection: keep-alive", b"Content-Length: 5"),
        ("LENGTH", 5, False),
    ),
    Case("6.3 HEAD with length (p18)", "HEAD", head(b"Content-Length: 5"), ("NO_BODY", 5, True)),
    Case("6.3 HEAD with a large length", "HEAD", head(b"Content-Length: 99999999"), ("NO_BODY", 99999999, True)),
    Case("6.3 HEAD with chunked", "HEAD", head(b"Transfer-Encoding: chunked"), ("NO_BODY", -1, True)),
    Case("6.3 HEAD with neither", "HEAD", head(), ("NO_BODY", -1, True)),
    Case("6.3 HEAD with close", "HEAD", head(b"Connection: close", b"Content-Length: 5"), ("NO_BODY", 5, False)),
    Case("6.3 304", "GET", head(b"ETag: x", start=b"HTTP/1.1 304 Not Modified"), ("NO_BODY", -1, True)),
    Case(
        "6.3 304 with length",
        "GET",
        head(b"Content-Length: 5", start=b"HTTP/1.1 304 Not Modified"),
        ("NO_BODY", 5, True),
    ),
    Case("6.3 204", "GET", head(start=b"HTTP/1.1 204 No Content"), ("NO_BODY", -1, True)),
    Case(
        "8.6 204 with length zero",
        "GET",
        head(b"Content-Length: 0", start=b"HTTP/1.1 204 No Content"),
        ("NO_BODY", -1, True),
    ),
    Case(
        "8.6 204 with length",
        "GET",
        head(b"Content-Length: 5", start=b"HTTP/1.1 204 No Content"),
        ("NO_BODY", -1, False),
    ),
    Case(
        "6.1 204 with chunked",
        "GET",
        head(b"Transfer-Encoding: chunked", start=b"HTTP/1.1 204 No Content"),
        ("NO_BODY", -1, False),
    ),
    Case("15.2 100", "POST", head(start=b"HTTP/1.1 100 Continue"), ("NO_BODY", -1, True)),
    Case("15.2 103", "GET", head(b"Link: </a>; rel=preload", start=b"HTTP/1.1 103 Early Hints"), ("NO_BODY", -1, True)),
    Case(
        "8.6 100 with length",
        "POST",
        head(b"Content-Length: 5", start=b"HTTP/1.1 100 Continue"),
        ("NO_BODY", -1, False),
    ),
    Case("15.2 unknown interim", "GET", head(start=b"HTTP/1.1 199 x"), ("NO_BODY", -1, True)),
    Case("15 unknown final", "GET", head(b"Content-Length: 1", start=b"HTTP/1.1 599 x"), ("LENGTH", 1, True)),
    Case("15 205", "POST", head(b"Content-Length: 0", start=b"HTTP/1.1 205 Reset Content"), ("LENGTH", 0, True)),
    Case("p21 101 asked for", "GET+upgrade", SWITCH, ("NO_BODY", -1, False)),
    Case(
        "upgrade refused",
        "GET+upgrade",
        head(b"Content-Length: 2", start=b"HTTP/1.1 403 Forbidden"),
        ("LENGTH", 2, True),
    ),
    Case("4 no reason", "GET", head(b"Content-Length: 1", start=b"HTTP/1.1 200 "), ("LENGTH", 1, True)),
    Case("4 no reason and no space", "GET", head(b"Content-Length: 1", start=b"HTTP/1.1 200"), ("LENGTH", 1, True)),
    Case(
        "4 reason with obs-text and tab",
        "GET",
        head(b"Content-Length: 1", start=b"HTTP/1.1 200 \xe9\tx"),
        ("LENGTH", 1, True),
    ),
    Case("5 obs-text in a value", "GET", head(b"A: \xe9", b"Content-Length: 1"), ("LENGTH", 1, True)),
    Case("5 token characters in a name", "GET", head(b"A_b.c!: d", b"Content-Length: 1"), ("LENGTH", 1, True)),
    Case(
        "5 Set-Cookie twice",
        "GET",
        head(b"Set-Cookie: a=b", b"Set-Cookie: c=d", b"Content-Length: 1"),
        ("LENGTH", 1, True),
    ),
    Case(
        "7.6.1 nominated field", "GET", head(b"Connection: X-A", b"X-A: 1", b"Content-Length: 1"), ("LENGTH", 1, True)
    ),
    Case(
        "7.6.1 nominates the length",
        "GET",
        head(b"Connection: content-length", b"Content-Length: 1"),
        ("LENGTH", 1, True),
    ),
    Case(
        "7.8 Upgrade offered",
        "GET",
        head(b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 1"),
        ("LENGTH", 1, True),
    ),
    Case("Q13 as many fields as allowed", "GET", head(*[b"A: b"] * 199, b"Content-Length: 1"), ("LENGTH", 1, True)),
    Case("Q3 101 unasked", "GET", SWITCH, "response_unasked_upgrade"),
    Case("Q3 101 without Upgrade", "GET+upgrade", head(start=b"HTTP/1.1 101 x"), "response_bad_upgrade"),
    Case(
        "Q3 101 to another protocol",
        "GET+upgrade",
        head(b"Connection: upgrade", b"Upgrade: h2c", start=b"HTTP/1.1 101 x"),
        "response_bad_upgrade",
    ),
    Case(
        "Q3 101 not named in Connection",
        "GET+upgrade",
        head(b"Upgrade: websocket", start=b"HTTP/1.1 101 x"),
        "response_bad_upgrade",
    ),
    Case("Q3 101 by HTTP/1.0", "GET+upgrade", SWITCH.replace(b"1.1", b"1.0"), "response_bad_upgrade"),
    Case(
        "Q6 length twice, equal", "GET", head(b"Content-Length: 5", b"Content-Length: 5"), "response_duplicate_length"
    ),
    Case(
        "Q6 length twice, different",
        "GET",
        head(b"Content-Length: 5", b"Content-Length: 6"),
        "response_duplicate_length",
    ),
    Case("Q6 length list", "GET", head(b"Content-Length: 5, 5"), "response_content_length"),
    Case("Q6 length empty", "GET", head(b"Content-Length:"), "response_content_length"),
    Case("Q6 length signed", "GET", head(b"Content-Length: +5"), "response_content_length"),
    Case("Q6 length negative", "HEAD", head(b"Content-Length: -5"), "response_content_length"),
    Case("Q6 length of 2^63", "GET", head(b"Content-Length: 9223372036854775808"), "response_content_length"),
    Case(
        "Q6 length and chunked",
        "GET",
        head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        "response_length_and_encoding",
    ),
    Case(
        "Q6 chunked and length",
        "HEAD",
        head(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        "response_length_and_encoding",
    ),
    Case("p20 gzip alone", "GET", head(b"Transfer-Encoding: gzip"), "response_transfer_encoding"),
    Case("p20 gzip and chunked", "GET", head(b"Transfer-Encoding: gzip, chunked"), "response_transfer_encoding"),
    Case("p20 identity", "GET", head(b"Transfer-Encoding: identity"), "response_transfer_encoding"),
    Case(
        "p20 chunked twice",
        "GET",
        head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        "response_transfer_encoding",
    ),
    Case(
        "H4 chunked by HTTP/1.0",
        "GET",
        head(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK"),
        "response_transfer_encoding",
    ),
    Case("p20 HTTP/2.0", "GET", head(start=b"HTTP/2.0 200 OK"), "response_status_line"),
    Case("p20 status 999", "GET", head(start=b"HTTP/1.1 999 x"), "response_status"),
    Case("p20 status 600", "GET", head(start=b"HTTP/1.1 600 x"), "response_status"),
    Case("4 status 099", "GET", head(start=b"HTTP/1.1 099 x"), "response_status"),
    Case("4 status of two digits", "GET", head(start=b"HTTP/1.1 20 OK"), "response_status_line"),
    Case("4 status of four digits", "GET", head(start=b"HTTP/1.1 2000 OK"), "response_status_line"),
    Case("4 status of letters", "GET", head(start=b"HTTP/1.1 2x0 OK"), "response_status_line"),
    Case("4 two spaces", "GET", head(start=b"HTTP/1.1  200 OK"), "response_status_line"),
    Case("4 HTTP/1.2", "GET", head(start=b"HTTP/1.2 200 OK"), "response_status_line"),
    Case("4 lower-case protocol", "GET", head(start=b"hTTP/1.1 200 OK"), "response_status_line"),
    Case("4 ICY", "GET", head(start=b"ICY 200 OK"), "response_status_line"),
    Case("4 empty line before", "GET", b"\r\n" + head(), "response_status_line"),
    Case("4 body without head", "GET", b"<html>", "response_status_line"),
    Case("Q7 bare LF", "GET", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "response_bare_lf"),
    Case("Q7 bare LF in a value", "GET", head(b"A: b\nSet-Cookie: c"), "response_bare_lf"),
    Case("Q7 bare CR in a value", "GET", head(b"A: b\rSet-Cookie: c"), "response_bare_cr"),
    Case("Q7 bare CR in the reason", "GET", head(start=b"HTTP/1.1 200 O\rK"), "response_bare_cr"),
    Case("Q7 NUL in a value", "GET", head(b"A: \x00"), "response_control_character"),
    Case("Q7 escape in the reason", "GET", head(start=b"HTTP/1.1 200 \x1b"), "response_control_character"),
    Case("Q7 folded value", "GET", head(b"A: b", b" c"), "response_field_line"),
    Case("Q7 space before the colon", "GET", head(b"Content-Length : 5"), "response_field_line"),
    Case("Q7 no colon", "GET", head(b"Abc"), "response_field_line"),
    Case("Q7 empty name", "GET", head(b": b"), "response_field_line"),
    Case("Q7 obs-text in a name", "GET", head(b"\xe9: b"), "response_field_line"),
    Case("7.6.1 Connection with a parameter", "GET", head(b"Connection: close;a"), "response_connection_option"),
    Case("Q13 too many fields", "GET", head(*[b"A: b"] * 201), "response_too_many_fields"),
    Case("Q13 head too large", "GET", head(b"A: " + b"b" * 65536), "response_head_too_large"),
    Case("Q13 head without end", "GET", head()[:-2] + b"A: b\r\n" * 12000, "response_head_too_large"),
    Case("Q13 status line without end", "GET", b"HTTP/1.1 200 " + b"a" * 66000, "response_line_too_long"),
]
