"""
What an exchange asks of either side: one request of a client and its response, one request to an endpoint and its response. Neither is a connection,
and nothing here assumes that a connection carries one of them at a time.
"""


from lbjwt.net._connection cimport FAILED


cdef class ClientStream(Timed):

    cdef void interim(self, ResponseHead head):
        pass

    cdef void respond(self, ResponseHead head, const char *body, Py_ssize_t size, bint end):
        pass

    cdef void respond_body(self, const char *body, Py_ssize_t size, bint end):
        pass

    cdef void respond_trailers(self, list fields):
        """Protocols without trailers end the body."""
        self.respond_body(NULL, 0, True)

    cdef void answer(self, Answer answer, Slice request_id):
        pass

    cdef void switch(self, ResponseHead head):
        pass

    cdef void send(self, const char *data, Py_ssize_t size):
        pass

    cdef void shutdown(self):
        pass

    cdef void close(self):
        pass

    cdef void reset(self, ErrorReason reason):
        pass

    cdef void request_wanted(self):
        pass

    cdef void released(self):
        pass

    cdef Slice peer(self):
        return Slice(NULL, 0)

    cdef void authorize_again(self):
        pass


cdef class BackendStream(PooledStream):

    cdef Sent transmit(self, UpstreamRequest exchange):
        return FAILED

    cdef void request_body(self, const char *body, Py_ssize_t size, bint end):
        pass

    cdef bint wants_body(self) noexcept:
        return True

    cdef void pause(self):
        pass

    cdef void resume(self):
        pass

    cdef Sent send(self, const char *data, Py_ssize_t size):
        return FAILED

    cdef void shutdown(self):
        pass

    cdef void reset(self, ErrorReason reason):
        pass

    cdef void release(self, bint whole):
        pass
