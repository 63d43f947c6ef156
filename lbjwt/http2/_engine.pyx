"""
What libnghttp2 is given and gives while it works: each function here is called by it, and only notes or copies. Nothing else may be asked of it then.
"""

import os

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memcpy, memset

from lbjwt.http2._body cimport first_bytes, free_body, take_bytes, waiting
from lbjwt.http2._inbox cimport (
    CLOSED, DATA as DATA_CAME, GOING_AWAY, INTERIM, REQUEST, RESET, RESPONSE, SETTINGS as SETTINGS_CAME, TRAILERS, Event, EventKind,
)
from lbjwt.http2._nghttp2 cimport (
    ACK, CALL_FAILED, CALLBACK_FAILED, DATA, DEFERRED, END_STREAM, EOF, GOAWAY, HEADERS, NO_COPY, NO_END_STREAM, NO_FLAGS, OF_REQUEST,
    RST_STREAM, SESSION_CLOSING, SETTINGS, STREAM_CLOSED, STREAM_CLOSING, STREAM_SHUT, WOULD_BLOCK, Frame, Source, nghttp2,
)

cdef enum:
    FRAME_HEAD = 9               # bytes (RFC 9113 section 4.1)
    INTERNAL_ERROR = 2           # section 7
    LONGEST_HEAD = 1 << 24       # bytes: above every limit of heads, which are judged before they are sent
    GLITCHES = 10000             # suspicious frames of a peer at once …
    GLITCH_RATE = 330            # … and a second


# --- input --------------------------------------------------------------------------------------------------------------

cdef int _on_begin_fields(void *handle, const Frame *frame, void *owner) noexcept:
    (<Engine>owner).inbox.begin_head()
    return 0


cdef int _on_field(
        void *handle, const Frame *frame, const uint8_t *name, size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
        void *owner) noexcept:
    cdef Engine engine = <Engine>owner
    if engine.inbox.add_field(name, name_size, value, value_size, engine.most_fields, engine.most_field_bytes):
        return 0
    engine.too_much = True
    return CALLBACK_FAILED


cdef int _on_invalid_field(
        void *handle, const Frame *frame, const uint8_t *name, size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
        void *owner) noexcept:
    return CALL_FAILED                           # the stream is reset: to drop the field would change what the head says


cdef int _on_chunk(void *handle, uint8_t flags, int32_t stream, const uint8_t *data, size_t size, void *owner) noexcept:
    cdef Event *event = (<Engine>owner).inbox.add(DATA_CAME, stream)
    if event == NULL:
        return CALLBACK_FAILED
    event.at = <const char *>data
    event.size = size
    (<Engine>owner).chunk = True
    return 0


cdef int _on_frame(void *handle, const Frame *frame, void *owner) noexcept:
    cdef Engine engine = <Engine>owner
    cdef Event *event
    cdef bint end = frame.head.flags & END_STREAM
    if frame.head.kind == HEADERS:
        event = engine.inbox.add_head(_kind_of_head(engine, frame), frame.head.stream)
    elif frame.head.kind == DATA:
        event = engine.inbox.last() if engine.chunk else NULL
        engine.chunk = False
        if event == NULL or event.kind != DATA_CAME or event.stream != frame.head.stream:      # an empty frame, or its chunks were told
            event = engine.inbox.add(DATA_CAME, frame.head.stream)
    elif frame.head.kind == RST_STREAM:
        event = engine.inbox.add(RESET, frame.head.stream)
    elif frame.head.kind == SETTINGS and frame.head.flags & ACK:
        engine.acknowledged = True
        return 0
    elif frame.head.kind == SETTINGS:
        event = engine.inbox.add(SETTINGS_CAME, 0)
    elif frame.head.kind == GOAWAY:
        engine.going = True
        engine.code = frame.goaway.code
        event = engine.inbox.add(GOING_AWAY, frame.goaway.last_stream)
        if event != NULL:
            event.code = frame.goaway.code
        return 0 if event != NULL else CALLBACK_FAILED
    else:
        return 0
    if event == NULL:
        return CALLBACK_FAILED
    event.end = end
    return 0


cdef EventKind _kind_of_head(Engine engine, const Frame *frame) noexcept:
    cdef bint interim = False
    if frame.headers.category == OF_REQUEST:
        return REQUEST
    if not engine.inbox.names_status(&interim):
        return TRAILERS
    return INTERIM if interim else RESPONSE


cdef int _on_close(void *handle, int32_t stream, uint32_t code, void *owner) noexcept:
    cdef Engine engine = <Engine>owner
    cdef Body *body = <Body *>nghttp2.stream_data(handle, stream)
    cdef Event *event
    if body != NULL:
        engine.forget(body)
    event = engine.inbox.add(CLOSED, stream)
    if event == NULL:
        return CALLBACK_FAILED
    event.code = code
    return 0


# --- output -------------------------------------------------------------------------------------------------------------

cdef bint _make_room(Buffer out, Py_ssize_t size) noexcept:
    if size <= out.capacity - out.size:
        return True
    try:
        out.reserve(size)
    except MemoryError:
        return False
    return True


cdef Py_ssize_t _on_send(void *handle, const uint8_t *data, size_t size, int flags, void *owner) noexcept:
    cdef Buffer out = (<Engine>owner).out
    if out.size >= ROOM:
        return WOULD_BLOCK
    if not _make_room(out, size):
        return CALLBACK_FAILED
    memcpy(out.data + out.size, data, size)
    out.size += size
    return size


cdef int _on_send_data(void *handle, Frame *frame, const uint8_t *head, size_t size, Source *source, void *owner) noexcept:
    """A whole DATA frame, whose payload `_read` has promised."""
    cdef Engine engine = <Engine>owner
    cdef Buffer out = engine.out
    cdef Body *body = <Body *>source.at
    if out.size >= ROOM:
        return WOULD_BLOCK
    if not _make_room(out, FRAME_HEAD + size):
        return CALLBACK_FAILED
    memcpy(out.data + out.size, head, FRAME_HEAD)
    memcpy(out.data + out.size + FRAME_HEAD, first_bytes(body), size)
    out.size += FRAME_HEAD + size
    take_bytes(body, size)
    engine.queued_bytes -= size
    return 0


cdef Py_ssize_t _read(void *handle, int32_t stream, uint8_t *out, size_t room, uint32_t *flags, Source *source, void *owner) noexcept:
    cdef Body *body = <Body *>source.at
    cdef Py_ssize_t size = min(waiting(body), <Py_ssize_t>room)
    if size == 0 and not body.ended:
        body.deferred = True
        return DEFERRED
    if size:
        flags[0] |= NO_COPY
    if body.ended and size == waiting(body):
        flags[0] |= EOF
        if body.trailers != NULL:
            flags[0] |= NO_END_STREAM
            if nghttp2.submit_trailer(handle, stream, body.trailers, body.trailer_count) != 0:
                return CALLBACK_FAILED
    return size


cdef int _on_frame_sent(void *handle, const Frame *frame, void *owner) noexcept:
    if frame.head.kind == GOAWAY:
        (<Engine>owner).going = True
        (<Engine>owner).code = frame.goaway.code
    return 0


cdef int _on_frame_not_sent(void *handle, const Frame *frame, int error, void *owner) noexcept:
    """A head that cannot be sent ends its stream. One of a request has no stream yet, and the engine tells of its end."""
    if (frame.head.kind != HEADERS or frame.headers.category == OF_REQUEST
            or error in (STREAM_CLOSED, STREAM_CLOSING, STREAM_SHUT, SESSION_CLOSING)):
        return 0
    nghttp2.submit_reset(handle, NO_FLAGS, frame.head.stream, INTERNAL_ERROR)
    return 0


cdef void _on_random(uint8_t *out, size_t size) noexcept:
    """A seed, so that a peer cannot choose numbers of streams that fall together in the engine's table."""
    cdef bytes seed
    memset(out, 0, size)
    try:
        seed = os.urandom(size)
        memcpy(out, <const char *>seed, size)
    except BaseException:
        pass                                     # as without this function


# --- the engine ---------------------------------------------------------------------------------------------------------

cdef void *_callbacks = NULL


cdef int _make_callbacks() except -1:
    global _callbacks
    if nghttp2.callbacks_new(&_callbacks) != 0:
        raise MemoryError()
    nghttp2.set_begin_fields(_callbacks, _on_begin_fields)
    nghttp2.set_field(_callbacks, _on_field)
    nghttp2.set_invalid_field(_callbacks, _on_invalid_field)
    nghttp2.set_chunk(_callbacks, _on_chunk)
    nghttp2.set_frame(_callbacks, _on_frame)
    nghttp2.set_close(_callbacks, _on_close)
    nghttp2.set_send(_callbacks, _on_send)
    nghttp2.set_send_data(_callbacks, _on_send_data)
    nghttp2.set_frame_sent(_callbacks, _on_frame_sent)
    nghttp2.set_frame_not_sent(_callbacks, _on_frame_not_sent)
    nghttp2.set_random(_callbacks, _on_random)
    return 0


_make_callbacks()


cdef void provide(Provider *provider, Body *body) noexcept:
    provider.source.at = body
    provider.read = _read


cdef class Engine:

    def __dealloc__(self):
        self.stop()

    cdef int start(self, bint client, size_t most_continuations, uint64_t resets) except -1:
        cdef void *option = NULL
        cdef int failed
        if nghttp2.option_new(&option) != 0:
            raise MemoryError()
        nghttp2.no_auto_window_update(option, 1)
        nghttp2.max_send_header_block_length(option, LONGEST_HEAD)
        nghttp2.max_continuations(option, most_continuations)
        nghttp2.stream_reset_rate_limit(option, resets, resets)
        nghttp2.glitch_rate_limit(option, GLITCHES, GLITCH_RATE)
        self.client = client
        if client:
            failed = nghttp2.client_new(&self.handle, _callbacks, <void *>self, option)
        else:
            failed = nghttp2.server_new(&self.handle, _callbacks, <void *>self, option)
        nghttp2.option_del(option)
        if failed:
            self.handle = NULL
            raise MemoryError()
        return 0

    cdef void stop(self) noexcept:
        if self.handle != NULL:
            nghttp2.delete(self.handle)
            self.handle = NULL
        while self.bodies != NULL:
            free_body(&self.bodies, self.bodies)
        self.newest = self.lending = NULL
        self.queued_bytes = 0
        self.out = None
        self.given = 0

    cdef void forget(self, Body *body) noexcept:
        self.queued_bytes -= waiting(body)
        if body == self.newest:
            self.newest = NULL
        if body == self.lending:
            self.lending = NULL
        free_body(&self.bodies, body)
