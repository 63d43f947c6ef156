from lbjwt.upstream._request cimport UpstreamRequest
from lbjwt.upstream.balancing._key cimport KeySource
from lbjwt.upstream.balancing._members cimport Members


cdef class Balancing:
    """A rule by which one of the usable endpoints is picked."""
    cdef readonly KeySource looks_at             # None: at nothing in the request
    cdef readonly bint measures                  # it asks for `answered`

    # The index of a usable member, or -1. Changes nothing that a caller sees: it may ask again before it sends the request.
    cdef Py_ssize_t pick(self, Members members, UpstreamRequest request)
    # A request went there.
    cdef void took(self, Members members, Py_ssize_t at)
    # The head of a response came, so many seconds after the request was sent.
    cdef void answered(self, Members members, Py_ssize_t at, double seconds)
    # The members or their weights are others than before.
    cdef void use(self, Members members)
    # The header line that a response of this endpoint needs; None: none. https: the client used TLS.
    cdef bytes response_line(self, UpstreamRequest request, Members members, Py_ssize_t at, bint https)
