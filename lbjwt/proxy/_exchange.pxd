cimport cython
from libc.stdint cimport int64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt._grants cimport Grant
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport Method, RequestHead, RequestPolicy
from lbjwt.http1._response cimport ResponseHead
from lbjwt.http1._answer cimport Answer
from lbjwt.net._connection cimport Sent
from lbjwt.proxy._authorization cimport Authorization
from lbjwt.proxy._exchange_states cimport Event, State
from lbjwt.proxy._snapshot cimport Snapshot
from lbjwt.proxy._stream cimport BackendStream, ClientStream
from lbjwt.proxy._traffic cimport Traffic
from lbjwt.proxy._tunnel cimport Tunnel
from lbjwt.upstream._cluster cimport Cluster
from lbjwt.upstream._endpoint cimport Endpoint
from lbjwt.upstream._request cimport UpstreamRequest

cdef enum:
    REQUEST_ID_SIZE = 32         # bytes of an id of ours
    MAX_REQUEST_ID = 128         # bytes of one that a trusted peer gave
    CLIENT_CLOSED_STATUS = 499   # in the access log, as in that of nginx: the client went away before its response began
    MAX_ADDRESS = 64             # bytes of an address that a trusted peer gave


@cython.final
cdef class Exchange(UpstreamRequest):
    cdef Traffic traffic
    cdef Snapshot snapshot                       # it began under
    cdef Authorization authorization
    cdef Cluster cluster                         # of its route; None: it is not forwarded
    cdef ClientStream client
    cdef BackendStream backend                   # None: there is none yet, or no more
    cdef Endpoint endpoint
    cdef Tunnel tunnel                           # in TUNNEL
    cdef Buffer request                          # the head, and what of the body was there with it; read by `BackendStream.transmit` alone
    cdef readonly State state
    cdef Method method
    cdef bint http10
    cdef bint websocket
    cdef bint chunked                            # the request body goes out chunked
    cdef int status                              # of the final response; 0: none yet
    cdef ErrorReason error                       # what went wrong beside its token; the first such thing stays
    cdef bint token_in_query                     # the response is marked private
    cdef bint subprotocol_answer                 # a 101 that names no subprotocol gets "bearer"
    cdef int64_t request_bytes
    cdef int64_t response_bytes
    cdef char request_id[MAX_REQUEST_ID]
    cdef Py_ssize_t request_id_size
    # kept for the access log only
    cdef double started_at
    cdef double started
    cdef bytes log_method
    cdef bytes log_path
    cdef bytes log_host
    cdef char log_client[MAX_ADDRESS]            # whom proxies of ours name as the client
    cdef Py_ssize_t log_client_size              # 0: nobody but the peer

    # False: lbjwt did not count on this event in this state; the request was ended.
    cpdef bint expects(self, Event event)
    cdef void _move(self, State state)
    cdef void _unexpected(self)
    cdef void _remember(self, RequestHead head, Slice peer, bint trusted)
    cdef Slice _identifier(self) noexcept
    cdef void _refuse(self, RequestHead head, bint https, Slice peer, bint trusted)
    cdef bint _is_expired(self, Grant grant, double now, double grace)
    cdef void _answer(self, Answer answer)
    cdef void _send_off(self)
    cdef Sent _transmit(self, BackendStream backend)
    cdef void _drop_backend(self)
    cdef void _charge(self, Endpoint endpoint)
    cdef void _wait_or_refuse(self)
    cdef void _leave_queue(self)
    cdef void _discharge(self)
    cdef void _try_next(self)
    cdef void _fail_backend(self, ErrorReason reason)
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
    cdef void connected(self)
    cdef void connect_failed(self)
    cdef void use(self, BackendStream backend)
    cdef void backend_unblocked(self)
    cdef void interim(self, ResponseHead head)
    cdef void response(self, ResponseHead head, const char *body, Py_ssize_t size, bint end)
    cdef void response_body(self, const char *body, Py_ssize_t size, bint end)
    cdef void backend_lost(self, bint begun)
    cdef void backend_failed(self, ErrorReason reason)
    # of a tunnel
    cdef void tunnel_up(self, const char *data, Py_ssize_t size)
    cdef void tunnel_down(self, const char *data, Py_ssize_t size)
    cdef void tunnel_ended(self, bint by_client)
    cdef void tunnel_closed(self)
    # from both, and from the sweep
    cdef void end_if_expired(self, double now)
    cdef void note(self, ErrorReason reason) noexcept
    cdef void fail(self, ErrorReason reason)
    cdef void finish(self, bint whole)


# The decision about its head stands in `traffic.authorization`, which it takes over.
cdef Exchange new_exchange(Traffic traffic, ClientStream client)
