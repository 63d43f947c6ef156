"""
Where the frames of a WebSocket begin, in the direction from the endpoint to the client: counted, not read.

A tunnel that ends with its token is ended with a Close frame, code 1008 (policy violation), and one that ends with the worker with code 1001 (going
away), so that a client knows it from a broken network. Such a frame may stand between two frames only; in the middle of one it would be part of its
payload. Behind a Close frame of the endpoint there is no place for one of ours.

Source: RFC 6455 sections 5.2, 5.5.1 and 7.4.1.
"""

cdef const char *GOODBYE = b"\x88\x02\x03\xf0"
cdef const char *GOING_AWAY = b"\x88\x02\x03\xe9"
cdef enum:
    CLOSE = 8                    # an opcode


cdef class FrameTracker:

    cpdef void feed(self, const char *data, Py_ssize_t size) noexcept:
        cdef Py_ssize_t at = 0
        while at < size:
            at += self.feed_frame(data + at, size - at)

    cpdef Py_ssize_t feed_frame(self, const char *data, Py_ssize_t size) noexcept:
        cdef const unsigned char *at = <const unsigned char *>data
        cdef const unsigned char *end = at + size
        cdef uint64_t step
        cdef int need, index
        while at < end and not self.lost:
            if self.left:
                step = min(self.left, <uint64_t>(end - at))
                self.left -= step
                at += step
                if self.left == 0:
                    return at - <const unsigned char *>data
                continue
            self.head[self.seen] = at[0]
            self.seen += 1
            at += 1
            if self.seen < 2:
                continue
            if self.head[1] & 0x80:              # masked: no endpoint may do that (section 5.1)
                self.lost = True
                break
            need = 4 if self.head[1] == 126 else 10 if self.head[1] == 127 else 2
            if self.seen < need:
                continue
            if need == 2:
                self.left = self.head[1]
            else:
                for index in range(2, need):
                    self.left = self.left << 8 | self.head[index]
                if self.left >> 63:              # the first bit must be 0 (section 5.2)
                    self.lost = True
            self.seen = 0
            if self.head[0] & 0x0f == CLOSE:
                self.closed = True
            if self.left == 0:
                return at - <const unsigned char *>data
        return size

    cpdef bint between(self) noexcept:
        return not self.lost and self.seen == 0 and self.left == 0
