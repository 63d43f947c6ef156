cimport cython
from libc.stdint cimport int64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt._fastverify cimport DenyReason
from lbjwt._grants cimport Grant
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport Method, RequestHead, RequestPolicy
from lbjwt.http1._response cimport ResponseHead
from lbjwt.net._wire cimport Sent, Wire
from lbjwt.proxy._admission cimport Admission
from lbjwt.http1._answer cimport Answer
from lbjwt.proxy._downstream cimport Downstream
from lbjwt.proxy._frames cimport FrameTracker
from lbjwt.proxy._route cimport Route
from lbjwt.proxy._snapshot cimport Snapshot
from lbjwt.proxy._traffic cimport Traffic
from lbjwt.upstream._cluster cimport Cluster, Endpoint
from lbjwt.upstream._pending cimport PendingRequest

cdef enum:
    REQUEST_ID_SIZE = 32         # bytes of an id of ours
    MAX_REQUEST_ID = 128         # bytes of one that a trusted peer gave
    CLIENT_CLOSED_STATUS = 499   # in the access log, as in that of nginx: the client went away before its response began
    MAX_ADDRESS = 64             # bytes of an address that a trusted peer gave


cdef enum State:
    # See the table in the docstring of the module.
    IDLE = 0
    CONNECTING = 1
    AWAITING = 2
    RESPONDING = 3
    TUNNEL = 4
    PENDING = 5


cdef class Upstream(Wire):
    """The endpoint side as an exchange sees it."""
    cdef Endpoint endpoint
    cdef Exchange exchange

    cdef Sent transmit(self, Exchange exchange)
    cdef void request_body(self, const char *body, Py_ssize_t size, bint end)
    cdef void release(self, bint whole)


@cython.final
cdef class Exchange(PendingRequest):
    cdef Traffic traffic
    cdef Snapshot snapshot                       # it began under
    cdef Cluster cluster                         # of its route; None: it is not forwarded
    cdef Downstream downstream
    cdef Upstream upstream
    cdef Endpoint endpoint
    cdef Buffer request                          # the head, and what of the body was there with it
    cdef State state
    cdef Method method
    cdef bint http10
    cdef bint websocket
    cdef bint chunked                            # the request body goes out chunked
    cdef bint request_complete                   # the whole request was read from the client
    cdef bint replayable                         # `request` is all that was sent, and it may be sent again (RFC 9110 section 9.2.2)
    cdef ErrorReason no_endpoint                 # why nobody takes it, once nobody is left
    cdef bint fresh                              # use no pooled connection
    cdef bint client_ended                       # of a tunnel
    cdef bint endpoint_ended
    cdef int retries                             # times it was sent again
    cdef set tried                               # endpoints not to be picked again; None: no endpoint failed
    cdef int status                              # of the final response; 0: none yet
    cdef DenyReason reason
    cdef ErrorReason error                       # what went wrong beside its token; the first such thing stays
    cdef DenyReason reported                     # what would have refused it, were it not only reported
    cdef Route route                             # None: there was none for it
    cdef Py_ssize_t issuer                       # index, -1: none
    cdef Grant grant                             # of the first token; None: none was needed or accepted
    cdef list other_grants                       # of further tokens; None: there are none
    cdef FrameTracker frames                     # of a WebSocket, from the endpoint to the client
    cdef bint leaving                            # the client is told so as soon as a frame may stand there
    cdef bint left                               # it was: no frame of the endpoint may follow
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

    cdef void _remember(self, RequestHead head, Admission admission, Slice peer, bint trusted)
    cdef Slice _identifier(self) noexcept
    cdef void _refuse(self, RequestHead head, bint https, Slice peer, bint trusted)
    cdef bint _spent(self, Grant grant, double now, double grace)
    cdef void _answer(self, Answer answer)
    cdef Sent _transmit(self, Upstream upstream)
    cdef void _drop_upstream(self)
    cdef void _charge(self, Endpoint endpoint)
    cdef void _abandon_endpoint(self)
    cdef void _wait_or_refuse(self)
    cdef void _leave_queue(self)
    cdef void _discharge(self)
    cdef void _try_elsewhere(self)
    cdef void _log(self, bint complete)

    cdef void begin(self, RequestHead head, RequestPolicy policy, Admission admission, Slice peer, bint trusted, const char *body,
                    Py_ssize_t size, bint end)
    cdef void outlive(self, double now)
    cdef void go_away(self)
    cdef void _say_goodbye(self)
    cdef void connected(self)
    cdef void connect_failed(self)
    cdef void use(self, Upstream upstream)
    cdef bint wants_body(self) noexcept
    cdef void request_body(self, const char *body, Py_ssize_t size, bint end)
    cdef void interim(self, ResponseHead head)
    cdef void response(self, ResponseHead head, const char *body, Py_ssize_t size, bint end)
    cdef void response_body(self, const char *body, Py_ssize_t size, bint end)
    cdef void tunnel_up(self, const char *data, Py_ssize_t size)
    cdef void tunnel_down(self, const char *data, Py_ssize_t size)
    cdef void tunnel_ended(self, bint by_client)
    cdef void upstream_lost(self, bint begun)
    cdef void upstream_failed(self, ErrorReason reason)
    cdef void request_broken(self, ErrorReason reason)
    cdef void downstream_lost(self)
    cdef void note(self, ErrorReason reason) noexcept
    cdef void fail(self, ErrorReason reason)
    cdef void finish(self, bint whole)


cdef Exchange new_exchange(Traffic traffic, Downstream downstream)
