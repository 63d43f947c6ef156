cimport cython
from libc.stdint cimport int64_t, uint64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt._fastverify cimport Gate
from lbjwt.http1._buffer cimport Buffer
from lbjwt.http1._request cimport RequestHead
from lbjwt.http1._response cimport ResponseHead
from lbjwt.observe._access_log cimport AccessLog
from lbjwt.observe._board cimport Board
from lbjwt.proxy._admission cimport Admission
from lbjwt.http1._answer cimport Answer
from lbjwt.proxy._waiting cimport Waiting
from lbjwt.upstream._cluster cimport Cluster
from lbjwt.upstream._pending cimport PendingQueue


@cython.final
cdef class Traffic:
    cdef Gate gate
    cdef readonly Admission admission
    cdef readonly Waiting waiting
    cdef Cluster cluster
    cdef readonly PendingQueue pending
    cdef readonly Board board
    cdef tuple issuer_labels                     # bytes, by issuer index, for the access log
    cdef AccessLog access_log           # None: no log is kept
    cdef readonly set wires                      # every open connection, for the sweep
    cdef readonly Py_ssize_t clients             # open client connections
    cdef public bint draining                    # every answer ends its connection
    cdef object open_connection                  # (endpoint) -> its side, on which connection_made or connect_failed follows
    cdef object trusts                           # (peer: str) -> bool, or None when nobody is trusted

    cdef int64_t max_request_body       # bytes; -1: no limit
    cdef Py_ssize_t max_response_head   # bytes
    cdef Py_ssize_t max_response_fields
    cdef public Py_ssize_t max_clients
    cdef public Py_ssize_t max_answered # clients up to which one too many is told 503; beyond, it is reset
    cdef Py_ssize_t max_requests        # per client connection; 0: no limit
    cdef double head_timeout            # seconds
    cdef double keep_alive_timeout      # seconds
    cdef double stream_idle_timeout     # seconds
    cdef public bint allow_half_close   # a client that ends its side may still read its response

    # Scratch: valid while one buffer is worked on, never across a return to the loop.
    cdef RequestHead request_head
    cdef ResponseHead response_head
    cdef Buffer out
    cdef bytearray receive
    cdef char *receive_at
    cdef list spare                              # exchanges to use again

    cdef dict _answers                           # Answer by status and detail
    cdef bytes date                              # "Date: …\r\n", of this second
    cdef char _id_prefix[16]
    cdef uint64_t _id_counter

    # named: the answer tells the reason
    cdef Answer answer(self, ErrorReason reason, bint named)
    cdef void next_request_id(self, char *out) noexcept
