cimport cython
from libc.stdint cimport int64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt._grants cimport Grant
from lbjwt.auth._callers cimport Caller
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport Method, RequestHead, RequestPolicy
from lbjwt.http1._response cimport ResponseHead
from lbjwt.http1._answer cimport Answer
from lbjwt.proxy._authorization cimport Authorization
from lbjwt.proxy._judged cimport JudgedRequest
from lbjwt.proxy._logged_request cimport LoggedRequest
from lbjwt.proxy._snapshot cimport Snapshot
from lbjwt.proxy._stream cimport BackendStream, ClientStream
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._tunnel cimport Tunnel

cdef enum:
    REQUEST_ID_SIZE = 32         # bytes of an id of ours
    MAX_REQUEST_ID = 128         # bytes of one that a trusted peer gave
    CLIENT_CLOSED_STATUS = 499   # in the access log, as in that of nginx: the client went away before its response began


@cython.final
cdef class Exchange(JudgedRequest):
    cdef Snapshot snapshot                       # it began under
    cdef Authorization authorization
    cdef Tunnel tunnel                           # in TUNNEL
    cdef Buffer request                          # the head, and what of the body was there with it; read by `BackendStream.transmit` alone
    cdef Method method
    cdef bint http10
    cdef bint websocket
    cdef bint chunked                            # the request body goes out chunked
    cdef int status                              # of the final response; 0: none yet
    cdef bint is_logged                          # in the access log, once it is over
    cdef bint token_in_query                     # the response is marked private
    cdef bint subprotocol_answer                 # a 101 that names no subprotocol gets "bearer"
    cdef int64_t request_bytes
    cdef int64_t response_bytes
    cdef char request_id[MAX_REQUEST_ID]
    cdef Py_ssize_t request_id_size
    cdef LoggedRequest logged                    # what the access log says of its head

    cdef bint _keep(self, const char *body, Py_ssize_t size)
    cdef Slice _identifier(self) noexcept
    cdef void _refuse(self, RequestHead head, bint https, Slice peer, bint trusted)
    cdef bint _is_expired(self, Grant grant, double now, double grace)
    cdef void _answer(self, Answer answer)
    cdef void _send(self, Answer answer)
    cdef void _allow(self)
    cdef Caller _caller(self) noexcept
    cdef void _log(self, bint complete)

    # from the client's side
    cdef void begin(self, RequestHead head, RequestPolicy policy, Slice peer, bint trusted, const char *body, Py_ssize_t size, bint end)
    cdef bint wants_body(self) noexcept
    cdef void request_body(self, const char *body, Py_ssize_t size, bint end)
    cdef void request_broken(self, ErrorReason reason)
    cdef void client_blocked(self)               # too much is queued for the client …
    cdef void client_unblocked(self)             # … and now it is not
    cdef void client_lost(self)
    # from the endpoint's side
    cdef void backend_unblocked(self)
    cdef void interim(self, ResponseHead head)
    cdef void response(self, ResponseHead head, const char *body, Py_ssize_t size, bint end)
    cdef void response_body(self, const char *body, Py_ssize_t size, bint end)
    cdef void response_trailers(self, list fields)   # the end of the response
    cdef void backend_lost(self, bint begun)
    cdef void refused(self)                      # the endpoint says that it did not look at the request (RFC 9113 section 8.7)
    cdef void backend_failed(self, ErrorReason reason)
    cdef void timed_out(self, bint begun)        # no response head in time; begun: a part of it came
    # of a tunnel
    cdef void tunnel_up(self, const char *data, Py_ssize_t size)
    cdef void tunnel_down(self, const char *data, Py_ssize_t size)
    cdef void tunnel_ended(self, bint by_client)
    cdef void tunnel_closed(self)
    cdef void go_away(self)                      # the worker is stopping
    # from the sweep
    cdef void end_if_expired(self, double now)


# The decision about its head stands in `context.authorization`, which it takes over.
cdef Exchange new_exchange(ProxyContext context, ClientStream client)
