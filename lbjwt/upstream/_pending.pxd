cimport cython

from lbjwt.observe._board cimport Board
from lbjwt.upstream._request cimport UpstreamRequest


@cython.final
cdef class PendingQueue:
    cdef public Py_ssize_t max_pending             # 0 until its cluster is configured
    cdef public double timeout                 # seconds
    cdef Board _board
    cdef object _call_soon                       # (callback) -> None: runs it in the next turn of the event loop
    cdef dict _queue                             # requests as keys, the oldest first
    cdef bint _scheduled

    # False: the queue is full.
    cdef bint enter(self, UpstreamRequest request, double now)
    cdef void leave(self, UpstreamRequest request)
    cdef UpstreamRequest first(self)              # None: there is none
    # An endpoint may have room again.
    cdef void wake(self)
    cdef void expire(self, double now)
    cdef bint is_empty(self) noexcept
