from lbjwt._error_reason cimport ErrorReason
from lbjwt._grants cimport Grant
from lbjwt.http1._request cimport RequestHead
from lbjwt.http2._session cimport Session
from lbjwt.net._clock cimport Timed
from lbjwt.net._connection cimport Connection
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._listener_settings cimport ListenerSettings
from lbjwt.proxy._stream cimport ClientStream


cdef class Http2Streams(Timed):
    """What the streams of one client connection share."""
    cdef ProxyContext context
    cdef ListenerSettings listener
    cdef Connection connection
    cdef Session session
    cdef dict streams            # number -> Http2ServerStream
    cdef set blocked             # streams that wait until their client has taken more of the response
    cdef Grant last_grant        # of the token that came last: most streams of a connection send the same
    cdef bytes peer_text
    cdef bint trusted

    cdef void flush_soon(self)   # what is queued leaves in the next turn of the loop


cdef class Http2Stream(ClientStream):
    """One request of an HTTP/2 client and its response. `deadline` is the client's, to send more of its request."""
    cdef Http2Streams server
    cdef int number
    cdef Exchange exchange       # None: there is none yet, or it is over
    cdef bytes head              # of a request that waits for keys, as HTTP/1
    cdef double came_at          # seconds on the monotonic clock: that head
    cdef Py_ssize_t waits_for    # the issuer of those keys; -1: it does not wait
    cdef bint request_ended      # the client has sent all
    cdef bint end_told           # … and the exchange has been given all
    cdef bint responded          # the response has begun
    cdef bint response_ended     # … and ended

    cdef bint _wait_for_keys(self, RequestHead head, Py_ssize_t issuer)
    cdef void _end_key_wait(self)
    cdef void _refuse(self, ErrorReason reason, const char *at, Py_ssize_t size)     # answer what never became an exchange
