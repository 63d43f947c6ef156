"""An answer of our own, ready but for date, request id and connection fields. Knows nothing of who gets it or why."""

from http import HTTPStatus


cdef class Answer:

    def __init__(self, int status, bytes fields, bytes body, *, int grpc_status=-1):
        self.status = status
        self.grpc_status = grpc_status
        cdef bytes phrase = HTTPStatus(status).phrase.encode()
        self.head = b"HTTP/1.1 %d %b\r\nServer: lbjwt\r\n%bContent-Length: %d\r\n" % (status, phrase, fields, len(body))
        self.body = body

    def header_fields(self):
        """Its fields but those that depend on the request, as (name, value) in bytes."""
        lines = self.head.split(b"\r\n")[1:-1]
        return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
