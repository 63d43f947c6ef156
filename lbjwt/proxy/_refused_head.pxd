from lbjwt._error_reason cimport ErrorReason
from lbjwt.auth._callers cimport Caller
from lbjwt.http1._answer cimport Answer
from lbjwt.http1._buffer cimport Slice
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._listener_settings cimport ListenerSettings

# The answer to a head that was refused, which is counted. caller: as for `ProxyContext.answer`. request_id: gets REQUEST_ID_SIZE characters
cdef Answer refuse_head(ProxyContext context, ListenerSettings listener, ErrorReason reason, Caller caller, char *request_id)
# Count and log a head that never became an exchange. at, size: what was read of it, as HTTP/1 (NULL and 0: nothing). status: of the answer; 0:
# none was sent. http2: it came as HTTP/2
cdef void record_head(ProxyContext context, ListenerSettings listener, Slice peer, bint trusted, ErrorReason reason, const char *at, Py_ssize_t size,
                      Slice request_id, int status, Py_ssize_t response_bytes, bint http2)
# The same of one whose connection ended before it got an answer.
cdef void record_lost_head(ProxyContext context, ListenerSettings listener, Slice peer, bint trusted, ErrorReason reason, const char *at,
                           Py_ssize_t size, bint http2)
