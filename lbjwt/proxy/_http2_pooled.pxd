from lbjwt.proxy._http2_client_stream cimport Http2ClientStream, StreamCarrier


cdef class PooledCarrier(StreamCarrier):
    cdef Py_ssize_t limit        # streams at a time
    cdef bint counted            # among the open connections of the endpoint
    cdef bint offering
    cdef double heard_at         # seconds on the coarse monotonic clock: the last byte of the endpoint
    cdef double pinged_at        # 0.0: no PING waits for its answer
    cdef bint questioned         # it gets no requests before that answer
    cdef bint spoke              # something came on a stream since it was questioned last
    cdef double questioned_at    # seconds on the coarse monotonic clock
    cdef double leave_at         # 0.0: whenever it likes

    cdef void flush(self)
    cdef bint has_room(self) noexcept
    cdef void withdraw(self)
    cdef void _rest(self) noexcept
    cdef void _close_if_done(self)
    cdef void _give_up_room(self)
    cdef void _look(self, double now)
    cdef void _ping(self, double now)


# Something that arrived lately says that other connections may have ended too.
cdef void doubt_others()
