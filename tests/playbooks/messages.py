"""Messages that several playbooks send."""

from tests.playbooks.stage import response

OK = response("200 OK", "Content-Length: 2", body=b"ok")


def bodies(data: bytes) -> bytes:
    """The body of a chunked message, its framing checked."""
    body = b""
    rest = data.partition(b"\r\n\r\n")[2]
    while True:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        if size == 0:
            assert rest == b"\r\n"
            return body
        body += rest[:size]
        assert rest[size : size + 2] == b"\r\n"
        rest = rest[size + 2 :]


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SWITCH = response(
    "101 Switching Protocols",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
)
