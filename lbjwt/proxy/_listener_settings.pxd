cimport cython

from lbjwt.http1._request cimport RequestPolicy
from lbjwt.proxy._health cimport Health


@cython.final
cdef class ListenerSettings:
    """What one listener asks of its clients. All its connections share it, and a reload changes it: they read it for each request or handshake."""
    cdef public RequestPolicy policy
    cdef public Health health                    # None: no path of this listener is ours
    cdef public object tls                       # ssl.SSLContext of the next handshakes; None: plain HTTP
    cdef public double handshake_timeout         # seconds
    cdef public bint leaving                     # no listener any more: each answer ends its connection
