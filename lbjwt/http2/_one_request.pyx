"""
One request to an HTTP/2 server, on a connection of its own, without the socket: for checks, which take nothing from the connections of the traffic.

It reads a bounded amount: one window of the body, and heads up to a limit.
"""

from lbjwt.http2._session cimport Limits, SessionEvents, client_session

cdef enum:
    OUTPUT = 65536               # bytes taken from the session at a time
    WINDOW = 65536               # bytes of the body that are read

cdef Limits LIMITS = Limits(max_streams=1, window=WINDOW, max_fields=200, max_field_bytes=65536, max_resets=1, max_control_frames=100)


cdef class OneRequest:
    """
    Attributes:
        status: Of the response; 0: its head has not come.
        fields: Of its head, without `:status`, and of its trailers: name -> the last value, both bytes.
        body: What came of its body.
        opened: The server speaks HTTP/2: its SETTINGS have come.
        ended: Nothing more comes: the response has ended, or the server took the stream or the connection back.
    """
    def __init__(self, list fields not None, bytes body not None):
        """
        Args:
            fields: (name, value) as bytes, the pseudo-header fields first (RFC 9113 section 8.3.1).
            body: The whole body.
        """
        self.fields = {}
        self.body = b""
        self._session = client_session(self, &EVENTS, LIMITS)
        self._number = self._session.send_request(fields, not body)
        if body:
            self._session.send_data(self._number, body, len(body), True)

    def output(self):
        """The next bytes for the server; b"" when there are none now."""
        return self._session.output(OUTPUT)

    def receive(self, bytes data not None, double now):
        """Take in what came from the server. now: seconds on the monotonic clock."""
        self._session.receive(<char *>data, len(data), now)


cdef void _take(OneRequest request, tuple fields):
    for name, value in fields:
        if name == b":status":
            request.status = int(value) if value.isdigit() else 0
        else:
            request.fields[name] = value


cdef void _on_response(object request, int stream, tuple fields, bint end):
    _take(<OneRequest>request, fields)
    (<OneRequest>request).ended = end


cdef void _on_data(object request, int stream, bytes data, bint end):
    (<OneRequest>request).body += data           # no more than a window, as nothing makes room
    (<OneRequest>request).ended = end


cdef void _on_trailers(object request, int stream, tuple fields):
    _take(<OneRequest>request, fields)
    (<OneRequest>request).ended = True


cdef void _on_closed(object request, int stream, unsigned code):
    (<OneRequest>request).ended = True


cdef void _on_going_away(object request, int last, unsigned code):
    if last < (<OneRequest>request)._number:
        (<OneRequest>request).ended = True


cdef void _on_broken(object request, bint flood):
    (<OneRequest>request).ended = True


cdef void _on_request(object request, int stream, tuple fields, bint end):
    pass


cdef void _on_interim(object request, int stream, tuple fields):
    pass


cdef void _on_settings(object request):
    (<OneRequest>request).opened = True


cdef void _on_faulted(object request, int stream, object fault):
    raise fault


cdef SessionEvents EVENTS = SessionEvents(
    _on_request, _on_response, _on_interim, _on_data, _on_trailers, _on_closed, _on_going_away, _on_broken, _on_settings, _on_faulted)
