from libc.stdint cimport uint32_t, uint64_t

from lbjwt.http1._buffer cimport Buffer
from lbjwt.http2._body cimport Body
from lbjwt.http2._inbox cimport Inbox
from lbjwt.http2._nghttp2 cimport Provider

cdef enum:
    ROOM = 65536                 # bytes of frames that are written ahead of the connection; the last frame may go past it


cdef class Engine:
    """A session of libnghttp2, and what it is given and gives while it works."""
    cdef void *handle                        # NULL: it cannot be used any more
    cdef Inbox inbox                         # what it found; there is one while it works
    cdef Buffer out                          # frames that it wrote; there is one while it works
    cdef Py_ssize_t given                    # bytes of it that the owner of the connection has got
    cdef Body *bodies                        # all that are being sent
    cdef Body *newest                        # of the last head that was sent; NULL: it is over
    cdef Body *lending                       # that lends bytes now; NULL: it is over
    cdef Py_ssize_t queued_bytes             # that wait in all bodies
    cdef Py_ssize_t most_fields              # of a head that is read
    cdef Py_ssize_t most_field_bytes
    cdef uint32_t code                       # of the last GOAWAY, of either side
    cdef bint client
    cdef bint acknowledged                   # the peer has our SETTINGS
    cdef bint chunk                          # a part of the DATA frame that comes now was noted
    cdef bint going                          # a GOAWAY was sent, or came
    cdef bint too_much                       # a head passes its limits

    # most_continuations: frames of one head. resets: streams that the peer may take back in a second
    cdef int start(self, bint client, size_t most_continuations, uint64_t resets) except -1
    cdef void stop(self) noexcept
    cdef void forget(self, Body *body) noexcept


cdef void provide(Provider *provider, Body *body) noexcept
