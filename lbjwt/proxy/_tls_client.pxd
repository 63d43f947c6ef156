cimport cython

from lbjwt.net._tls cimport TlsSession
from lbjwt.net._wire cimport Sent, iovec
from lbjwt.proxy._client cimport ClientSide


@cython.final
cdef class TlsClientSide(ClientSide):
    """One HTTP/1 client connection under TLS."""
    cdef TlsSession tls
    cdef double handshake_timeout        # seconds
    cdef bint continuing                 # `_read_on` is scheduled

    cdef void _decrypt(self)
    cdef void _flush(self)
    cdef void _say_goodbye(self)
    cdef void _fail(self)
