"""
One HTTP/2 connection without its socket. The engine is `ngh2`, libnghttp2 for Python: frames, HPACK, the states of streams, flow control, and the rules of
RFC 9113 that need no knowledge of requests. No other module uses it, so another engine means another version of this file.

Floods are counted here, a second at a time: frames that cost their sender nothing and us something. The engine has limits of its own for CONTINUATION
frames (CVE-2024-27316), for acknowledgements that wait, and for settings in one frame.
"""

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory

import ngh2

cdef enum:
    ENHANCE_YOUR_CALM = 11
    SETTINGS_MAX_STREAMS = 3
    SETTINGS_INITIAL_WINDOW = 4
    SETTINGS_MAX_FIELD_BYTES = 6
    SETTINGS_ENABLE_CONNECT = 8
    SETTINGS_ENABLE_PUSH = 2
    FIELD_OVERHEAD = 32          # bytes that RFC 9113 section 6.5.2 counts for each field
    WIDEST = 2147483647          # bytes: the largest window
    LONGEST_HEAD = 1 << 24       # bytes: above every limit of heads, which are judged before they are sent

cdef object _Request = ngh2.RequestReceived
cdef object _Response = ngh2.ResponseReceived
cdef object _Interim = ngh2.InformationalResponseReceived
cdef object _Data = ngh2.DataReceived
cdef object _Trailers = ngh2.TrailersReceived
cdef object _Closed = ngh2.StreamClosed
cdef object _Reset = ngh2.StreamReset
cdef object _Settings = ngh2.SettingsReceived
cdef object _GoAway = ngh2.GoAwayReceived
cdef object _Over = ngh2.ConnectionClosed
cdef object _Error = ngh2.NGH2Error
cdef object _Flood = ngh2.DenialOfServiceError
cdef frozenset _BREACHES = frozenset({1, 3, 5, 6})      # PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR
cdef frozenset _CONTROL = frozenset({
    ngh2.PingReceived, ngh2.PingAcknowledged, ngh2.SettingsReceived, ngh2.SettingsAcknowledged, ngh2.PriorityUpdateReceived, ngh2.AltSvcReceived,
    ngh2.OriginReceived, ngh2.GoAwayReceived})


cdef class Limits:

    def __init__(self, *, int max_streams, int window, int max_fields, int max_field_bytes, int max_resets, int max_control_frames):
        self.max_streams = max_streams
        self.window = window
        self.max_fields = max_fields
        self.max_field_bytes = max_field_bytes + FIELD_OVERHEAD * max_fields
        self.max_resets = max_resets
        self.max_control_frames = max_control_frames


cdef Session _new(object owner, const SessionEvents *events, Limits limits, object role):
    cdef Session session = Session.__new__(Session)
    session._owner = owner
    session._events = events
    session._limits = limits
    session._engine = engine = ngh2.Connection(role, ngh2.Configuration(
        auto_window_update=False, max_send_header_block_length=LONGEST_HEAD, max_inbound_header_count=limits.max_fields, max_inbound_header_list_size=limits.max_field_bytes,
        stream_reset_rate_limit=(2 * limits.max_resets, limits.max_resets)))
    session._feed = engine.receive_data
    session._take_events = engine.events
    session._output = engine.data_to_send
    session._queued = engine.queued_body_size
    return session


cdef Session server_session(object owner, const SessionEvents *events, Limits limits, bint websockets):
    cdef Session session = _new(owner, events, limits, ngh2.Role.SERVER)
    settings = {SETTINGS_MAX_STREAMS: limits.max_streams, SETTINGS_INITIAL_WINDOW: limits.window, SETTINGS_MAX_FIELD_BYTES: limits.max_field_bytes}
    if websockets:
        settings[SETTINGS_ENABLE_CONNECT] = 1
    session._engine.initiate_connection(settings)
    # As wide as all streams together: a body that its endpoint does not take holds up no other.
    session._engine.set_local_window_size(min(WIDEST, limits.max_streams * limits.window + limits.window))
    return session


cdef Session client_session(object owner, const SessionEvents *events, Limits limits):
    cdef Session session = _new(owner, events, limits, ngh2.Role.CLIENT)
    session._engine.initiate_connection(
        {SETTINGS_ENABLE_PUSH: 0, SETTINGS_INITIAL_WINDOW: limits.window, SETTINGS_MAX_FIELD_BYTES: limits.max_field_bytes})
    session._engine.set_local_window_size(min(WIDEST, limits.max_streams * limits.window + limits.window))
    return session


cdef class Session:

    def __init__(self):
        raise TypeError("a session is made by `server_session` or `client_session`")

    # --- input --------------------------------------------------------------------------------------------------------

    cdef int receive(self, char *at, Py_ssize_t size, double now) except -1:
        cdef bint flood = False
        if self.over:
            return 0
        self._now = now
        try:
            self._feed(PyMemoryView_FromMemory(at, size, PyBUF_READ))
        except _Flood:
            flood = True
        except _Error:
            flood = False
            self.over = True
        for event in self._take_events():
            if self.over and not flood:
                break
            self._tell(event, now)
        if flood or self.over or not self._engine.want_read:
            self.over = True
            self._events.broken(self._owner, flood)
        return 0

    cdef int _tell_all(self) except -1:
        for event in self._take_events():
            if self.over:
                break
            self._tell(event, self._now)
            if self.over and type(event) is _Over:
                self._events.broken(self._owner, False)
        return 0

    cdef int _tell(self, object event, double now) except -1:
        cdef object kind = type(event)
        if kind is _Request:
            self._events.request(self._owner, event.stream_id, event.headers, event.end_stream)
        elif kind is _Response:
            self._events.response(self._owner, event.stream_id, event.headers, event.end_stream)
        elif kind is _Data:
            if not event.data and not event.end_stream and self._is_too_much(event, now):
                return 0
            self._events.data(self._owner, event.stream_id, event.data, event.end_stream)
        elif kind is _Trailers:
            self._events.trailers(self._owner, event.stream_id, event.headers)
        elif kind is _Reset:
            self._reset = event.stream_id
            self._is_too_much(event, now)
        elif kind is _Closed:
            # The engine took it back: none of these codes is ours.
            self.malformed = event.error_code in _BREACHES and event.stream_id != self._reset
            if not self.malformed or not self._is_too_much(event, now):
                self._events.closed(self._owner, event.stream_id, event.error_code)
        elif kind is _Interim:
            self._events.interim(self._owner, event.stream_id, event.headers)
        elif kind is _GoAway:
            self._events.going_away(self._owner, event.last_stream_id, event.error_code)
        elif kind is _Over:
            self.over = True
        elif kind in _CONTROL:
            if not self._is_too_much(event, now) and kind is _Settings:
                self._events.settings(self._owner)
        return 0

    cdef bint _is_too_much(self, object event, double now):
        """Count a frame that may be one of a flood. True: it was one too many, and the connection ends."""
        if now - self._second >= 1.0:
            self._second = now
            self._resets = self._control_frames = 0
        if type(event) in _CONTROL or type(event) is _Data:
            self._control_frames += 1
        else:
            self._resets += 1
        if self._resets <= self._limits.max_resets and self._control_frames <= self._limits.max_control_frames:
            return False
        self.over = True
        self.terminate(ENHANCE_YOUR_CALM)
        self._events.broken(self._owner, True)
        return True

    # --- output -------------------------------------------------------------------------------------------------------

    cdef bytes output(self, Py_ssize_t room):
        cdef bytes data = b""
        try:
            data = self._output(room)
        except _Error:
            self.over = True
        if not data and not self.over:
            self._tell_all()
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
        return True

    cdef bint send_trailers(self, int stream, list fields):
        return self._send(self._engine.send_trailers, (stream, fields))

    cdef bint end(self, int stream):
        return self._send(self._engine.end_stream, (stream,))

    cdef bint can_open(self):
        return self._engine.can_send_request

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

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void announce_end(self):
        self._send(self._engine.send_shutdown_notice, ())

    cdef void end_requests(self):
        self._send(self._engine.send_goaway, ())

    cdef void terminate(self, unsigned code):
        self._send(self._engine.terminate_connection, (code,))

    cdef void ping(self):
        self._send(self._engine.ping, ())
