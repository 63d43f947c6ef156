"""
SPOP, the protocol of HAProxy's SPOE filter, version 2.0: frames, numbers, typed data, and the two handshakes. Knows nothing of requests or verdicts.

HAProxy sends one question (NOTIFY) on a connection and waits for its answer (ACK): we announce neither pipelining nor fragmentation. Integers are in
HAProxy's own variable-length encoding, which is not that of Protocol Buffers. Nothing here raises but MemoryError.

Source: SPOE.txt of HAProxy, section 3.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memcmp

cdef enum:
    FINAL = 1                    # flag of a frame: it is the whole payload, or the last part of it
    ABORT = 2                    # flag of a frame: forget what came before
    TRUE = 0x10                  # flag of a BOOLEAN, beside its type
    TYPE_MASK = 0x0f
    MORE = 0x80                  # of a byte of a number, from the second one on: another one follows
    INLINE = 240                 # numbers below are one byte
    WIDEST_SHIFT = 60            # bits: where the last byte of a number of 64 bits can stand

cdef dict _MESSAGES = {
    int(SpopStatus.NORMAL): b"normal",
    int(SpopStatus.TIMEOUT): b"a timeout occurred",
    int(SpopStatus.TOO_BIG): b"frame is too big",
    int(SpopStatus.INVALID): b"invalid frame received",
    int(SpopStatus.NO_VERSION): b"version value not found",
    int(SpopStatus.NO_MAX_FRAME_SIZE): b"max-frame-size value not found",
    int(SpopStatus.NO_CAPABILITIES): b"capabilities value not found",
    int(SpopStatus.UNSUPPORTED_VERSION): b"unsupported version",
    int(SpopStatus.BAD_MAX_FRAME_SIZE): b"max-frame-size too big or too small",
    int(SpopStatus.NO_FRAGMENTATION): b"fragmentation not supported",
    int(SpopStatus.NO_RESOURCES): b"resource allocation error",
}


# --- reading -----------------------------------------------------------------------------------------------------------

cdef bint take_varint(Slice *rest, uint64_t *value) noexcept:
    cdef uint64_t byte
    cdef int shift = 4
    if rest.size < 1:
        return False
    byte = <uint8_t>rest.at[0]
    rest.at += 1
    rest.size -= 1
    value[0] = byte
    if byte < INLINE:
        return True
    while True:
        if rest.size < 1 or shift > WIDEST_SHIFT:
            return False
        byte = <uint8_t>rest.at[0]
        rest.at += 1
        rest.size -= 1
        value[0] += byte << shift
        shift += 7
        if byte < MORE:
            return True


cdef bint take_text(Slice *rest, Slice *text) noexcept:
    cdef uint64_t size
    if not take_varint(rest, &size) or size > <uint64_t>rest.size:
        return False
    text[0] = Slice(rest.at, <Py_ssize_t>size)
    rest.at += size
    rest.size -= size
    return True


cdef bint take_data(Slice *rest, Data *data) noexcept:
    cdef uint8_t first
    cdef Py_ssize_t size
    if rest.size < 1:
        return False
    first = <uint8_t>rest.at[0]
    rest.at += 1
    rest.size -= 1
    data.type = <DataType>(first & TYPE_MASK)
    data.truth = first & TRUE != 0
    data.number = 0
    data.text = Slice(NULL, 0)
    if data.type == NULL_DATA or data.type == BOOLEAN:
        return True
    if data.type <= UINT64:
        return take_varint(rest, &data.number)
    if data.type == STRING or data.type == BINARY:
        return take_text(rest, &data.text)
    if data.type > BINARY:
        return False
    size = 4 if data.type == IPV4 else 16
    if rest.size < size:
        return False
    data.text = Slice(rest.at, size)
    rest.at += size
    rest.size -= size
    return True


cdef Py_ssize_t frame_size(const char *at, Py_ssize_t size) noexcept:
    cdef uint32_t length
    if size < LENGTH:
        return 0
    length = (<uint32_t><uint8_t>at[0] << 24 | <uint32_t><uint8_t>at[1] << 16 | <uint32_t><uint8_t>at[2] << 8 | <uint8_t>at[3])
    return -1 if length > MAX_FRAME else LENGTH + length


cdef SpopStatus read_frame(Slice text, Frame *frame) noexcept:
    cdef uint8_t flags
    if text.size < 7:
        return SpopStatus.INVALID
    frame.type = <uint8_t>text.at[0]
    flags = <uint8_t>text.at[4]                  # the last of four bytes: the others are reserved
    text.at += 5
    text.size -= 5
    if not flags & FINAL or flags & ABORT or frame.type == 0:
        return SpopStatus.NO_FRAGMENTATION
    if not take_varint(&text, &frame.stream) or not take_varint(&text, &frame.number):
        return SpopStatus.INVALID
    frame.payload = text
    return SpopStatus.NORMAL


cdef bint _is(Slice text, const char *other, Py_ssize_t size) noexcept:
    return text.size == size and memcmp(text.at, other, size) == 0


cdef bint _has_version_2(Slice list_) noexcept:
    """Whether a list like `3.1, 2.0` names version 2: all its minor versions from 2.0 on are then spoken."""
    cdef Py_ssize_t at = 0
    while at < list_.size:
        while at < list_.size and (list_.at[at] == c" " or list_.at[at] == c","):
            at += 1
        if at + 1 < list_.size and list_.at[at] == c"2" and list_.at[at + 1] == c".":
            return True
        while at < list_.size and list_.at[at] != c",":
            at += 1
    return False


cdef SpopStatus read_hello(Slice payload, Hello *hello) noexcept:
    cdef Slice name
    cdef Data value
    cdef bint versions = False
    cdef bint capable = False
    hello.max_frame = 0
    hello.is_check = False
    while payload.size:
        if not take_text(&payload, &name) or not take_data(&payload, &value):
            return SpopStatus.INVALID
        if _is(name, b"supported-versions", 18):
            if value.type != STRING or versions:
                return SpopStatus.INVALID
            if not _has_version_2(value.text):
                return SpopStatus.UNSUPPORTED_VERSION
            versions = True
        elif _is(name, b"max-frame-size", 14):
            if not INT32 <= value.type <= UINT64 or hello.max_frame:
                return SpopStatus.INVALID
            if not MIN_FRAME <= value.number <= 0x7fffffff:
                return SpopStatus.BAD_MAX_FRAME_SIZE
            hello.max_frame = <uint32_t>value.number
        elif _is(name, b"capabilities", 12):
            capable = value.type == STRING
        elif _is(name, b"healthcheck", 11):
            hello.is_check = value.type == BOOLEAN and value.truth
    if not versions:
        return SpopStatus.NO_VERSION
    if not hello.max_frame:
        return SpopStatus.NO_MAX_FRAME_SIZE
    return SpopStatus.NORMAL if capable else SpopStatus.NO_CAPABILITIES


# --- writing -----------------------------------------------------------------------------------------------------------

cdef int put_varint(Buffer out, uint64_t value) except -1:
    out.reserve(10)
    if value < INLINE:
        out.data[out.size] = <char>value
        out.size += 1
        return 0
    out.data[out.size] = <char>(value | INLINE)
    out.size += 1
    value = (value - INLINE) >> 4
    while value >= MORE:
        out.data[out.size] = <char>(value | MORE)
        out.size += 1
        value = (value - MORE) >> 7
    out.data[out.size] = <char>value
    out.size += 1
    return 0


cdef int put_text(Buffer out, const char *at, Py_ssize_t size) except -1:
    put_varint(out, size)
    return out.put(at, size)


cdef Py_ssize_t begin_frame(Buffer out, FrameType type, uint64_t stream, uint64_t number) except -1:
    cdef Py_ssize_t start = out.size
    cdef char[9] head = [0, 0, 0, 0, <char>type, 0, 0, 0, FINAL]
    out.put(head, 9)
    put_varint(out, stream)
    put_varint(out, number)
    return start


cdef int end_frame(Buffer out, Py_ssize_t start) except -1:
    cdef uint32_t length = <uint32_t>(out.size - start - LENGTH)
    cdef int at
    for at in range(LENGTH):
        out.data[start + at] = <char>(length >> (24 - 8 * at))
    return 0


cdef int put_hello(Buffer out, uint32_t max_frame) except -1:
    cdef Py_ssize_t start = begin_frame(out, FrameType.AGENT_HELLO, 0, 0)
    cdef char kind = UINT32
    put_text(out, b"version", 7)
    _put_string(out, b"2.0", 3)
    put_text(out, b"max-frame-size", 14)
    out.put(&kind, 1)
    put_varint(out, min(max_frame, <uint32_t>MAX_FRAME))
    put_text(out, b"capabilities", 12)
    _put_string(out, b"", 0)
    return end_frame(out, start)


cdef int put_disconnect(Buffer out, SpopStatus status) except -1:
    cdef Py_ssize_t start = begin_frame(out, FrameType.AGENT_DISCONNECT, 0, 0)
    cdef char kind = UINT32
    cdef bytes message = <bytes>_MESSAGES[<int>status]
    put_text(out, b"status-code", 11)
    out.put(&kind, 1)
    put_varint(out, <uint64_t>status)
    put_text(out, b"message", 7)
    _put_string(out, message, len(message))
    return end_frame(out, start)


cdef int _put_string(Buffer out, const char *at, Py_ssize_t size) except -1:
    cdef char kind = STRING
    out.put(&kind, 1)
    return put_text(out, at, size)


def hello_to(bytes payload not None):
    """The status that a HAPROXY-HELLO comes to, the largest frame, and whether it is a health check. For tests and tools."""
    cdef Hello hello
    cdef SpopStatus status = read_hello(Slice(payload, len(payload)), &hello)
    return status, hello.max_frame, hello.is_check


def number_of(bytes text not None):
    """The number at the beginning of a text, and how many bytes it has; None: there is none."""
    cdef uint64_t value
    cdef Slice rest = Slice(text, len(text))
    return (value, len(text) - rest.size) if take_varint(&rest, &value) else None


def number_text(uint64_t value):
    """A number as it is written."""
    cdef Buffer out = Buffer.__new__(Buffer)
    put_varint(out, value)
    return out.data[:out.size]
