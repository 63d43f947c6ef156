cimport cython
from posix.uio cimport iovec

from lbjwt.net._tls cimport TlsSession
from lbjwt.net._wire cimport Sent
from lbjwt.proxy._client cimport ClientSide


@cython.final
cdef class TlsClientSide(ClientSide):
    cdef TlsSession tls
    cdef bint continuing                 # `_read_on` is scheduled
    cdef bint stalled                    # reading is paused because the client does not read
    cdef bint end_taken                  # the client's close_notify was acted upon
    cdef bint greeted                    # its first bytes came
    cdef bint plain                      # it speaks plain HTTP, and is told so in the same
    cdef bint said_goodbye               # our close_notify was sent

    cdef void _decrypt(self)
    cdef Sent _flush(self)
    cdef void _say_goodbye(self)
    cdef void _fail(self)
