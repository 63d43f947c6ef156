cimport cython

from lbjwt.http1._buffer cimport Slice
from lbjwt.http2._body cimport Body
from lbjwt.http2._engine cimport Engine
from lbjwt.http2._fields_out cimport FieldsOut
from lbjwt.http2._inbox cimport Event, FieldList
from lbjwt.http2._meter cimport FrameMeter


cdef struct SessionEvents:
    # What the owner of a session is told. Each function gets the owner first; fields and data are valid until it returns. A number of a stream is
    # never used again on its connection.
    void (*request)(object owner, int stream, FieldList fields, bint end)    # of a server: the whole head. end: no body and no trailers follow
    void (*response)(object owner, int stream, FieldList fields, bint end)   # of a client
    void (*interim)(object owner, int stream, FieldList fields)
    void (*data)(object owner, int stream, const char *at, Py_ssize_t size, bint end)    # `consumed` makes room for more
    void (*trailers)(object owner, int stream, FieldList fields)             # the end of what the peer sends on this stream
    # Nothing more comes on the stream, and nothing can be sent: both sides have ended it, or one took it back. code: of RFC 9113 section 7.
    void (*closed)(object owner, int stream, unsigned code)
    # The peer opens no streams any more, and has not seen those of ours above `last`.
    void (*going_away)(object owner, int last, unsigned code)
    # The peer broke a rule of the connection, or a limit: the GOAWAY that says so is to be sent, then the connection closes. flood: a limit
    void (*broken)(object owner, bint flood)
    # SETTINGS of the peer came: `max_streams` and `takes_websockets` go by them.
    void (*settings)(object owner)
    # One of these functions raised: a fault of ours. stream: whose event it was; 0: of the connection.
    void (*faulted)(object owner, int stream, object fault)


@cython.final
cdef class Limits:
    """What a peer may do on one connection. Immutable."""
    cdef readonly int max_streams            # open at a time
    cdef readonly int window                 # bytes of one stream's body that wait here
    cdef readonly int max_fields             # of a head or of trailers
    cdef readonly int max_field_bytes        # … and their bytes, with 32 for each (RFC 9113 section 6.5.2)
    cdef readonly int max_resets             # streams taken back, or broken, a second
    cdef readonly int max_control_frames     # PING, SETTINGS, empty DATA and the like a second
    cdef readonly double settings_timeout    # seconds to acknowledge our SETTINGS


@cython.final
cdef class Session(Engine):
    """One HTTP/2 connection without its socket: bytes in, events out; calls in, bytes out."""
    cdef object _owner
    cdef const SessionEvents *_events
    cdef FrameMeter _meter
    cdef double _now                         # when input came last
    cdef int _last                           # the highest number of a request that the owner was told of
    cdef int _reset                          # the stream that the peer took back last
    cdef bint _telling                       # the owner is being told
    cdef bint _ended                         # the engine takes nothing more to send
    cdef bint _failed                        # the engine failed while it wrote
    cdef bytes _goodbye                      # the last frame, if the engine cannot write it …
    cdef bytes _said                         # … and once `output` returned it
    cdef readonly bint over                  # the peer broke a rule, or a limit
    cdef readonly bint malformed             # while `closed` is told: what the peer sent on the stream broke a rule

    cdef int receive(self, char *at, Py_ssize_t size, double now) except -1
    # The next bytes for the peer, until the next call of this object; none when there are none now. The owner is told what came of sending: streams
    # that are closed.
    cdef Slice output(self)
    # False: the stream is gone, or the peer wants no more.
    cdef bint send_head(self, int stream, FieldsOut fields, bint end)
    cdef bint send_interim(self, int stream, FieldsOut fields)
    cdef bint send_data(self, int stream, const char *at, Py_ssize_t size, bint end)
    cdef bint send_trailers(self, int stream, list fields)
    cdef bint end(self, int stream)
    cdef int max_streams(self)                           # of ours that the peer allows at a time
    cdef bint takes_websockets(self)                     # extended CONNECT (RFC 8441)
    cdef int send_request(self, FieldsOut fields, bint end)  # the number of the new stream; -1: none can be opened
    cdef void reset(self, int stream, unsigned code)
    cdef void consumed(self, int stream, Py_ssize_t size)
    cdef Py_ssize_t queued(self, int stream)             # bytes of its body that wait for the peer
    cdef void announce_end(self)                         # no streams any more, soon (RFC 9113 section 6.8, the first of two)
    cdef void end_requests(self)                         # those that came are the last
    cdef void terminate(self, unsigned code)             # say why, and take nothing more
    cdef int give_up_settings(self) except -1            # the same, because the peer did not acknowledge ours; the owner is told `broken`
    cdef void release(self)                              # the connection is gone: forget its owner, so that reference counting alone frees both
    cdef void ping(self)
    cdef bint is_inside(self)                            # the peer has begun a frame, or a head, that is not whole yet
    cdef Py_ssize_t all_queued(self)                     # bytes of all bodies that wait for the peer
    cdef int _tell_all(self) except -1
    cdef int _tell(self, Event *event) except -1
    cdef int _tell_closed(self, Event *event) except -1
    cdef int _end(self, bint flood) except -1
    cdef int _give_up(self, unsigned code) except -1
    cdef void _drop_given(self) noexcept
    cdef void _drain(self)
    cdef void _look(self)
    cdef void _tidy(self)
    cdef bint _is_open(self) noexcept
    cdef Body *_body(self, int stream) noexcept
    cdef void _resume(self, Body *body) noexcept


cdef Session server_session(object owner, const SessionEvents *events, Limits limits, bint websockets)
cdef Session client_session(object owner, const SessionEvents *events, Limits limits)
