from lbjwt._grants cimport Grant
from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._response cimport ResponseHead
from lbjwt.net._wire cimport Wire
from lbjwt.http1._answer cimport Answer


cdef class Downstream(Wire):
    cdef Grant last_grant
    cdef bint broken                             # something for the client could not be sent

    cdef void interim(self, ResponseHead head)
    cdef void respond(self, ResponseHead head, const char *body, Py_ssize_t size, bint end)
    cdef void relay(self, const char *body, Py_ssize_t size, bint end)
    cdef void switch(self, ResponseHead head)
    cdef void answer(self, Answer answer, Slice request_id)
    cdef void cut(self)
    cdef void request_wanted(self)
    cdef void released(self)
    cdef Slice peer(self)                        # the client's address as text
    cdef void judge_again(self)                  # the keys that its request waited for were fetched, or were not
    cdef void outlive(self, double now)          # end what is under way and has outlived its token; seconds since the epoch
