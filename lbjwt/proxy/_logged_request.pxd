cimport cython

from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._request cimport RequestHead
from lbjwt.observe._access_log cimport AccessRecord

cdef enum:
    MAX_ADDRESS = 64             # bytes of an address that a trusted peer gave


@cython.final
cdef class LoggedRequest:
    """What the access log says of a request's head: kept until its response is over, when the client's bytes are gone."""
    cdef double _started_at                      # seconds since the epoch
    cdef double _started                         # seconds on the monotonic clock
    cdef bytes _method
    cdef bytes _path
    cdef bytes _host
    cdef char _client[MAX_ADDRESS]               # whom proxies of ours name as the client
    cdef Py_ssize_t _client_size                 # 0: nobody but the peer

    cdef void begin(self, RequestHead head, Slice client, Slice peer)
    cdef void fill(self, AccessRecord *record, Slice peer) noexcept
