cimport cython

from lbjwt.http1._request cimport RequestPolicy
from lbjwt.http2._session cimport Limits
from lbjwt.proxy._authorizer cimport Authorizer
from lbjwt.proxy._health cimport Health


@cython.final
cdef class ListenerSettings:
    """What one listener asks of its clients. All its connections share it, and a reload changes it: they read it for each request or handshake."""
    cdef public RequestPolicy policy
    cdef public Authorizer authorizer            # None: requests are forwarded
    cdef public Health health                    # None: no path of this listener is ours
    cdef public object tls                       # ssl.SSLContext of the next handshakes; None: plain HTTP
    cdef public Limits http2                     # None: HTTP/1 only
    cdef public bint h2c                         # HTTP/2 is also spoken without TLS, to clients that begin with it (RFC 9113 section 3.3)
    cdef public double handshake_timeout         # seconds
    cdef public bint leaving                     # no listener any more: each answer ends its connection
