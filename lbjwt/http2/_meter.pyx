"""
What a peer sends, counted frame by frame before the engine sees it. Floods are made of frames that cost their sender nothing and us something; the
engine tells of some of them only, and of those only after it has done the work.

Counts are of one second. A WINDOW_UPDATE is free as long as we have sent what it makes room for; else windows of one byte would cost us a frame each.
So is a PING behind a DATA frame of ours: gRPC clients measure the connection with one for each that they read, a thousand a second.
Input is cut behind every few heads: HPACK makes a head of 32 KiB out of a few bytes, and no more of these than `HEADS` may be in memory before they
are judged.
"""

cdef enum:
    HEAD = 9                     # bytes of a frame's head (RFC 9113 section 4.1)
    PREFACE = 24                 # bytes of the client's preface (section 3.4)
    HEADS = 8                    # HEADERS frames that the engine gets at a time
    MAX_CREDIT = 65536           # frames that are paid for at most: what a window of 32 MiB is given back in, 512 bytes at a time
    COSTLY = 10                  # one SETTINGS frame counts as so many: it may change the windows of all streams
    # types and flags (section 6)
    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    WINDOW_UPDATE = 8
    CONTINUATION = 9
    ACK = 1
    END_STREAM = 1
    END_HEADERS = 4
    PADDED = 8


cdef FrameMeter new_meter(int max_resets, int max_control, bint server):
    cdef FrameMeter meter = FrameMeter.__new__(FrameMeter)
    meter._preface = PREFACE if server else 0
    meter._max_resets = max_resets
    meter._max_control = max_control
    return meter


cdef class FrameMeter:

    cdef Py_ssize_t take(self, const char *at, Py_ssize_t size, double now) noexcept:
        cdef Py_ssize_t used = 0
        cdef Py_ssize_t step
        cdef int heads = 0
        self._roll(now)
        while used < size:
            if self._preface:
                step = min(<Py_ssize_t>self._preface, size - used)
                self._preface -= <int>step
                used += step
            elif self._left:
                step = min(self._left, size - used)
                self._left -= step
                used += step
            else:
                self._head[self._seen] = <unsigned char>at[used]
                self._seen += 1
                used += 1
                if self._seen < HEAD:
                    continue
                self._seen = 0
                self._left = self._head[0] << 16 | self._head[1] << 8 | self._head[2]
                if not self._count():
                    return -1
                if self._head[3] == HEADERS:
                    heads += 1
            if heads >= HEADS and self._left == 0:
                break
        return used

    cdef bint _count(self) noexcept:
        """The frame whose head has come."""
        cdef int kind = self._head[3]
        cdef int flags = self._head[4]
        if kind == DATA:
            # One that ends its stream carries that. Padding is nothing.
            if (self._left == 0 and not flags & END_STREAM) or (flags & PADDED and self._left <= 256):
                self._control += 1
        elif kind == HEADERS or kind == CONTINUATION:
            self._in_block = not flags & END_HEADERS
            self._earn(2)
        elif kind == RST_STREAM:
            self._resets += 1
        elif (kind == WINDOW_UPDATE or (kind == PING and not flags & ACK)) and self._credit > 0:
            self._credit -= 1
        elif kind == SETTINGS and not flags & ACK:
            self._control += COSTLY
        else:
            self._control += 1
        return self._control <= self._max_control and self._resets <= self._max_resets

    cdef void _roll(self, double now) noexcept:
        if now - self._second >= 1.0:
            self._second = now
            self._resets = self._control = 0

    cdef bint count_reset(self, double now) noexcept:
        self._roll(now)
        self._resets += 1
        return self._resets <= self._max_resets

    cdef void sent(self, Py_ssize_t size) noexcept:
        self._earn(3 + (size >> 9))

    cdef void _earn(self, Py_ssize_t frames) noexcept:
        self._credit = min(self._credit + frames, <Py_ssize_t>MAX_CREDIT)

    cdef bint is_inside(self) noexcept:
        return self._preface != 0 or self._seen != 0 or self._left != 0 or self._in_block
