from libc.stdint cimport uint32_t, uint64_t

from lbjwt.http1._buffer cimport Buffer, Slice


cpdef enum FrameType:
    HAPROXY_HELLO = 1
    HAPROXY_DISCONNECT = 2
    NOTIFY = 3
    AGENT_HELLO = 101
    AGENT_DISCONNECT = 102
    ACK = 103


cpdef enum SpopStatus:
    # Why a connection ends (SPOE.txt section 3.5).
    NORMAL = 0
    TIMEOUT = 2
    TOO_BIG = 3
    INVALID = 4
    NO_VERSION = 5
    NO_MAX_FRAME_SIZE = 6
    NO_CAPABILITIES = 7
    UNSUPPORTED_VERSION = 8
    BAD_MAX_FRAME_SIZE = 9
    NO_FRAGMENTATION = 10
    NO_RESOURCES = 13


cdef enum DataType:
    NULL_DATA = 0
    BOOLEAN = 1
    INT32 = 2
    UINT32 = 3
    INT64 = 4
    UINT64 = 5
    IPV4 = 6
    IPV6 = 7
    STRING = 8
    BINARY = 9


cdef enum:
    LENGTH = 4                   # bytes before each frame: its size
    MIN_FRAME = 256              # bytes that both sides have to take
    MAX_FRAME = 65536            # bytes of a frame that is read: four times what HAProxy sends while tune.bufsize has its default


cdef struct Data:
    DataType type
    bint truth                   # of a BOOLEAN
    uint64_t number              # of an integer
    Slice text                   # of a STRING, BINARY, IPV4 or IPV6


cdef struct Frame:
    int type
    uint64_t stream
    uint64_t number
    Slice payload


cdef struct Hello:
    uint32_t max_frame           # bytes of a frame that HAProxy takes
    bint is_check                # a health check: HAProxy closes the connection after the answer


# Read what stands at the beginning of `rest`, which then begins behind it. False: it is malformed, or not whole.
cdef bint take_varint(Slice *rest, uint64_t *value) noexcept
cdef bint take_text(Slice *rest, Slice *text) noexcept
cdef bint take_data(Slice *rest, Data *data) noexcept

# Bytes of the frame that begins here, its length included; 0: they are not known yet; -1: more than MAX_FRAME.
cdef Py_ssize_t frame_size(const char *at, Py_ssize_t size) noexcept
# A frame without its length. A result other than NORMAL ends the connection.
cdef SpopStatus read_frame(Slice text, Frame *frame) noexcept
cdef SpopStatus read_hello(Slice payload, Hello *hello) noexcept

cdef int put_varint(Buffer out, uint64_t value) except -1
cdef int put_text(Buffer out, const char *at, Py_ssize_t size) except -1
# Begin a frame with an empty length; the result is where it starts. `end_frame` fills the length in.
cdef Py_ssize_t begin_frame(Buffer out, FrameType type, uint64_t stream, uint64_t number) except -1
cdef int end_frame(Buffer out, Py_ssize_t start) except -1
cdef int put_hello(Buffer out, uint32_t max_frame) except -1
cdef int put_disconnect(Buffer out, SpopStatus status) except -1
