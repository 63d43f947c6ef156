cimport cython
from libc.stdint cimport int64_t

from lbjwt._fastverify cimport Gate
from lbjwt.proxy._admission cimport Admission


@cython.final
cdef class Snapshot:
    """What one configuration asks of requests. Never changed: a reload makes another one, and a request keeps the one it began under."""
    cdef readonly Admission admission
    cdef readonly Admission asked                # the same for requests that another proxy forwards
    cdef readonly Gate gate
    cdef readonly tuple issuer_labels            # bytes, by issuer index, for the access log
    cdef readonly object trusts                  # (peer: str) -> bool, or None when nobody is trusted
    cdef readonly int64_t max_request_body       # bytes; -1: no limit
    cdef readonly Py_ssize_t max_response_head   # bytes
    cdef readonly Py_ssize_t max_response_fields
    cdef readonly Py_ssize_t max_requests        # per client connection; 0: no limit
    cdef readonly double head_timeout            # seconds
    cdef readonly double keep_alive_timeout      # seconds
    cdef readonly double stream_idle_timeout     # seconds
    cdef readonly bint allow_half_close          # a client that ends its side may still read its response

    # The forwarding fields that this peer sends are believed.
    cdef bint believes(self, bytes peer) except -1
