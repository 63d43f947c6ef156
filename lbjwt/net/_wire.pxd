from posix.uio cimport iovec


cdef enum Sent:
    FAILED = 0       # the kernel refused at once: not one byte of this call left
    WHOLE = 1        # the kernel took everything
    QUEUED = 2       # the transport holds the rest; from here on it must go through the transport until it drained


cdef class Wire:
    """One TCP or Unix connection seen from its protocol: sending, pausing, ending."""
    cdef object transport            # None before connection_made and after connection_lost
    cdef int fd                      # for direct send(2); -1 where all bytes pass through the transport
    cdef bint corked                 # the transport held unsent bytes when last asked
    cdef bint write_paused           # the transport is over its high-water mark
    cdef bint read_paused
    cdef double deadline             # seconds on the monotonic clock when `Traffic.expire` acts; 0.0: never

    cdef void attach(self, object transport)
    cdef void detach(self) noexcept
    cdef Sent send(self, const char *data, Py_ssize_t size)
    cdef Sent send_parts(self, iovec *parts, int count)
    cdef void pause(self)
    cdef void resume(self)
    cdef bint has_input(self)
    cdef bint has_ended(self, bint both)  # the peer closed or reset the connection, even behind unread input; both: in both directions
    cdef void check_peer(self)       # nothing is read from this peer now: is it still there?
    cdef bint drained(self)
    cdef void shutdown(self)
    cdef bint can_half_close(self)
    cdef void close(self)
    cdef void reset(self)
    cdef void expired(self)          # the deadline has passed
    cdef void end(self)              # the worker ends now
    # The worker is stopping, or, unless None, this listener left: end by `soon` (monotonic seconds) if nothing is under way.
    cdef void drain(self, double soon, object listener)


cdef double monotonic() noexcept nogil
cdef double coarse_monotonic() noexcept nogil
cdef double wall_clock() noexcept nogil
