# What lbjwt calls of libnghttp2, as its nghttp2.h declares it: the wheels of ngh2 have the library, but no header. Names without their prefix.

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t


cdef enum:
    # Types of frames (RFC 9113 section 6)
    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    GOAWAY = 7
    # Flags of frames, and none of them
    NO_FLAGS = 0
    ACK = 1
    END_STREAM = 1
    # What a HEADERS frame is
    OF_REQUEST = 0
    # Flags of a field that is sent: HPACK keeps it out of its table (RFC 7541 section 6.2.3)
    NEVER_INDEXED = 1
    # Flags that `ReadCallback` sets
    EOF = 1
    NO_END_STREAM = 2
    NO_COPY = 4
    # Errors
    WOULD_BLOCK = -504
    DEFERRED = -508
    STREAM_CLOSED = -510
    STREAM_CLOSING = -511
    STREAM_SHUT = -512
    CALL_FAILED = -521           # of one stream
    SESSION_CLOSING = -530
    CALLBACK_FAILED = -902
    FLOODED = -904
    TOO_MANY_CONTINUATIONS = -905


cdef struct NameValue:           # nghttp2_nv
    uint8_t *name
    uint8_t *value
    size_t name_size
    size_t value_size
    uint8_t flags


cdef struct Setting:
    int32_t id
    uint32_t value


cdef struct FrameHead:
    size_t size
    int32_t stream
    uint8_t kind
    uint8_t flags
    uint8_t reserved


cdef struct Priority:
    int32_t stream
    int32_t weight
    uint8_t exclusive


cdef struct HeadersFrame:
    FrameHead head
    size_t padding
    Priority priority
    NameValue *fields
    size_t field_count
    int category


cdef struct GoAwayFrame:
    FrameHead head
    int32_t last_stream
    uint32_t code
    uint8_t *debug_data
    size_t debug_data_size
    uint8_t reserved


cdef union Frame:                # of those that are looked into
    FrameHead head
    HeadersFrame headers
    GoAwayFrame goaway


cdef union Source:
    int descriptor
    void *at


ctypedef Py_ssize_t (*ReadCallback)(
    void *engine, int32_t stream, uint8_t *out, size_t room, uint32_t *flags, Source *source, void *owner) noexcept


cdef struct Provider:            # of a body
    Source source
    ReadCallback read


ctypedef Py_ssize_t (*SendCallback)(void *engine, const uint8_t *data, size_t size, int flags, void *owner) noexcept
ctypedef int (*SendDataCallback)(void *engine, Frame *frame, const uint8_t *head, size_t size, Source *source, void *owner) noexcept
ctypedef int (*FrameCallback)(void *engine, const Frame *frame, void *owner) noexcept
ctypedef int (*NotSentCallback)(void *engine, const Frame *frame, int error, void *owner) noexcept
ctypedef int (*FieldCallback)(
    void *engine, const Frame *frame, const uint8_t *name, size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
    void *owner) noexcept
ctypedef int (*ChunkCallback)(void *engine, uint8_t flags, int32_t stream, const uint8_t *data, size_t size, void *owner) noexcept
ctypedef int (*CloseCallback)(void *engine, int32_t stream, uint32_t code, void *owner) noexcept
ctypedef void (*RandomCallback)(uint8_t *out, size_t size) noexcept


cdef struct Library:
    int (*callbacks_new)(void **callbacks) noexcept
    void (*set_send)(void *callbacks, SendCallback callback) noexcept
    void (*set_send_data)(void *callbacks, SendDataCallback callback) noexcept
    void (*set_frame_sent)(void *callbacks, FrameCallback callback) noexcept
    void (*set_frame_not_sent)(void *callbacks, NotSentCallback callback) noexcept
    void (*set_begin_fields)(void *callbacks, FrameCallback callback) noexcept
    void (*set_field)(void *callbacks, FieldCallback callback) noexcept
    void (*set_invalid_field)(void *callbacks, FieldCallback callback) noexcept
    void (*set_chunk)(void *callbacks, ChunkCallback callback) noexcept
    void (*set_frame)(void *callbacks, FrameCallback callback) noexcept
    void (*set_close)(void *callbacks, CloseCallback callback) noexcept
    void (*set_random)(void *callbacks, RandomCallback callback) noexcept

    int (*option_new)(void **option) noexcept
    void (*option_del)(void *option) noexcept
    void (*no_auto_window_update)(void *option, int value) noexcept
    void (*max_send_header_block_length)(void *option, size_t value) noexcept
    void (*max_continuations)(void *option, size_t value) noexcept
    void (*stream_reset_rate_limit)(void *option, uint64_t burst, uint64_t rate) noexcept
    void (*glitch_rate_limit)(void *option, uint64_t burst, uint64_t rate) noexcept

    int (*server_new)(void **engine, const void *callbacks, void *owner, const void *option) noexcept
    int (*client_new)(void **engine, const void *callbacks, void *owner, const void *option) noexcept
    void (*delete)(void *engine) noexcept
    Py_ssize_t (*receive)(void *engine, const uint8_t *data, size_t size) noexcept
    int (*send)(void *engine) noexcept
    int (*wants_read)(void *engine) noexcept
    int (*wants_write)(void *engine) noexcept
    int (*consume)(void *engine, int32_t stream, size_t size) noexcept
    int (*set_local_window)(void *engine, uint8_t flags, int32_t stream, int32_t size) noexcept
    int (*resume_data)(void *engine, int32_t stream) noexcept
    void *(*stream_data)(void *engine, int32_t stream) noexcept
    int (*set_stream_data)(void *engine, int32_t stream, void *data) noexcept
    uint32_t (*remote_setting)(void *engine, int id) noexcept
    int32_t (*last_processed)(void *engine) noexcept
    int (*may_request)(void *engine) noexcept
    int (*terminate)(void *engine, uint32_t code) noexcept

    int (*submit_settings)(void *engine, uint8_t flags, const Setting *settings, size_t count) noexcept
    int32_t (*submit_request)(
        void *engine, const Priority *priority, const NameValue *fields, size_t count, const Provider *body, void *stream_data) noexcept
    int (*submit_response)(void *engine, int32_t stream, const NameValue *fields, size_t count, const Provider *body) noexcept
    int32_t (*submit_headers)(
        void *engine, uint8_t flags, int32_t stream, const Priority *priority, const NameValue *fields, size_t count, void *stream_data) noexcept
    int (*submit_trailer)(void *engine, int32_t stream, const NameValue *fields, size_t count) noexcept
    int (*submit_reset)(void *engine, uint8_t flags, int32_t stream, uint32_t code) noexcept
    int (*submit_ping)(void *engine, uint8_t flags, const uint8_t *data) noexcept
    int (*submit_goaway)(void *engine, uint8_t flags, int32_t last_stream, uint32_t code, const uint8_t *data, size_t size) noexcept
    int (*submit_shutdown_notice)(void *engine) noexcept


cdef Library nghttp2
