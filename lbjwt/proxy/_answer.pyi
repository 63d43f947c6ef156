"""An answer of our own."""

from typing import final

@final
class Answer:
    """An answer of our own, ready but for date, request id and connection fields.

    Args:
        status: An HTTP status code.
        fields: Whole header lines, each with its CRLF, Content-Length among them.
        body: Short, and without detail.
    """

    status: int
    head: bytes
    body: bytes
    def __init__(self, status: int, fields: bytes, body: bytes) -> None: ...
