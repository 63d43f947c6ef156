"""
One HTTP/2 connection without its socket. The engine is libnghttp2: frames, HPACK, the states of streams, flow control, and the rules of RFC 9113 that
need no knowledge of requests. Another engine means another version of this file and of `_engine`.

The engine is asked and answers in C: while it works, `_engine` notes what it finds and gives it what is to be sent, and nothing else happens. The
owner is told afterwards, when everything may be asked of the session again.

Floods are counted before the engine reads them (`_meter`), but for streams that end because the peer broke a rule in them: the engine finds these. It
has limits of its own for CONTINUATION frames (CVE-2024-27316), for acknowledgements that wait, and for settings in one frame. Past one of those it
cannot be used any more, not even for the GOAWAY that says why, which is written here.
"""

import struct

from libc.stdint cimport uint8_t

from lbjwt.http1._buffer cimport Buffer
from lbjwt.http2._body cimport append, keep_lent, keep_trailers, new_body, waiting
from lbjwt.http2._engine cimport ROOM, provide
from lbjwt.http2._fields_out cimport fields_of
from lbjwt.http2._inbox cimport (
    CLOSED, DATA, GOING_AWAY, INTERIM, OVER, REQUEST, RESET, RESPONSE, SETTINGS, TRAILERS, give_back, take_inbox,
)
from lbjwt.http2._meter cimport new_meter
from lbjwt.http2._nghttp2 cimport FLOODED, NO_FLAGS, TOO_MANY_CONTINUATIONS, Provider, Setting, nghttp2

cdef enum:
    # RFC 9113 section 7
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_ERROR = 5
    FRAME_SIZE_ERROR = 6
    ENHANCE_YOUR_CALM = 11
    # section 6.5.2, RFC 8441
    ENABLE_PUSH = 2
    MAX_STREAMS = 3
    INITIAL_WINDOW = 4
    MAX_FIELD_BYTES = 6
    ENABLE_CONNECT = 8
    GOAWAY = 7                   # a type of frames
    FIELD_OVERHEAD = 32          # bytes that RFC 9113 section 6.5.2 counts for each field
    WIDEST = 2147483647          # bytes: the largest window
    # A head that is too large for us is still read, so that its sender is told so: up to so many times the limits. A longer one ends the connection.
    TOLERATED = 4
    FRAME = 16384                # bytes of the largest frame
    SPARE_OUT = 8                # buffers kept to be used again
    LARGEST_SPARE = 131072       # bytes of one

cdef list _spare_out = []


cdef class Limits:

    def __init__(self, *, int max_streams, int window, int max_fields, int max_field_bytes, int max_resets, int max_control_frames,
                 double settings_timeout=10.0):
        self.max_streams = max_streams
        self.window = window
        self.max_fields = max_fields
        self.max_field_bytes = max_field_bytes + FIELD_OVERHEAD * max_fields
        self.max_resets = max_resets
        self.max_control_frames = max_control_frames
        self.settings_timeout = settings_timeout


cdef Session _new(object owner, const SessionEvents *events, Limits limits, bint client):
    cdef Session session = Session.__new__(Session)
    session._owner = owner
    session._events = events
    session._goodbye = session._said = b""
    session.most_fields = TOLERATED * limits.max_fields
    session.most_field_bytes = TOLERATED * limits.max_field_bytes
    session._meter = new_meter(limits.max_resets, limits.max_control_frames, not client)
    session.start(client, session.most_field_bytes // FRAME + 2, 2 * limits.max_resets)
    return session


cdef int _open(Session session, Setting *settings, size_t count, Limits limits) except -1:
    """Say what this side allows. As wide as all streams together: a body that its endpoint does not take holds up no other."""
    cdef long long window = <long long>limits.max_streams * limits.window + limits.window
    if (nghttp2.submit_settings(session.handle, NO_FLAGS, settings, count) != 0
            or nghttp2.set_local_window(session.handle, NO_FLAGS, 0, <int>min(window, <long long>WIDEST)) != 0):
        raise MemoryError()
    return 0


cdef Session server_session(object owner, const SessionEvents *events, Limits limits, bint websockets):
    cdef Session session = _new(owner, events, limits, False)
    cdef Setting settings[4]
    settings[0] = Setting(MAX_STREAMS, limits.max_streams)
    settings[1] = Setting(INITIAL_WINDOW, limits.window)
    settings[2] = Setting(MAX_FIELD_BYTES, limits.max_field_bytes)
    settings[3] = Setting(ENABLE_CONNECT, 1)
    _open(session, settings, 4 if websockets else 3, limits)
    return session


cdef Session client_session(object owner, const SessionEvents *events, Limits limits):
    cdef Session session = _new(owner, events, limits, True)
    cdef Setting settings[3]
    settings[0] = Setting(ENABLE_PUSH, 0)
    settings[1] = Setting(INITIAL_WINDOW, limits.window)
    settings[2] = Setting(MAX_FIELD_BYTES, limits.max_field_bytes)
    _open(session, settings, 3, limits)
    return session


cdef class Session:

    def __init__(self):
        raise TypeError("a session is made by `server_session` or `client_session`")

    # --- input --------------------------------------------------------------------------------------------------------

    cdef int receive(self, char *at, Py_ssize_t size, double now) except -1:
        cdef Py_ssize_t part, used
        self._now = now
        while size > 0 and not self.over and self.handle != NULL:
            part = self._meter.take(at, size, now)
            if part < 0:
                self.terminate(ENHANCE_YOUR_CALM)
                return self._end(True)
            if self.inbox is None:
                self.inbox = take_inbox()
            used = nghttp2.receive(self.handle, <const uint8_t *>at, part)
            if used != part:
                self.inbox = None
                if self.too_much or used == FLOODED or used == TOO_MANY_CONTINUATIONS:
                    self._give_up(ENHANCE_YOUR_CALM)
                    return self._end(True)
                self._give_up(PROTOCOL_ERROR)
                return self._end(False)
            if self.going:
                self._look()
            self._tell_all()
            at += part
            size -= part
        return 0

    cdef void _look(self):
        """A GOAWAY was sent, or came: is all said that there is to say?"""
        if not self._ended and not nghttp2.wants_read(self.handle) and not nghttp2.wants_write(self.handle):
            self._ended = True
            self.inbox.add(OVER, 0)

    cdef int _tell_all(self) except -1:
        cdef Event event
        if self._telling:                        # all that came meanwhile is told in its turn
            return 0
        self._telling = True
        while not self.over and self.inbox is not None and self.inbox.next(&event):
            try:
                self._tell(&event)
            except BaseException as fault:       # the other events are of other streams
                self._events.faulted(self._owner, 0 if event.kind in (GOING_AWAY, SETTINGS, OVER) else event.stream, fault)
        self._telling = False
        self._tidy()
        return 0

    cdef void _tidy(self):
        """Keep no more than what is to be told later."""
        if self.inbox is None:
            return
        if self.over:
            self.inbox.clear()
        if self.inbox.tidy(self._meter.is_inside()):
            give_back(self.inbox)
            self.inbox = None

    cdef int _tell(self, Event *event) except -1:
        if event.kind == DATA:
            self._events.data(self._owner, event.stream, event.at, event.size, event.end)
        elif event.kind == REQUEST:
            self._last = event.stream
            self._events.request(self._owner, event.stream, self.inbox.fields(event), event.end)
        elif event.kind == RESPONSE:
            self._events.response(self._owner, event.stream, self.inbox.fields(event), event.end)
        elif event.kind == CLOSED:
            self._tell_closed(event)
        elif event.kind == RESET:
            self._reset = event.stream
        elif event.kind == TRAILERS:
            self._events.trailers(self._owner, event.stream, self.inbox.fields(event))
        elif event.kind == INTERIM:
            self._events.interim(self._owner, event.stream, self.inbox.fields(event))
        elif event.kind == GOING_AWAY:
            self._events.going_away(self._owner, event.stream, event.code)
        elif event.kind == SETTINGS:
            self._events.settings(self._owner)
        else:
            self._end(self.code == ENHANCE_YOUR_CALM)
        return 0

    cdef int _tell_closed(self, Event *event) except -1:
        # The engine took it back, for the peer broke a rule in it (CVE-2025-8671): none of these codes is ours.
        self.malformed = event.stream != self._reset and event.code in (
            PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_ERROR, FRAME_SIZE_ERROR)
        if self.malformed and not self._meter.count_reset(self._now):
            self.terminate(ENHANCE_YOUR_CALM)
            return self._end(True)
        self._events.closed(self._owner, event.stream, event.code)
        return 0

    cdef int _end(self, bint flood) except -1:
        if not self.over:
            self.over = True
            self._events.broken(self._owner, flood)
        return 0

    cdef int _give_up(self, unsigned code) except -1:
        """The engine cannot be used any more. Its last frame is written here (RFC 9113 section 6.8)."""
        self.stop()
        self._goodbye = struct.pack(">HBBBLLL", 0, 8, GOAWAY, 0, 0, self._last, code)
        return 0

    cdef bint is_inside(self):
        return self._meter.is_inside()

    # --- output -------------------------------------------------------------------------------------------------------

    cdef Slice output(self):
        cdef Buffer out
        self._drop_given()
        if self.handle == NULL:
            self._said, self._goodbye = self._goodbye, b""
            return Slice(self._said, len(self._said))
        if self.out is None or self.out.size == 0:
            self._drain()
        out = self.out
        if self._failed:
            self._give_up(INTERNAL_ERROR)
            self._end(False)
            return self.output()
        if out.size:
            self.given = out.size
            return Slice(out.data, out.size)
        if len(_spare_out) < SPARE_OUT and out.capacity <= LARGEST_SPARE:
            _spare_out.append(out)
        self.out = None
        if not self.over:
            self._tell_all()
            if self.over:                        # the GOAWAY
                return self.output()
        return Slice(NULL, 0)

    cdef void _drop_given(self) noexcept:
        if self.given:
            self.out.clear()
            self.given = 0

    cdef void _drain(self):
        """Have the engine write frames, as far as windows and `ROOM` allow."""
        self._drop_given()
        if self.out is None:
            self.out = <Buffer>_spare_out.pop() if _spare_out else Buffer.__new__(Buffer)
        if self.inbox is None:
            self.inbox = take_inbox()
        if nghttp2.send(self.handle) != 0:
            self._failed = True
        elif self.going:
            self._look()

    cdef bint _is_open(self) noexcept:
        return self.handle != NULL and not self._ended

    cdef Body *_body(self, int stream) noexcept:
        """NULL: it has none, or not any more."""
        cdef Body *body = self.newest
        if not self._is_open():
            return NULL
        if body != NULL and body.stream == stream:
            return body
        body = <Body *>nghttp2.stream_data(self.handle, stream)
        if body == NULL and self.client:        # of a request that waits for the peer to allow another stream
            body = self.bodies
            while body != NULL and body.stream != stream:
                body = body.after
        return body

    cdef bint send_head(self, int stream, FieldsOut fields, bint end):
        cdef Body *body
        cdef Provider provider
        if not self._is_open():
            return False
        if end:
            return nghttp2.submit_response(self.handle, stream, fields.at, fields.count, NULL) == 0
        if nghttp2.stream_data(self.handle, stream) != NULL:
            return False                         # it has a response
        body = new_body(&self.bodies)
        if body == NULL:
            return False
        body.stream = stream
        provide(&provider, body)
        if nghttp2.set_stream_data(self.handle, stream, body) == 0:
            if nghttp2.submit_response(self.handle, stream, fields.at, fields.count, &provider) == 0:
                self.newest = body
                return True
            nghttp2.set_stream_data(self.handle, stream, NULL)
        self.forget(body)
        return False

    cdef bint send_interim(self, int stream, FieldsOut fields):
        if not self._is_open():
            return False
        return nghttp2.submit_headers(self.handle, NO_FLAGS, stream, NULL, fields.at, fields.count, NULL) == 0

    cdef bint send_data(self, int stream, const char *at, Py_ssize_t size, bint end):
        cdef Body *body = self._body(stream)
        if body == NULL or body.ended:
            return False
        self.queued_bytes += size
        body.ended = end
        if size and waiting(body):
            if not append(body, at, size):
                self._failed = True
                return False
            self._resume(body)
        else:
            body.lent = at
            body.lent_size = size
            self.lending = body
            self._resume(body)
            if self.out is None or self.out.size - self.given < ROOM:
                self._drain()
            if self.lending != NULL and not keep_lent(body):
                self._failed = True
            self.lending = NULL
        self._meter.sent(size)
        return True

    cdef void _resume(self, Body *body) noexcept:
        if body.deferred:
            body.deferred = False
            nghttp2.resume_data(self.handle, body.stream)

    cdef bint send_trailers(self, int stream, list fields):
        cdef Body *body = self._body(stream)
        if body == NULL or body.ended or not keep_trailers(body, fields_of(fields)):
            return False
        body.ended = True
        self._resume(body)
        return True

    cdef bint end(self, int stream):
        cdef Body *body = self._body(stream)
        if body == NULL or body.ended:
            return False
        body.ended = True
        self._resume(body)
        return True

    cdef int max_streams(self):
        if self.handle == NULL:
            return 0
        return <int>min(<long long>nghttp2.remote_setting(self.handle, MAX_STREAMS), <long long>WIDEST)

    cdef bint takes_websockets(self):
        return self.handle != NULL and nghttp2.remote_setting(self.handle, ENABLE_CONNECT) == 1

    cdef int send_request(self, FieldsOut fields, bint end):
        cdef Body *body = NULL
        cdef Provider provider
        cdef int stream
        if not self._is_open() or not nghttp2.may_request(self.handle):
            return -1
        if end:
            stream = nghttp2.submit_request(self.handle, NULL, fields.at, fields.count, NULL, NULL)
            return stream if stream > 0 else -1
        body = new_body(&self.bodies)
        if body == NULL:
            return -1
        provide(&provider, body)
        stream = nghttp2.submit_request(self.handle, NULL, fields.at, fields.count, &provider, body)
        if stream < 0:
            self.forget(body)
            return -1
        body.stream = stream
        self.newest = body
        return stream

    cdef void reset(self, int stream, unsigned code):
        if self._is_open():
            nghttp2.submit_reset(self.handle, NO_FLAGS, stream, code)

    cdef void consumed(self, int stream, Py_ssize_t size):
        if size and self._is_open():
            nghttp2.consume(self.handle, stream, size)

    cdef Py_ssize_t queued(self, int stream):
        cdef Body *body = self._body(stream)
        return 0 if body == NULL else waiting(body)

    cdef Py_ssize_t all_queued(self):
        return self.queued_bytes

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void announce_end(self):
        if self._is_open():
            nghttp2.submit_shutdown_notice(self.handle)

    cdef void end_requests(self):
        if self._is_open():
            nghttp2.submit_goaway(self.handle, NO_FLAGS, nghttp2.last_processed(self.handle), 0, NULL, 0)

    cdef void terminate(self, unsigned code):
        if self._is_open():
            nghttp2.terminate(self.handle, code)
            self._ended = True

    cdef int give_up_settings(self) except -1:
        self.terminate(SETTINGS_TIMEOUT)
        return self._end(False)

    cdef void release(self):
        self.over = True
        self._owner = None

    cdef void ping(self):
        if self._is_open():
            nghttp2.submit_ping(self.handle, NO_FLAGS, NULL)
