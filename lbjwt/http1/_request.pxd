cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt._grants cimport Grant, GrantCache
from lbjwt.http1._buffer cimport Buffer, Field, Slice


cpdef enum Parse:
    NEED_MORE = 0
    COMPLETE = 1
    REFUSED = 2


cpdef enum Method:
    # Those whose meaning matters to the proxy; every other token httptools knows is OTHER.
    OTHER = 0
    GET = 1
    HEAD = 2
    POST = 3
    PUT = 4
    DELETE = 5
    OPTIONS = 6
    PATCH = 7
    TRACE = 8
    CONNECT = 9


@cython.final
cdef class RequestPolicy:
    cdef readonly Py_ssize_t max_request_line    # bytes; below max_head
    cdef readonly Py_ssize_t max_head            # bytes, request line included
    cdef readonly Py_ssize_t max_fields
    cdef readonly int header_names               # 0 drop, 1 reject, 2 allow
    cdef readonly bint x_forwarded               # X-Forwarded-* are written …
    cdef readonly bint forwarded                 # … and Forwarded
    cdef readonly bint forward_token
    cdef readonly bint allow_websocket
    cdef readonly bint https                     # the scheme the client used
    # Folded names of the headers that only lbjwt may write: what a client sends that folds to one of them is removed under every header_names.
    cdef tuple _identity_names
    cdef Slice *_identity                        # the same, for C
    cdef Py_ssize_t _identity_count
    cdef uint64_t _identity_sizes                # bit n: some identity name has n bytes (bit 63: 63 or more)

    cdef bint is_identity(self, Slice name) noexcept     # it folds to the name of an identity header
    cdef uint32_t _kind_of(self, Slice name, bint odd) noexcept


cdef class Head:
    """What a parsed request and a parsed response have in common. Slices borrow the bytes given to `parse` and die with them."""
    cdef readonly Py_ssize_t size                # bytes of the head, once COMPLETE
    cdef readonly ErrorReason problem            # once REFUSED
    cdef Field *_fields
    cdef Py_ssize_t _count
    cdef Py_ssize_t _capacity
    cdef readonly bint http10                    # the sender's version
    cdef readonly bint keep_alive                # the sender lets the connection be used again, by version and Connection
    cdef bint _connection_upgrade                # Connection names upgrade …
    cdef bint _close_said                        # … or close …
    cdef bint _keep_alive_said                   # … or keep-alive
    cdef object _borrowed                        # keeps the bytes given to `parse_bytes` alive

    cdef bint _refuse(self, ErrorReason problem)
    # Connection options: close, keep-alive, upgrade, and names of fields that end here (RFC 9110 section 7.6.1).
    cdef bint _take_connection(self, RequestPolicy policy, ErrorReason malformed)
    cdef bint _nominate(self, Slice name, RequestPolicy policy)
    cdef Py_buffer *_borrow(self, data) except NULL


@cython.final
cdef class RequestHead(Head):
    cdef readonly Method method
    cdef Slice method_name
    cdef Slice target                            # as forwarded: origin-form, or "*" for OPTIONS
    cdef Slice host                              # the authority the request is for
    cdef readonly int64_t content_length         # -1: none given
    cdef readonly bint chunked
    cdef readonly bint expect_continue           # of an HTTP/1.1 request with a body; in all other cases the field is dropped
    cdef readonly bint websocket                 # a well-formed RFC 6455 upgrade request on a listener that allows it
    cdef readonly Py_ssize_t authorization_count
    cdef Slice authorization                     # the value of the one Authorization field; at is NULL when none
    cdef readonly Py_ssize_t dropped_names       # fields dropped for a name outside [A-Za-z0-9-]
    cdef Slice request_id                        # the client's own X-Request-Id when one and valid; else at is NULL
    # Set by the search for a token, read by the exchange; False after `parse`.
    cdef readonly bint token_in_query            # a token came in the target: the response is marked private
    cdef readonly bint subprotocol_answer        # a token came behind the subprotocol "bearer", which the 101 then has to name
    # Where tokens are looked up that the connection did not send last, so that the grammar of a known one is not read again; None: nowhere.
    cdef GrantCache verified
    cdef Grant recalled                          # found there; whether it is still valid is the gate's question
    cdef Slice _special[22]                      # the value of the field of each kind; valid where _known has its bit
    cdef uint32_t _known                         # bit per kind: it came
    cdef uint32_t _repeated                      # bit per kind: it came more than once
    cdef Py_ssize_t _nominations                 # names in Connection
    cdef Buffer _rewritten                       # holds a target that is not a slice of the client's bytes
    cdef Buffer _edited                          # holds values that lost a part, see _editing.pxd …
    cdef Py_ssize_t _owned                       # … in so many bytes

    # data/size: all bytes of the connection not yet consumed, from the start of the message. seen: bytes of them already
    # searched by an earlier call that answered NEED_MORE (0 at first), so that a dripped head costs linear time.
    # known: the token that this connection sent last, if it was accepted, else None; see `_judge.pyx`.
    # Returns a Parse. On COMPLETE, exactly self.size bytes are the head and all fields of this object are set.
    cdef Parse parse(self, const char *data, Py_ssize_t size, Py_ssize_t seen, RequestPolicy policy, bytes known)

    # Append the head for the endpoint: our own serialisation, never client lines. peer: the client's address as text.
    # trusted: the peer is in trusted_proxies (its X-Forwarded-* and X-Request-Id are kept and appended to).
    # identity: ready-made lines of the Grant. request_id: used when the client's own is absent or not trusted.
    cdef int write(self, Buffer out, RequestPolicy policy, Slice peer, bint trusted, bytes identity, Slice request_id) except -1

    cdef Py_ssize_t _known_token(self, bytes known)
    cdef Slice _lone(self, uint32_t kind) noexcept
    cdef bint _take_request_line(self, Slice line)
    cdef bint _take_fields(self, RequestPolicy policy)
    cdef bint _take_host_and_target(self)
    cdef bint _take_framing(self)
    cdef bint _take_intents(self, RequestPolicy policy)
    cdef bint _names_websocket(self) noexcept
