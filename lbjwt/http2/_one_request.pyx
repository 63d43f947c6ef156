"""
One request to an HTTP/2 server, on a connection of its own, without the socket: for checks, which take nothing from the connections of the traffic.

It reads a bounded amount: one window of the body, and heads up to a limit.
"""

from lbjwt.http1._buffer cimport Field, Slice
from lbjwt.http2._fields_out cimport fields_of
from lbjwt.http2._inbox cimport FieldList
from lbjwt.http2._session cimport Limits, SessionEvents, client_session

cdef enum:
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
        self._number = self._session.send_request(fields_of(fields), not body)
        if body:
            self._session.send_data(self._number, body, len(body), True)

    def output(self):
        """The next bytes for the server; b"" when there are none now."""
        cdef Slice data = self._session.output()
        return data.at[:data.size]

    def receive(self, bytes data not None, double now):
        """Take in what came from the server. now: seconds on the monotonic clock."""
        self._session.receive(<char *>data, len(data), now)


cdef void _take(OneRequest request, FieldList fields):
    cdef Field *field
    cdef Py_ssize_t number
    cdef bytes name, value
    for number in range(fields.count):
        field = &fields.at[number]
        name = field.name.at[:field.name.size]
        value = field.value.at[:field.value.size]
        if name == b":status":
            request.status = int(value) if value.isdigit() else 0
        else:
            request.fields[name] = value


cdef void _on_response(object request, int stream, FieldList fields, bint end):
    _take(<OneRequest>request, fields)
    (<OneRequest>request).ended = end


cdef void _on_data(object request, int stream, const char *at, Py_ssize_t size, bint end):
    (<OneRequest>request).body += at[:size]      # no more than a window, as nothing makes room
    (<OneRequest>request).ended = end


cdef void _on_trailers(object request, int stream, FieldList fields):
    _take(<OneRequest>request, fields)
    (<OneRequest>request).ended = True


cdef void _on_closed(object request, int stream, unsigned code):
    (<OneRequest>request).ended = True


cdef void _on_going_away(object request, int last, unsigned code):
    if last < (<OneRequest>request)._number:
        (<OneRequest>request).ended = True


cdef void _on_broken(object request, bint flood):
    (<OneRequest>request).ended = True


cdef void _on_request(object request, int stream, FieldList fields, bint end):
    pass


cdef void _on_interim(object request, int stream, FieldList fields):
    pass


cdef void _on_settings(object request):
    (<OneRequest>request).opened = True


cdef void _on_faulted(object request, int stream, object fault):
    raise fault


cdef SessionEvents EVENTS = SessionEvents(
    _on_request, _on_response, _on_interim, _on_data, _on_trailers, _on_closed, _on_going_away, _on_broken, _on_settings, _on_faulted)
