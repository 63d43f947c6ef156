"""
Request heads and the verdict each must get under the default policy.

A case is (name, tier, bytes, verdict): the name starts with the entry of the threat register or the RFC section it is about;
the tier is one of compliant (has to pass), acceptable (legal or harmless, and what we do with it is stated), ambiguous and
severe (have to be refused); the verdict is OK or (status, problem).
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Tier = Literal["compliant", "acceptable", "ambiguous", "severe"]
Verdict = tuple[int, str] | None
OK: Final[Verdict] = None


class Case(NamedTuple):
    name: str
    tier: Tier
    wire: bytes
    verdict: Verdict


def get(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: example.com\r\n") -> bytes:
    """A request head with a valid Host in front of `lines`."""
    return start + b"\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(*lines: bytes, version: bytes = b"1.1") -> bytes:
    return get(*lines, start=b"POST /form HTTP/" + version)


WEBSOCKET: Final = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)

H2C: Final = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAAAAIAAAAA")
"""What the HTTP client of Java 11 and later sends with its first request to a server."""

COMPLIANT: Final = {
    "9112-2.1 the smallest request": get(),
    "9112-2.2 one empty line before": b"\r\n" + get(),
    "9112-2.2 two empty lines before": b"\r\n\r\n" + get(),
    "9112-3 target with a query": get(start=b"GET /a/b?c=d&e=%20 HTTP/1.1"),
    "9112-3 target with every legal character": get(start=b"GET /-._~!$&'()*+,;=:@/%41?/?:@ HTTP/1.1"),
    "9112-3 longest request line": get(start=b"GET /" + b"a" * (8192 - 14) + b" HTTP/1.1"),
    "9112-3.2 host with port": get(host=b"Host: example.com:8080\r\n"),
    "9112-3.2 host is an IPv4 address": get(host=b"Host: 192.0.2.1\r\n"),
    "9112-3.2 host is an IPv6 address": get(host=b"Host: [2001:db8::1]:8443\r\n"),
    "9112-3.2 host name in any case": get(host=b"hOsT: EXAMPLE.com\r\n"),
    "9112-3.2.2 absolute-form": get(start=b"GET http://example.com/a HTTP/1.1"),
    "9112-3.2.2 absolute-form without path": get(start=b"GET http://example.com HTTP/1.1"),
    "9112-3.2.2 absolute-form with query only": get(start=b"GET http://example.com?a=b HTTP/1.1"),
    "9112-3.2.2 absolute-form, scheme and host in capitals": get(start=b"GET HTTP://EXAMPLE.COM/ HTTP/1.1"),
    "9110-4.2.3 absolute-form with the default port": get(start=b"GET http://example.com:80/a HTTP/1.1"),
    "9110-4.2.3 absolute-form with an empty port": get(start=b"GET http://example.com:/a HTTP/1.1"),
    "9110-4.2.3 absolute-form, default port in Host": get(
        start=b"GET http://example.com/a HTTP/1.1", host=b"Host: example.com:80\r\n"
    ),
    "9110-4.2.3 absolute-form, empty port in Host": get(
        start=b"GET http://example.com:80/a HTTP/1.1", host=b"Host: example.com:\r\n"
    ),
    "9110-4.2.3 absolute-form, https, default port": get(start=b"GET https://example.com:443 HTTP/1.1"),
    "9110-4.2.3 absolute-form, IPv6, default port": get(
        start=b"GET http://[::1]:80/ HTTP/1.1", host=b"Host: [::1]\r\n"
    ),
    "9112-3.2.2 absolute-form, https": get(start=b"GET https://example.com/ HTTP/1.1"),
    "9112-3.2.4 asterisk-form": get(start=b"OPTIONS * HTTP/1.1"),
    "9112-3.2.4 OPTIONS of absolute-form without path": get(start=b"OPTIONS http://example.com HTTP/1.1"),
    "9112-5 no white space after the colon": get(b"A:b"),
    "9112-5 much white space around a value": get(b"A: \t b c \t "),
    "9112-5 an empty value": get(b"A:"),
    "9112-5 a value of white space": get(b"A:   "),
    "9112-5 tab inside a value": get(b"A: b\tc"),
    "9110-5.3 a field that comes twice": get(b"Accept: a", b"Accept: b"),
    "9110-5.5 obs-text in a value (p22)": get(b"A: caf\xc3\xa9 \xff"),
    "9110-5.1 one letter name": get(b"A: b"),
    "9110-5.1 name of 200 letters": get(b"A" * 200 + b": b"),
    "9112-6.2 Content-Length": post(b"Content-Length: 5"),
    "9112-6.2 Content-Length zero": post(b"Content-Length: 0"),
    "9112-6.2 the largest Content-Length": post(b"Content-Length: 9223372036854775807"),
    "9112-6.1 chunked": post(b"Transfer-Encoding: chunked"),
    "9112-6.1 chunked in any case": post(b"tRANSFER-eNCODING: Chunked"),
    "9112-6.1 GET with a chunked body": get(b"Transfer-Encoding: chunked"),
    "9112-6 GET with a body (H14)": get(b"Content-Length: 3"),
    "9112-6 DELETE with a body": get(b"Content-Length: 3", start=b"DELETE /a HTTP/1.1"),
    "9110-10.1.1 expectation": post(b"Expect: 100-continue", b"Content-Length: 3"),
    "9110-10.1.1 expectation in any case": post(b"Expect: 100-Continue", b"Content-Length: 3"),
    "9110-7.6.1 Connection: close": get(b"Connection: close"),
    "9110-7.6.1 Connection: keep-alive": get(b"Connection: keep-alive"),
    "9110-7.6.1 Connection nominates a field": get(b"Connection: X-Hop, keep-alive", b"X-Hop: 1"),
    "9110-7.6.1 Connection twice": get(b"Connection: keep-alive", b"Connection: X-Hop", b"X-Hop: 1"),
    "9110-5.6.1 Connection with empty elements": get(b"Connection: , ,keep-alive,,"),
    "9110-7.6.1 TE": get(b"TE: trailers, deflate;q=0.5", b"Connection: TE"),
    "9110-7.8 h2c upgrade is not passed on": get(
        b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"
    ),
    "9110-7.8 h2c upgrade with a length": post(*H2C, b"Content-Length: 5"),
    "9110-7.8 h2c upgrade with chunked": post(*H2C, b"Transfer-Encoding: chunked"),
    "9110-7.8 h2c upgrade with a length past the filler": post(*H2C, b"Content-Length: 70000"),
    "9110-7.8 h2c upgrade by HTTP/1.0 with a body": post(*H2C, b"Content-Length: 5", version=b"1.0"),
    "9110-7.8 TLS upgrade with a body, not named in Connection": post(b"Upgrade: TLS/1.2", b"Content-Length: 5"),
    "9110-7.8 two other upgrades with a body": post(
        b"Connection: upgrade", b"Upgrade: a/1, b", b"Upgrade: c", b"Content-Length: 5"
    ),
    "9110-7.8 Upgrade without Connection": get(b"Upgrade: websocket"),
    "6455-4.1 websocket": get(*WEBSOCKET),
    "6455-4.1 websocket with more options": get(
        b"Connection: keep-alive, Upgrade", *WEBSOCKET[1:], b"Sec-WebSocket-Protocol: chat"
    ),
    "6750-2.1 bearer": get(b"Authorization: Bearer abc.def.ghi"),
    "9112-2.3 HTTP/1.0 without host": b"GET / HTTP/1.0\r\n\r\n",
    "9112-2.3 HTTP/1.0 with host": get(start=b"GET / HTTP/1.0"),
    "9112-2.3 HTTP/1.0 with a body": post(b"Content-Length: 3", version=b"1.0"),
    "9112-9.3 HTTP/1.0 keep-alive": get(b"Connection: keep-alive", start=b"GET / HTTP/1.0"),
    "9112-3.2.2 HTTP/1.0 absolute-form without host": b"GET http://example.com/ HTTP/1.0\r\n\r\n",
    "9110-9 HEAD": get(start=b"HEAD / HTTP/1.1"),
    "9110-9 PUT": get(b"Content-Length: 1", start=b"PUT / HTTP/1.1"),
    "9110-9 DELETE": get(start=b"DELETE / HTTP/1.1"),
    "9110-9 OPTIONS of a path": get(start=b"OPTIONS /a HTTP/1.1"),
    "5789 PATCH": get(b"Content-Length: 1", start=b"PATCH / HTTP/1.1"),
    "4918 PROPFIND": get(start=b"PROPFIND /a HTTP/1.1"),
    "3253 REPORT": get(start=b"REPORT /a HTTP/1.1"),
    "9110-13 each precondition once": get(
        b'If-Match: "a"', b'If-None-Match: "b"', b"If-Modified-Since: x", b"If-Unmodified-Since: y"
    ),
    "S5 as many fields as allowed": get(*[b"A: b"] * 99),
    "S5 a head as large as allowed": get(b"A: " + b"b" * (32768 - len(get()) - 5)),
}

ACCEPTABLE: Final = {
    "P1 identity header of the client": get(b"X-Jwt-Sub: root"),
    "P2 identity header, underscores": get(b"X_Jwt_Sub: root"),
    "P2 identity header, dots": get(b"x.jwt.sub: root"),
    "p15 underscore in a name": get(b"A_b: c"),
    "p15 every other token character in a name": get(b"!#$%&'*+-.^_`|~: c"),
    "P5 two Authorization fields are for the gate to answer": get(
        b"Authorization: Bearer a", b"Authorization: Bearer b"
    ),
    "P12 forwarded fields of the client": get(b"X-Forwarded-For: 1.2.3.4", b"Forwarded: for=1.2.3.4"),
    "P15 httpoxy": get(b"Proxy: http://evil.example"),
    "P16 method override": get(b"X-HTTP-Method-Override: DELETE"),
    "P17 other URL": get(b"X-Original-URL: /admin"),
    "9110-8.6 Content-Length with leading zeros": post(b"Content-Length: 0005"),
    "9112-3 characters that belong encoded": get(start=b'GET /a"<>[]^`{|}\\ HTTP/1.1'),
    "9110-10.1.1 expectation without a body": get(b"Expect: 100-continue"),
    "9110-10.1.1 expectation of HTTP/1.0": post(b"Expect: 100-continue", b"Content-Length: 3", version=b"1.0"),
    "9110-7.6.1 Connection says close and keep-alive": get(b"Connection: keep-alive, close"),
    "9110-7.6.1 Proxy-Connection": get(b"Proxy-Connection: keep-alive"),
    "9110-7.6.1 Proxy-Connection: close, which llhttp takes for Connection": get(b"Proxy-Connection: close"),
    "9110-7.8 upgrade to a list": get(b"Connection: upgrade", b"Upgrade: websocket, h2c"),
    "6455-4.1 websocket of another version": get(*WEBSOCKET[:2], b"Sec-WebSocket-Version: 8", WEBSOCKET[3]),
    "6455-4.1 websocket without key": get(*WEBSOCKET[:3]),
    "6455-4.1 websocket with a short key": get(*WEBSOCKET[:3], b"Sec-WebSocket-Key: abc=="),
    "6455-4.1 websocket by HTTP/1.0": get(*WEBSOCKET, start=b"GET / HTTP/1.0"),
    "6455-4.1 websocket by HEAD": get(*WEBSOCKET, start=b"HEAD / HTTP/1.1"),
    "3986-3.2.3 an empty port": get(host=b"Host: example.com:\r\n"),
    "R4 host with a trailing dot": get(host=b"Host: example.com.\r\n"),
    "9112-6.1 Upgrade with Content-Length zero": get(b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 0"),
}

AMBIGUOUS: Final = {
    "p1 no Host": (get(host=b""), (400, "missing_host")),
    "p1 empty Host": (get(host=b"Host:\r\n"), (400, "invalid_host")),
    "p1 blank Host": (get(host=b"Host: \t \r\n"), (400, "invalid_host")),
    "p1 Host with userinfo": (get(host=b"Host: user@example.com\r\n"), (400, "invalid_host")),
    "p1 Host with a path": (get(host=b"Host: example.com/a\r\n"), (400, "invalid_host")),
    "p1 Host with a list": (get(host=b"Host: a.example, b.example\r\n"), (400, "invalid_host")),
    "p1 Host with white space": (get(host=b"Host: a b\r\n"), (400, "invalid_host")),
    "p1 Host with a letter in the port": (get(host=b"Host: a:8o\r\n"), (400, "invalid_host")),
    "p1 Host with a port of six digits": (get(host=b"Host: a:123456\r\n"), (400, "invalid_host")),
    "p1 Host with two ports": (get(host=b"Host: a:80:80\r\n"), (400, "invalid_host")),
    "p1 Host with an open bracket": (get(host=b"Host: [::1\r\n"), (400, "invalid_host")),
    "p1 Host with empty brackets": (get(host=b"Host: []\r\n"), (400, "invalid_host")),
    "p1 Host with text behind the bracket": (get(host=b"Host: [::1]a\r\n"), (400, "invalid_host")),
    "p1 Host of port only": (get(host=b"Host: :80\r\n"), (400, "invalid_host")),
    "p1 Host with percent-encoding": (get(host=b"Host: a%2eexample\r\n"), (400, "invalid_host")),
    "p1 Host with obs-text": (get(host=b"Host: \xe9.example\r\n"), (400, "invalid_host")),
    "p1 odd Host by HTTP/1.0": (get(start=b"GET / HTTP/1.0", host=b"Host: a b\r\n"), (400, "invalid_host")),
    "p2 stacked coding identity": (post(b"Transfer-Encoding: identity, chunked"), (501, "unsupported_coding")),
    "p2 stacked coding gzip": (post(b"Transfer-Encoding: gzip, chunked"), (501, "unsupported_coding")),
    "p2 stacked codings": (post(b"Transfer-Encoding: gzip,deflate ,chunked"), (501, "unsupported_coding")),
    "p4 HTTP/2.0 on the request line": (get(start=b"GET / HTTP/2.0"), (505, "http_version")),
    "p4 HTTP/0.9": (get(start=b"GET / HTTP/0.9"), (505, "http_version")),
    "p4 HTTP/1.2": (get(start=b"GET / HTTP/1.2"), (505, "http_version")),
    "p4 HTTP/1.9": (get(start=b"GET / HTTP/1.9"), (505, "http_version")),
    "p4 HTTP/3.1": (get(start=b"GET / HTTP/3.1"), (505, "http_version")),
    "p4 the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (505, "http_version")),
    "p4 RTSP": (get(start=b"DESCRIBE / RTSP/1.0"), (400, "request_line")),
    "p4 ICE": (get(start=b"SOURCE / ICE/1.0"), (400, "request_line")),
    "p4 RTSP's method by HTTP": (get(start=b"DESCRIBE / HTTP/1.1"), (400, "grammar")),
    "p4 no version": (get(start=b"GET /"), (400, "request_line")),
    "p4 lower-case protocol": (get(start=b"GET / http/1.1"), (400, "request_line")),
    "p4 version of two digits": (get(start=b"GET / HTTP/1.10"), (400, "request_line")),
    "p4 version with a comma": (get(start=b"GET / HTTP/1,1"), (400, "request_line")),
    "p4 version of one number": (get(start=b"GET / HTTP/11"), (400, "request_line")),
    "p4 version with a letter": (get(start=b"GET / HTTP/1.x"), (400, "request_line")),
    "p4 text behind the version": (get(start=b"GET / HTTP/1.1 x"), (400, "request_line")),
    "p5 two spaces after the method": (get(start=b"GET  / HTTP/1.1"), (400, "target_character")),
    "p5 two spaces after the target": (get(start=b"GET /  HTTP/1.1"), (400, "target_character")),
    "p5 space before the method": (get(start=b" GET / HTTP/1.1"), (400, "request_line")),
    "p5 space behind the version": (get(start=b"GET / HTTP/1.1 "), (400, "request_line")),
    "p5 tab after the method": (get(start=b"GET\t/ HTTP/1.1"), (400, "request_line")),
    "p5 tab after the target": (get(start=b"GET /\tHTTP/1.1"), (400, "request_line")),
    "p5 space in the target": (get(start=b"GET /a b HTTP/1.1"), (400, "target_character")),
    "p5 no target": (get(start=b"GET HTTP/1.1"), (400, "request_line")),
    "p5 an empty target": (get(start=b"GET  HTTP/1.1"), (400, "request_line")),
    "p6 fragment": (get(start=b"GET /a#b HTTP/1.1"), (400, "target_character")),
    "p6 fragment only": (get(start=b"GET # HTTP/1.1"), (400, "target_character")),
    "p6 fragment of absolute-form": (get(start=b"GET http://example.com/#a HTTP/1.1"), (400, "target_character")),
    "p7 asterisk with GET": (get(start=b"GET * HTTP/1.1"), (400, "target_form")),
    "p7 asterisk and more": (get(start=b"OPTIONS *a HTTP/1.1"), (400, "target_form")),
    "p7 authority-form with GET": (get(start=b"GET example.com:80 HTTP/1.1"), (400, "target_form")),
    "p7 relative path": (get(start=b"GET a/b HTTP/1.1"), (400, "target_form")),
    "p7 query only": (get(start=b"GET ?a HTTP/1.1"), (400, "target_form")),
    "p7 another scheme": (get(start=b"GET ftp://example.com/ HTTP/1.1"), (400, "target_form")),
    "p7 scheme without slashes": (get(start=b"GET http:example.com/ HTTP/1.1"), (400, "target_form")),
    "p7 no authority": (get(start=b"GET http:/// HTTP/1.1"), (400, "target_form")),
    "p7 userinfo in the authority": (get(start=b"GET http://a@example.com/ HTTP/1.1"), (400, "target_form")),
    "p13 TRACE": (get(start=b"TRACE / HTTP/1.1"), (405, "method_not_allowed")),
    "p13 CONNECT": (get(start=b"CONNECT example.com:443 HTTP/1.1"), (405, "method_not_allowed")),
    "p14 unknown method": (get(start=b"FOO / HTTP/1.1"), (400, "grammar")),
    "p14 lower-case method": (get(start=b"get / HTTP/1.1"), (400, "grammar")),
    "p14 a known method and more": (get(start=b"GETS / HTTP/1.1"), (400, "grammar")),
    "p14 no method": (get(start=b"/ HTTP/1.1"), (400, "request_line")),
    "p14 method with a colon": (get(start=b"GE:T / HTTP/1.1"), (400, "request_line")),
    "9110-10.1.1 unknown expectation": (post(b"Expect: 200-ok"), (417, "unknown_expectation")),
    "9110-10.1.1 expectation and more": (post(b"Expect: 100-continue, x"), (417, "unknown_expectation")),
    "9110-10.1.1 empty expectation": (post(b"Expect:"), (417, "unknown_expectation")),
    "9110-7.6.1 Connection with a quoted option": (get(b'Connection: "close"'), (400, "connection_option")),
    "9110-7.6.1 Connection with a parameter": (get(b"Connection: close;a"), (400, "connection_option")),
    "9110-7.6.1 Connection with white space in an option": (get(b"Connection: keep alive"), (400, "connection_option")),
    "9110-7.6.1 Connection with obs-text": (get(b"Connection: \xe9"), (400, "connection_option")),
    "S5 33 nominations": (get(b"Connection: " + b",".join([b"a"] * 33)), (400, "connection_nominates")),
    "H13 two expectations": (post(b"Expect: 100-continue", b"Expect: 100-continue"), (400, "duplicate_field")),
    "P5 If-Match twice": (get(b"If-Match: a", b"If-Match: b"), (400, "duplicate_field")),
    "P5 If-None-Match twice": (get(b"If-None-Match: a", b"if-none-match: b"), (400, "duplicate_field")),
    "P5 If-Modified-Since twice": (get(b"If-Modified-Since: a", b"If-Modified-Since: a"), (400, "duplicate_field")),
    "P5 If-Unmodified-Since twice": (
        get(b"If-Unmodified-Since: a", b"If-Unmodified-Since: a"),
        (400, "duplicate_field"),
    ),
    "P5 If-Range twice": (get(b"If-Range: a", b"If-Range: a"), (400, "duplicate_field")),
    "P5 Content-Range twice": (get(b"Content-Range: a", b"Content-Range: a"), (400, "duplicate_field")),
    "p8 request line too long": (get(start=b"GET /" + b"a" * (8193 - 14) + b" HTTP/1.1"), (414, "line_too_long")),
    "p8 target without end": (b"GET /" + b"a" * 9000, (414, "line_too_long")),
    "p8 head too large": (get(b"A: " + b"b" * (32769 - len(get()) - 5)), (431, "head_too_large")),
    "p8 field without end": (get()[:-2] + b"A: " + b"b" * 33000, (431, "head_too_large")),
    "p8 head without end": (get()[:-2] + b"A: b\r\n" * 6000, (431, "head_too_large")),
    "p8 too many fields": (get(*[b"A: b"] * 100), (431, "too_many_fields")),
    "p9 three empty lines before": (b"\r\n\r\n\r\n" + get(), (400, "empty_lines")),
    "p9 empty lines without end": (b"\r\n" * 1000, (400, "empty_lines")),
}

SEVERE: Final = {
    "H1 CL before TE": (post(b"Content-Length: 5", b"Transfer-Encoding: chunked"), (400, "length_and_encoding")),
    "H1 TE before CL": (post(b"Transfer-Encoding: chunked", b"Content-Length: 5"), (400, "length_and_encoding")),
    "H1 CL zero and TE": (post(b"Content-Length: 0", b"Transfer-Encoding: chunked"), (400, "length_and_encoding")),
    "H1 CL and TE by HTTP/1.0": (
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", version=b"1.0"),
        (400, "length_and_encoding"),
    ),
    "H1 CL and odd TE": (post(b"Content-Length: 5", b"Transfer-Encoding: x"), (400, "length_and_encoding")),
    "H2 CL twice, equal": (post(b"Content-Length: 5", b"Content-Length: 5"), (400, "duplicate_field")),
    "H2 CL twice, different": (post(b"Content-Length: 5", b"Content-Length: 6"), (400, "duplicate_field")),
    "H2 CL twice, case": (post(b"Content-Length: 5", b"cOnTeNt-LeNgTh: 6"), (400, "duplicate_field")),
    "H2 CL list": (post(b"Content-Length: 5, 5"), (400, "content_length")),
    "H2 CL with plus": (post(b"Content-Length: +5"), (400, "content_length")),
    "H2 CL with minus": (post(b"Content-Length: -5"), (400, "content_length")),
    "H2 CL minus zero": (post(b"Content-Length: -0"), (400, "content_length")),
    "H2 CL empty": (post(b"Content-Length:"), (400, "content_length")),
    "H2 CL hexadecimal": (post(b"Content-Length: 0x5"), (400, "content_length")),
    "H2 CL octal": (post(b"Content-Length: 0o5"), (400, "content_length")),
    "H2 CL exponent": (post(b"Content-Length: 1e3"), (400, "content_length")),
    "H2 CL fraction": (post(b"Content-Length: 5.0"), (400, "content_length")),
    "H2 CL quoted": (post(b'Content-Length: "5"'), (400, "content_length")),
    "H2 CL with a space inside": (post(b"Content-Length: 5 5"), (400, "content_length")),
    "H2 CL with an underscore": (post(b"Content-Length: 1_0"), (400, "content_length")),
    "H2 CL with a semicolon": (post(b"Content-Length: 5;a"), (400, "content_length")),
    "H2 CL of 2^63": (post(b"Content-Length: 9223372036854775808"), (400, "content_length")),
    "H2 CL of 2^64": (post(b"Content-Length: 18446744073709551616"), (400, "content_length")),
    "H2 CL of 2^64 and 5": (post(b"Content-Length: 18446744073709551621"), (400, "content_length")),
    "H2 CL of 40 digits": (post(b"Content-Length: " + b"9" * 40), (400, "content_length")),
    "H2 CL in obs-text digits": (post("Content-Length: ٥".encode()), (400, "content_length")),
    "H3 xchunked": (post(b"Transfer-Encoding: xchunked"), (400, "transfer_encoding")),
    "H3 chunked twice on a line": (post(b"Transfer-Encoding: chunked, chunked"), (400, "transfer_encoding")),
    "H3 chunked first": (post(b"Transfer-Encoding: chunked, identity"), (400, "transfer_encoding")),
    "H3 empty element first (p2)": (post(b"Transfer-Encoding: ,chunked"), (400, "transfer_encoding")),
    "H3 empty element last": (post(b"Transfer-Encoding: chunked,"), (400, "transfer_encoding")),
    "H3 two lines (p2)": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), (400, "duplicate_field")),
    "H3 two lines, gzip first (p2)": (
        post(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
        (400, "duplicate_field"),
    ),
    "H3 parameter": (post(b"Transfer-Encoding: chunked;q=1"), (400, "transfer_encoding")),
    "H3 quoted": (post(b'Transfer-Encoding: "chunked"'), (400, "transfer_encoding")),
    "H3 identity": (post(b"Transfer-Encoding: identity"), (400, "transfer_encoding")),
    "H3 gzip alone": (post(b"Transfer-Encoding: gzip"), (400, "transfer_encoding")),
    "H3 empty": (post(b"Transfer-Encoding:"), (400, "transfer_encoding")),
    "H3 vertical tab": (post(b"Transfer-Encoding: \x0bchunked"), (400, "control_character")),
    "H3 NUL behind": (post(b"Transfer-Encoding: chunked\x00"), (400, "control_character")),
    "H3 obs-text space": (post(b"Transfer-Encoding: \xa0chunked"), (400, "transfer_encoding")),
    "H3 space before the colon": (post(b"Transfer-Encoding : chunked"), (400, "field_line")),
    "H4 TE by HTTP/1.0 (p3)": (post(b"Transfer-Encoding: chunked", version=b"1.0"), (400, "http10_encoding")),
    "H5 bare LF after the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", (400, "bare_lf")),
    "H5 bare LF after a field": (b"GET / HTTP/1.1\r\nHost: a\n\r\n", (400, "bare_lf")),
    "H5 bare LF at the end": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", (400, "bare_lf")),
    "H5 bare LF everywhere": (b"GET / HTTP/1.1\nHost: a\n\n", (400, "bare_lf")),
    "H5 bare LF before": (b"\n" + get(), (400, "bare_lf")),
    "H5 bare LF in a value": (get(b"A: b\nTransfer-Encoding: chunked"), (400, "bare_lf")),
    "H5 bare CR after the request line": (b"GET / HTTP/1.1\rHost: a\r\n\r\n", (400, "bare_cr")),
    "H5 bare CR in a value": (get(b"A: b\rc"), (400, "bare_cr")),
    "H5 bare CR in a name": (get(b"A\rB: c"), (400, "bare_cr")),
    "H5 two CR": (get(b"A: b\r"), (400, "bare_cr")),
    "H5 bare CR before": (b"\rGET / HTTP/1.1\r\n", (400, "bare_cr")),
    "H5 bare CR at the end": (b"GET / HTTP/1.1\r\nHost: a\r\n\rx", (400, "bare_cr")),
    "H6 folded value": (get(b"A: b", b" c"), (400, "field_line")),
    "H6 folded value, tab": (get(b"A: b", b"\tc"), (400, "field_line")),
    "H6 folded TE": (post(b"Transfer-Encoding:", b" chunked"), (400, "field_line")),
    "H6 folded CL": (post(b"Content-Length:", b"\t5"), (400, "field_line")),
    "H6 folded Authorization": (get(b"Authorization: Bearer", b" a.b.c"), (400, "field_line")),
    "H6 folded Host": (get(host=b"Host:\r\n a\r\n"), (400, "field_line")),
    "H6 white space before the first field": (get(host=b" Host: a\r\n"), (400, "field_line")),
    "H7 space before the colon": (get(b"A : b"), (400, "field_line")),
    "H7 tab before the colon": (get(b"A\t: b"), (400, "field_line")),
    "H7 space in a name": (get(b"A b: c"), (400, "field_line")),
    "H7 empty name": (get(b": b"), (400, "field_line")),
    "H7 no colon": (get(b"Abc"), (400, "field_line")),
    "H7 NUL in a value": (get(b"A: b\x00c"), (400, "control_character")),
    "H7 NUL in a name": (get(b"A\x00: b"), (400, "control_character")),
    "H7 escape in a value": (get(b"A: \x1b[31m"), (400, "control_character")),
    "H7 DEL in a value": (get(b"A: \x7f"), (400, "control_character")),
    "H7 obs-text in a name": (get(b"\xe9: b"), (400, "field_line")),
    "H7 separator in a name": (get(b"A(b): c"), (400, "field_line")),
    "H7 quoted name": (get(b'"A": c'), (400, "field_line")),
    "H7 slash in a name": (get(b"A/b: c"), (400, "field_line")),
    "p12 websocket with a body (H11)": (get(*WEBSOCKET, b"Content-Length: 1"), (400, "upgrade_with_body")),
    "p12 websocket with a chunked body": (
        post(b"Connection: upgrade", b"Upgrade: WebSocket", b"Transfer-Encoding: chunked"),
        (400, "upgrade_with_body"),
    ),
    "p12 websocket among others with a body": (
        post(b"Connection: upgrade", b"Upgrade: h2c, websocket/13", b"Content-Length: 5"),
        (400, "upgrade_with_body"),
    ),
    "p12 websocket in a second field with a body": (
        post(b"Connection: upgrade", b"Upgrade: websocket", b"Upgrade: h2c", b"Content-Length: 5"),
        (400, "upgrade_with_body"),
    ),
    "p12 websocket not named in Connection, with a body": (
        post(b"Upgrade: websocket", b"Content-Length: 5"),
        (400, "upgrade_with_body"),
    ),
    "H14 HTTP/1.0 GET with a body": (get(b"Content-Length: 5", start=b"GET / HTTP/1.0"), (400, "http10_body")),
    "H14 HTTP/1.0 HEAD with a body": (get(b"Content-Length: 5", start=b"HEAD / HTTP/1.0"), (400, "http10_body")),
    "H14 HTTP/1.0 DELETE with a body": (get(b"Content-Length: 5", start=b"DELETE / HTTP/1.0"), (400, "http10_body")),
    "H17 two Hosts": (get(b"Host: b.example"), (400, "two_hosts")),
    "H17 two equal Hosts": (get(b"host: example.com"), (400, "two_hosts")),
    "H17 two Hosts by HTTP/1.0": (get(b"Host: b", start=b"GET / HTTP/1.0"), (400, "two_hosts")),
    "H17 absolute-form of another host": (get(start=b"GET http://b.example/ HTTP/1.1"), (400, "target_not_host")),
    "H17 absolute-form of another port": (get(start=b"GET http://example.com:81/ HTTP/1.1"), (400, "target_not_host")),
    "H17 absolute-form with the default port of the other scheme": (
        get(start=b"GET https://example.com:80/ HTTP/1.1"),
        (400, "target_not_host"),
    ),
    "H17 absolute-form, port of the other scheme in Host": (
        get(start=b"GET http://example.com/ HTTP/1.1", host=b"Host: example.com:443\r\n"),
        (400, "target_not_host"),
    ),
    "H17 absolute-form, a port that ends like the default one": (
        get(start=b"GET http://example.com:8080/ HTTP/1.1"),
        (400, "target_not_host"),
    ),
    "H17 absolute-form, empty port of another host": (
        get(start=b"GET http://b.example:/ HTTP/1.1"),
        (400, "target_not_host"),
    ),
    "H17 absolute-form without Host": (get(start=b"GET http://example.com/ HTTP/1.1", host=b""), (400, "missing_host")),
    "H18 what a TLS client says first": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, "control_character")),
    "9112-3 NUL in the target": (get(start=b"GET /\x00 HTTP/1.1"), (400, "control_character")),
    "9112-3 obs-text in the target": (get(start=b"GET /\xc3\xa9 HTTP/1.1"), (400, "target_character")),
    "9112-3 DEL in the target": (get(start=b"GET /\x7f HTTP/1.1"), (400, "control_character")),
    "P3 nominates Host": (get(b"Connection: host"), (400, "connection_nominates")),
    "P3 nominates Authorization": (get(b"Connection: close, AUTHORIZATION"), (400, "connection_nominates")),
    "P3 nominates Content-Length": (
        post(b"Connection: content-length", b"Content-Length: 5"),
        (400, "connection_nominates"),
    ),
    "P3 nominates Content-Type": (post(b"Connection: Content-Type"), (400, "connection_nominates")),
    "P3 nominates Transfer-Encoding": (post(b"Connection: transfer-encoding"), (400, "connection_nominates")),
    "P3 nominates X-Forwarded-For": (get(b"Connection: x-forwarded-for"), (400, "connection_nominates")),
    "P3 nominates X-Forwarded-Host": (get(b"Connection: X-Forwarded-Host"), (400, "connection_nominates")),
    "P3 nominates X-Forwarded-Anything": (get(b"Connection: X-Forwarded-Anything"), (400, "connection_nominates")),
    "P3 nominates an identity header": (get(b"Connection: x-jwt-sub"), (400, "connection_nominates")),
    "P3 nominates an identity header, folded": (get(b"Connection: X_JWT_SUB"), (400, "connection_nominates")),
    "P3 nominates Expect": (post(b"Connection: expect"), (400, "connection_nominates")),
    "P3 nominates in a second line": (get(b"Connection: close", b"Connection: Host"), (400, "connection_nominates")),
}

CASES: Final = [
    *(Case(name, "compliant", wire, OK) for name, wire in COMPLIANT.items()),
    *(Case(name, "acceptable", wire, OK) for name, wire in ACCEPTABLE.items()),
    *(Case(name, "ambiguous", wire, verdict) for name, (wire, verdict) in AMBIGUOUS.items()),
    *(Case(name, "severe", wire, verdict) for name, (wire, verdict) in SEVERE.items()),
]
