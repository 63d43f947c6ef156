"""
One HTTP/2 connection without its socket. The engine is `ngh2`, libnghttp2 for Python: frames, HPACK, the states of streams, flow control, and the
rules of RFC 9113 that need no knowledge of requests. No other module uses it, so another engine means another version of this file.

Floods are counted before the engine reads them (`_meter`), but for streams that end because the peer broke a rule in them: the engine finds these. It
has limits of its own for CONTINUATION frames (CVE-2024-27316), for acknowledgements that wait, and for settings in one frame. Past one of those it
cannot be used any more, not even for the GOAWAY that says why, which is written here.
"""

import struct

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory

import ngh2

from lbjwt.http2._meter cimport new_meter

cdef enum:
    GOAWAY = 7                   # a type of frames
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    SETTINGS_TIMEOUT = 4
    ENHANCE_YOUR_CALM = 11
    SETTINGS_MAX_STREAMS = 3
    SETTINGS_INITIAL_WINDOW = 4
    SETTINGS_MAX_FIELD_BYTES = 6
    SETTINGS_ENABLE_CONNECT = 8
    SETTINGS_ENABLE_PUSH = 2
    FIELD_OVERHEAD = 32          # bytes that RFC 9113 section 6.5.2 counts for each field
    WIDEST = 2147483647          # bytes: the largest window
    # A head that is too large for us is still read, so that its sender is told so: up to so many times the limits. A longer one ends the connection.
    TOLERATED = 4
    FRAME = 16384                # bytes of the largest frame
    LONGEST_HEAD = 1 << 24       # bytes: above every limit of heads, which are judged before they are sent

cdef object _SERVER = ngh2.Role.SERVER
cdef object _Request = ngh2.RequestReceived
cdef object _Response = ngh2.ResponseReceived
cdef object _Interim = ngh2.InformationalResponseReceived
cdef object _Data = ngh2.DataReceived
cdef object _Trailers = ngh2.TrailersReceived
cdef object _Closed = ngh2.StreamClosed
cdef object _Reset = ngh2.StreamReset
cdef object _Settings = ngh2.SettingsReceived
cdef object _Acknowledged = ngh2.SettingsAcknowledged
cdef object _GoAway = ngh2.GoAwayReceived
cdef object _Over = ngh2.ConnectionClosed
cdef object _Error = ngh2.NGH2Error
cdef object _Flood = ngh2.DenialOfServiceError
cdef frozenset _BREACHES = frozenset({1, 3, 5, 6})      # PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR


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


cdef Session _new(object owner, const SessionEvents *events, Limits limits, object role):
    cdef Session session = Session.__new__(Session)
    cdef Py_ssize_t most = TOLERATED * limits.max_field_bytes
    session._owner = owner
    session._events = events
    session._limits = limits
    session._meter = new_meter(limits.max_resets, limits.max_control_frames, role is _SERVER)
    session._engine = engine = ngh2.Connection(role, ngh2.Configuration(
        auto_window_update=False, max_send_header_block_length=LONGEST_HEAD, max_inbound_header_count=TOLERATED * limits.max_fields,
        max_inbound_header_list_size=most, max_continuations=most // FRAME + 2,
        stream_reset_rate_limit=(2 * limits.max_resets, 2 * limits.max_resets)))
    session._feed = engine.receive_data
    session._take_events = engine.events
    session._output = engine.data_to_send
    session._queued = engine.queued_body_size
    return session


cdef Session server_session(object owner, const SessionEvents *events, Limits limits, bint websockets):
    cdef Session session = _new(owner, events, limits, _SERVER)
    settings = {SETTINGS_MAX_STREAMS: limits.max_streams, SETTINGS_INITIAL_WINDOW: limits.window, SETTINGS_MAX_FIELD_BYTES: limits.max_field_bytes}
    if websockets:
        settings[SETTINGS_ENABLE_CONNECT] = 1
    session._engine.initiate_connection(settings)
    # As wide as all streams together: a body that its endpoint does not take holds up no other.
    session._widen(limits.max_streams * limits.window + limits.window)
    return session


cdef Session client_session(object owner, const SessionEvents *events, Limits limits):
    cdef Session session = _new(owner, events, limits, ngh2.Role.CLIENT)
    session._engine.initiate_connection(
        {SETTINGS_ENABLE_PUSH: 0, SETTINGS_INITIAL_WINDOW: limits.window, SETTINGS_MAX_FIELD_BYTES: limits.max_field_bytes})
    session._widen(limits.max_streams * limits.window + limits.window)
    return session


cdef class Session:

    def __init__(self):
        raise TypeError("a session is made by `server_session` or `client_session`")

    # --- input --------------------------------------------------------------------------------------------------------

    cdef int receive(self, char *at, Py_ssize_t size, double now) except -1:
        cdef Py_ssize_t part
        self._now = now
        while size > 0 and not self.over:
            part = self._meter.take(at, size, now)
            if part < 0:
                self.terminate(ENHANCE_YOUR_CALM)
                return self._end(True)
            try:
                self._feed(PyMemoryView_FromMemory(at, part, PyBUF_READ))
            except _Flood:
                self._give_up(ENHANCE_YOUR_CALM)
                return self._end(True)
            except _Error:
                self._give_up(PROTOCOL_ERROR)
                return self._end(False)
            self._tell_all()
            at += part
            size -= part
        return 0

    cdef int _tell_all(self) except -1:
        for event in self._take_events():
            if self.over:
                return 0
            try:
                self._tell(event)
            except BaseException as fault:       # the other events are of other streams
                self._events.faulted(self._owner, getattr(event, "stream_id", 0), fault)
        return 0

    cdef int _tell(self, object event) except -1:
        cdef object kind = type(event)
        cdef int stream
        if kind is _Data:
            self._events.data(self._owner, event.stream_id, event.data, event.end_stream)
        elif kind is _Request:
            self._last = event.stream_id
            self._events.request(self._owner, event.stream_id, event.headers, event.end_stream)
        elif kind is _Response:
            self._events.response(self._owner, event.stream_id, event.headers, event.end_stream)
        elif kind is _Closed:
            stream = event.stream_id
            # The engine took it back, for the peer broke a rule in it (CVE-2025-8671): none of these codes is ours.
            self.malformed = event.error_code in _BREACHES and stream != self._reset
            if self.malformed and not self._meter.count_reset(self._now):
                self.terminate(ENHANCE_YOUR_CALM)
                return self._end(True)
            if not self.malformed:
                # Of a frame that was coming when its stream ended the engine tells nothing, and so nobody gives back its part of the window.
                self._widen(self._meter.part_of(stream))
            self._events.closed(self._owner, stream, event.error_code)
        elif kind is _Reset:
            self._reset = event.stream_id
        elif kind is _Trailers:
            self._events.trailers(self._owner, event.stream_id, event.headers)
        elif kind is _Interim:
            self._events.interim(self._owner, event.stream_id, event.headers)
        elif kind is _GoAway:
            self._events.going_away(self._owner, event.last_stream_id, event.error_code)
        elif kind is _Settings:
            self._events.settings(self._owner)
        elif kind is _Acknowledged:
            self.acknowledged = True
        elif kind is _Over:
            self._end(event.error_code == ENHANCE_YOUR_CALM)
        return 0

    cdef int _end(self, bint flood) except -1:
        if not self.over:
            self.over = True
            self._events.broken(self._owner, flood)
        return 0

    cdef int _give_up(self, unsigned code) except -1:
        """The engine cannot be used any more. Its last frame is written here (RFC 9113 section 6.8)."""
        self._unusable = True
        self._goodbye = struct.pack(">HBBBLLL", 0, 8, GOAWAY, 0, 0, self._last, code)
        return 0

    cdef void _widen(self, Py_ssize_t size):
        if size:
            self._window = min(self._window + size, <Py_ssize_t>WIDEST)
            self._send(self._engine.set_local_window_size, (self._window,))

    cdef bint is_inside(self):
        return self._meter.is_inside()

    # --- output -------------------------------------------------------------------------------------------------------

    cdef bytes output(self, Py_ssize_t room):
        cdef bytes data = b""
        if self._unusable:
            data, self._goodbye = self._goodbye, b""
            return data
        try:
            data = self._output(room)
        except _Error:
            self._give_up(INTERNAL_ERROR)
            self._end(False)
            return self.output(room)
        if not data and not self.over:
            self._tell_all()
            if self.over:                        # the GOAWAY
                return self.output(room)
        return data

    cdef bint _send(self, object call, tuple arguments):
        try:
            call(*arguments)
        except _Error:
            return False
        return True

    cdef bint send_head(self, int stream, list fields, bint end):
        try:
            self._engine.send_response(stream, fields, end_stream=end)
        except _Error:
            return False
        return True

    cdef bint send_interim(self, int stream, list fields):
        return self._send(self._engine.send_informational_response, (stream, fields))

    cdef bint send_data(self, int stream, const char *at, Py_ssize_t size, bint end):
        try:
            self._engine.send_data(stream, PyMemoryView_FromMemory(<char *>at, size, PyBUF_READ), end_stream=end)
        except _Error:
            return False
        self._meter.sent(size)
        return True

    cdef bint send_trailers(self, int stream, list fields):
        return self._send(self._engine.send_trailers, (stream, fields))

    cdef bint end(self, int stream):
        return self._send(self._engine.end_stream, (stream,))

    cdef int max_streams(self):
        return min(<long long>self._engine.remote_settings[SETTINGS_MAX_STREAMS], <long long>WIDEST)

    cdef bint takes_websockets(self):
        return self._engine.remote_settings[SETTINGS_ENABLE_CONNECT] == 1

    cdef int send_request(self, list fields, bint end):
        try:
            return self._engine.send_request(fields, end_stream=end)
        except _Error:
            return -1

    cdef void reset(self, int stream, unsigned code):
        self._send(self._engine.reset_stream, (stream, code))

    cdef void consumed(self, int stream, Py_ssize_t size):
        if size:
            self._send(self._engine.acknowledge_received_data, (size, stream))

    cdef Py_ssize_t queued(self, int stream):
        try:
            return self._queued(stream)
        except _Error:
            return 0

    cdef Py_ssize_t all_queued(self):
        try:
            return self._queued()
        except _Error:
            return 0

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void announce_end(self):
        self._send(self._engine.send_shutdown_notice, ())

    cdef void end_requests(self):
        self._send(self._engine.send_goaway, ())

    cdef void terminate(self, unsigned code):
        self._send(self._engine.terminate_connection, (code,))

    cdef int give_up_settings(self) except -1:
        self.terminate(SETTINGS_TIMEOUT)
        return self._end(False)

    cdef void release(self):
        self.over = True
        self._owner = None

    cdef void ping(self):
        self._send(self._engine.ping, ())
