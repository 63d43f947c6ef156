"""
Messages as data: malformed responses (each must become 502 or an abort), request heads that must be refused, requests that must pass, and bombs.

Names are stable: a failing case is named in the report. Refused requests follow THREATS tables H and 1b, responses table Q.
"""

from __future__ import annotations

from collections.abc import Iterator

Case = tuple[str, bytes]


def _malformed_responses() -> Iterator[Case]:
    ok = b"HTTP/1.1 200 OK\r\n"
    length = b"Content-Length: 2\r\n"
    lines = {
        "lower-case protocol": b"http/1.1 200 OK",
        "other protocol": b"ICY 200 OK",
        "HTTP/0.9": b"HTTP/0.9 200 OK",
        "HTTP/2.0": b"HTTP/2.0 200 OK",
        "HTTP/1.2": b"HTTP/1.2 200 OK",
        "HTTP/1.10": b"HTTP/1.10 200 OK",
        "HTTP/11": b"HTTP/11 200 OK",
        "no version": b"HTTP 200 OK",
        "HTTP/1.x": b"HTTP/1.x 200 OK",
        "status 99": b"HTTP/1.1 99 OK",
        "status 000": b"HTTP/1.1 000 OK",
        "status 600": b"HTTP/1.1 600 OK",
        "status 999": b"HTTP/1.1 999 OK",
        "status 2000": b"HTTP/1.1 2000 OK",
        "status 20": b"HTTP/1.1 20 OK",
        "status +20": b"HTTP/1.1 +20 OK",
        "status 2 0": b"HTTP/1.1 2 0 OK",
        "status abc": b"HTTP/1.1 abc OK",
        "status -200": b"HTTP/1.1 -200 OK",
        "status 0x1": b"HTTP/1.1 0x1 OK",
        "no status": b"HTTP/1.1",
        "space only": b"HTTP/1.1 ",
        "leading space": b" HTTP/1.1 200 OK",
        "tab separators": b"HTTP/1.1\t200\tOK",
        "two spaces": b"HTTP/1.1  200 OK",
        "NUL in reason": b"HTTP/1.1 200 O\0K",
        "CR in reason": b"HTTP/1.1 200 O\rK",
        "ESC in reason": b"HTTP/1.1 200 \x1bOK",
        "DEL in reason": b"HTTP/1.1 200 O\x7fK",
        "a request line": b"GET / HTTP/1.1",
        "HTML": b"<html>",
        "JSON": b'{"ok": true}',
        "TLS alert": b"\x15\x03\x01\x00\x02\x02\x28",
        "SSH banner": b"SSH-2.0-OpenSSH_9.2",
        "HTTP/2 preface": b"PRI * HTTP/2.0",
        "NULs": b"\0" * 16,
        "UTF-8 mark": b"\xef\xbb\xbfHTTP/1.1 200 OK",
    }
    for name, line in lines.items():
        yield f"status line: {name}", line + b"\r\n" + length + b"\r\nok"
    fields = {
        "space before colon": b"X-A : b",
        "tab before colon": b"X-A\t: b",
        "no colon": b"X-A b",
        "empty name": b": b",
        "space in name": b"X A: b",
        "NUL in name": b"X\0A: b",
        "NUL in value": b"X-A: a\0b",
        "CR in value": b"X-A: a\rb",
        "LF in value": b"X-A: a\nSet-Cookie: x=1",
        "VT in value": b"X-A: a\x0bb",
        "FF in value": b"X-A: a\x0cb",
        "ESC in value": b"X-A: \x1b[31m",
        "DEL in value": b"X-A: a\x7f",
        "8-bit name": b"X-\xc4: b",
        "brackets in name": b"X[A]: b",
        "obs-fold": b"X-A: a\r\n b",
        "obs-fold with tab": b"X-A: a\r\n\tb",
        "leading space": b" X-A: b",
        "at sign in name": b"X@A: b",
        "quote in name": b'X"A: b',
        "slash in name": b"X/A: b",
        "comma in name": b"X,A: b",
        "semicolon in name": b"X;A: b",
        "equals in name": b"X=A: b",
        "parens in name": b"X(A): b",
        "braces in name": b"X{A}: b",
        "backslash in name": b"X\\A: b",
        "question mark in name": b"X?A: b",
        "less-than in name": b"X<A: b",
        "DEL in name": b"X\x7fA: b",
    }
    for name, line in fields.items():
        yield f"field: {name}", ok + length + line + b"\r\n\r\nok"
        yield f"first field: {name}", ok + line + b"\r\n" + length + b"\r\nok"
    lengths = [
        b"+2",
        b"-2",
        b"0x2",
        b"2a",
        b"a",
        b"",
        b" ",
        b"2 2",
        b"2,2",
        b"2, 2",
        b"2, 3",
        b"2;2",
        b"2.0",
        b"1e1",
        b"\xb2",
        b"18446744073709551616",
        b"9" * 40,
        b"2\t2",
        b"_2",
        b"0b10",
        b"'2'",
        b'"2"',
        b"2\x0b",
        b"\x0b2",
        b"NaN",
        b"2-",
        b"--2",
        b",2",
        b"2,",
        b"9223372036854775808",
    ]
    for value in lengths:
        yield f"Content-Length: {value!r}", ok + b"Content-Length: " + value + b"\r\n\r\nok"
    yield "two lengths that differ", ok + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"
    yield "two lengths in two cases", ok + b"Content-Length: 2\r\ncontent-length: 5\r\n\r\nok"
    codings = [
        b"xchunked",
        b"chunkedx",
        b"chunked, identity",
        b"chunked, chunked",
        b"chunked;q=1",
        b"\x0bchunked",
        b"gzip",
        b"identity",
        b",chunked",
        b"chunked,",
        b"cow",
        b"",
        b"gzip, chunked",
        b"identity, chunked",
        b'"chunked"',
        b"chu nked",
        b"chunk",
        b"chunked\x00",
        b"deflate, gzip",
        b"chunked, gzip",
        b"c\xc4unked",
        b"chunked chunked",
    ]
    for value in codings:
        yield f"Transfer-Encoding: {value!r}", ok + b"Transfer-Encoding: " + value + b"\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    yield "length and chunked", ok + length + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    yield "chunked and length", ok + b"Transfer-Encoding: chunked\r\n" + length + b"\r\n2\r\nok\r\n0\r\n\r\n"
    yield "two codings", ok + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    yield "coding in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    chunked = ok + b"Transfer-Encoding: chunked\r\n\r\n"
    bodies = {
        "0x size": b"0x2\r\nok\r\n0\r\n\r\n",
        "+ size": b"+2\r\nok\r\n0\r\n\r\n",
        "- size": b"-2\r\nok\r\n0\r\n\r\n",
        "empty size": b"\r\nok\r\n0\r\n\r\n",
        "space before size": b" 2\r\nok\r\n0\r\n\r\n",
        "letter size": b"g\r\nok\r\n0\r\n\r\n",
        "giant size": b"f" * 17 + b"\r\nok\r\n0\r\n\r\n",
        "64-bit size": b"ffffffffffffffff\r\nok",
        "no CRLF after data": b"2\r\nok0\r\n\r\n",
        "data too long": b"2\r\nokk\r\n0\r\n\r\n",
        "data too short": b"3\r\nok\r\n0\r\n\r\n",
        "bare LF after size": b"2\nok\r\n0\r\n\r\n",
        "bare LF after data": b"2\r\nok\n0\r\n\r\n",
        "bare CR after size": b"2\rok\r\n0\r\n\r\n",
        "NUL in size": b"2\0\r\nok\r\n0\r\n\r\n",
        "comma in size": b"2,2\r\nok\r\n0\r\n\r\n",
        "underscore in size": b"2_0\r\nok\r\n0\r\n\r\n",
        "NUL in extension": b"2;a=\0\r\nok\r\n0\r\n\r\n",
        "LF in extension": b"2;a\nb\r\nok\r\n0\r\n\r\n",
        "CR in extension": b"2;a\rb\r\nok\r\n0\r\n\r\n",
        "64 KiB extension": b"2;" + b"e" * 65536 + b"\r\nok\r\n0\r\n\r\n",
        "no last chunk": b"2\r\nok\r\n",
        "nothing": b"",
        "half a last chunk": b"2\r\nok\r\n0\r\n",
        "8-bit size": b"\xb2\r\nok\r\n0\r\n\r\n",
        "float size": b"2.0\r\nok\r\n0\r\n\r\n",
    }
    for name, body in bodies.items():
        yield f"chunk: {name}", chunked + body
    endings = {
        "bare LF": b"\n",
        "bare CR": b"\r",
        "CR CR LF": b"\r\r\n",
        "LF CR": b"\n\r",
        "FF": b"\x0c",
        "VT": b"\x0b",
    }
    for name, ending in endings.items():
        yield f"line end: {name} after status", b"HTTP/1.1 200 OK" + ending + length + b"\r\nok"
        yield f"line end: {name} after field", ok + b"X-A: b" + ending + length + b"\r\nok"
        yield f"line end: {name} before body", ok + length[:-2] + ending + ending + b"ok"
    yield "65 KiB field", ok + b"X-A: " + b"a" * 70_000 + b"\r\n" + length + b"\r\nok"
    yield "201 fields", ok + b"".join(b"X-%d: a\r\n" % n for n in range(205)) + length + b"\r\nok"
    yield "1 MiB status line", b"HTTP/1.1 200 " + b"O" * (1 << 20) + b"\r\n" + length + b"\r\nok"
    for size in (1, 5, 8, 9, 12, 13, 15, 16, 17, 20, 30, 36):
        yield f"head cut at {size}", (ok + length + b"\r\nok")[:size]
    for kept in (0, 1):
        yield f"body cut at {kept}", (ok + length + b"\r\nok")[: -2 + kept]
    for code in (100, 102, 103, 199):
        yield f"interim {code} only", b"HTTP/1.1 %d Interim\r\n\r\n" % code
        yield f"interim {code} then garbage", b"HTTP/1.1 %d Interim\r\n\r\ngarbage\r\n\r\n" % code
    yield "101 unasked", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    yield "101 without Upgrade", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    yield "9 interims", b"HTTP/1.1 102 Processing\r\n\r\n" * 9 + ok + length + b"\r\nok"


MALFORMED_RESPONSES: list[Case] = list(_malformed_responses())


def _head(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([line, *fields, b"", b""]) + body


HOST = b"Host: example.test"
REFUSED_REQUESTS: list[Case] = [
    (
        "length and chunked",
        _head(b"POST /r/x HTTP/1.1", HOST, b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    ),
    (
        "chunked and length",
        _head(b"POST /r/x HTTP/1.1", HOST, b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
    ),
    ("two equal lengths", _head(b"POST /r/x HTTP/1.1", HOST, b"Content-Length: 2", b"Content-Length: 2", body=b"ab")),
    ("two lengths", _head(b"POST /r/x HTTP/1.1", HOST, b"Content-Length: 2", b"Content-Length: 3", body=b"ab")),
    ("length list", _head(b"POST /r/x HTTP/1.1", HOST, b"Content-Length: 2, 2", body=b"ab")),
    *(
        (f"length {value!r}", _head(b"POST /r/x HTTP/1.1", HOST, b"Content-Length: " + value, body=b"ab"))
        for value in (b"+2", b"-2", b"0x2", b"", b"2a", b"2 2", b"18446744073709551618", b"9" * 30, b"2.0", b"\xb2")
    ),
    *(
        (f"coding {value!r}", _head(b"POST /r/x HTTP/1.1", HOST, b"Transfer-Encoding: " + value, body=b"0\r\n\r\n"))
        for value in (
            b"xchunked",
            b"chunked, identity",
            b"identity, chunked",
            b"gzip, chunked",
            b",chunked",
            b"chunked, chunked",
            b"chunked;q=1",
            b"\x0bchunked",
            b"gzip",
            b"identity",
            b'"chunked"',
            b"",
        )
    ),
    (
        "two codings",
        _head(
            b"POST /r/x HTTP/1.1", HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"
        ),
    ),
    ("coding in HTTP/1.0", _head(b"POST /r/x HTTP/1.0", HOST, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("no Host", _head(b"GET /r/x HTTP/1.1")),
    ("two Hosts", _head(b"GET /r/x HTTP/1.1", HOST, b"Host: other.test")),
    ("odd Host", _head(b"GET /r/x HTTP/1.1", b"Host: a b")),
    ("Host with slash", _head(b"GET /r/x HTTP/1.1", b"Host: example.test/x")),
    ("Host with at sign", _head(b"GET /r/x HTTP/1.1", b"Host: user@example.test")),
    ("absolute form that differs from Host", _head(b"GET http://other.test/r/x HTTP/1.1", HOST)),
    ("HTTP/0.9", _head(b"GET /r/x HTTP/0.9", HOST)),
    ("HTTP/2.0", _head(b"GET /r/x HTTP/2.0", HOST)),
    ("HTTP/1.2", _head(b"GET /r/x HTTP/1.2", HOST)),
    ("RTSP", _head(b"GET /r/x RTSP/1.0", HOST)),
    ("ICE", _head(b"SOURCE /r/x ICE/1.0", HOST)),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("two spaces", _head(b"GET  /r/x HTTP/1.1", HOST)),
    ("trailing space", _head(b"GET /r/x HTTP/1.1 ", HOST)),
    ("tab", _head(b"GET\t/r/x HTTP/1.1", HOST)),
    ("fragment", _head(b"GET /r/x#y HTTP/1.1", HOST)),
    ("star with GET", _head(b"GET * HTTP/1.1", HOST)),
    ("authority form", _head(b"GET example.test:80 HTTP/1.1", HOST)),
    ("no slash", _head(b"GET r/x HTTP/1.1", HOST)),
    ("8-bit target", _head(b"GET /r/\xc4 HTTP/1.1", HOST)),
    ("NUL target", _head(b"GET /r/\0 HTTP/1.1", HOST)),
    ("unknown method", _head(b"FOO /r/x HTTP/1.1", HOST)),
    ("lower-case method", _head(b"get /r/x HTTP/1.1", HOST)),
    ("CONNECT", _head(b"CONNECT example.test:443 HTTP/1.1", b"Host: example.test:443")),
    ("TRACE", _head(b"TRACE /r/x HTTP/1.1", HOST)),
    ("bare LF", b"GET /r/x HTTP/1.1\nHost: example.test\n\n"),
    ("bare LF in fields", b"GET /r/x HTTP/1.1\r\nHost: example.test\nX-A: b\r\n\r\n"),
    ("bare CR", b"GET /r/x HTTP/1.1\r\nHost: example.test\rX-A: b\r\n\r\n"),
    ("obs-fold", _head(b"GET /r/x HTTP/1.1", HOST, b"X-A: a", b" b")),
    ("folded Authorization", _head(b"GET /r/x HTTP/1.1", HOST, b"X-B: c", b"\tAuthorization: Bearer x")),
    ("space before colon", _head(b"GET /r/x HTTP/1.1", HOST, b"X-A : b")),
    ("empty name", _head(b"GET /r/x HTTP/1.1", HOST, b": b")),
    ("no colon", _head(b"GET /r/x HTTP/1.1", HOST, b"X-A")),
    ("NUL value", _head(b"GET /r/x HTTP/1.1", HOST, b"X-A: a\0b")),
    ("leading space field", _head(b"GET /r/x HTTP/1.1", b" Host: example.test")),
    ("other Expect", _head(b"POST /r/x HTTP/1.1", HOST, b"Expect: miracles", b"Content-Length: 0")),
    *(
        (f"chunk {name}", _head(b"POST /r/x HTTP/1.1", HOST, b"Transfer-Encoding: chunked", body=body))
        for name, body in (
            ("0x", b"0x2\r\nok\r\n0\r\n\r\n"),
            ("+", b"+2\r\nok\r\n0\r\n\r\n"),
            ("space", b" 2\r\nok\r\n0\r\n\r\n"),
            ("no CRLF", b"2\r\nokk\r\n0\r\n\r\n"),
            ("bare LF", b"2\nok\r\n0\r\n\r\n"),
            ("giant", b"f" * 20 + b"\r\n"),
            ("letter", b"g\r\n"),
            ("empty", b"\r\n"),
            ("extension LF", b"2;a\nb\r\nok\r\n0\r\n\r\n"),
            ("64 KiB extension", b"2;" + b"e" * 65536 + b"\r\nok\r\n0\r\n\r\n"),
        )
    ),
]
ACCEPTED_REQUESTS: list[Case] = [
    ("GET", _head(b"GET /r/x HTTP/1.1", HOST)),
    ("HEAD", _head(b"HEAD /r/x HTTP/1.1", HOST)),
    ("query", _head(b"GET /r/x?a=1&b=%20 HTTP/1.1", HOST)),
    ("Host with port", _head(b"GET /r/x HTTP/1.1", b"Host: example.test:8080")),
    ("absolute form", _head(b"GET http://example.test/r/x HTTP/1.1", HOST)),
    ("OPTIONS star", _head(b"OPTIONS * HTTP/1.1", HOST)),
    ("length", _head(b"POST /r/x HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello")),
    ("length 0", _head(b"POST /r/x HTTP/1.1", HOST, b"Content-Length: 0")),
    (
        "chunked",
        _head(b"POST /r/x HTTP/1.1", HOST, b"Transfer-Encoding: chunked", body=b"3\r\nhel\r\n2;e=1\r\nlo\r\n0\r\n\r\n"),
    ),
    (
        "chunked in capitals",
        _head(b"POST /r/x HTTP/1.1", HOST, b"Transfer-Encoding: CHUNKED", body=b"5\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "trailer",
        _head(b"POST /r/x HTTP/1.1", HOST, b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    ),
    ("spaces around values", _head(b"GET /r/x HTTP/1.1", b"Host:example.test", b"X-A: \t b \t ")),
    ("empty value", _head(b"GET /r/x HTTP/1.1", HOST, b"X-A:")),
    ("8-bit value", _head(b"GET /r/x HTTP/1.1", HOST, b"X-A: caf\xc3\xa9")),
    ("PUT", _head(b"PUT /r/x HTTP/1.1", HOST, b"Content-Length: 1", body=b"x")),
    ("DELETE", _head(b"DELETE /r/x HTTP/1.1", HOST)),
    ("PATCH", _head(b"PATCH /r/x HTTP/1.1", HOST, b"Content-Length: 1", body=b"x")),
    ("one empty line before", b"\r\n" + _head(b"GET /r/x HTTP/1.1", HOST)),
]
