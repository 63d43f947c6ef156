cpdef enum ErrorReason:
    # The closed list of what can go wrong with a request beside its token. Log and metrics know no other. The numbers index counters and never
    # change. Every reason has one status, see `error_status`.
    NO_ERROR = 0

    # The request: 400, unless another status stands here.
    BARE_LF = 1
    BARE_CR = 2
    CONTROL_CHARACTER = 3
    EMPTY_LINES = 4                      # more than two before the request line
    REQUEST_LINE = 5
    TARGET_CHARACTER = 6
    TARGET_FORM = 7
    TARGET_NOT_HOST = 8                  # an absolute-form target names another authority than Host
    MISSING_HOST = 9
    INVALID_HOST = 10
    TWO_HOSTS = 11
    FIELD_LINE = 12
    FIELD_NAME = 13                      # under header_names: reject
    DUPLICATE_FIELD = 14
    CONNECTION_OPTION = 15
    CONNECTION_NOMINATES = 16            # Connection names a field that must not be dropped
    CONTENT_LENGTH = 17
    LENGTH_AND_ENCODING = 18
    TRANSFER_ENCODING = 19
    HTTP10_ENCODING = 20
    HTTP10_BODY = 21
    UPGRADE_WITH_BODY = 22
    GRAMMAR = 23                         # the second reader, httptools, refused the head or read another length
    CHUNK_SIZE = 24
    CHUNK_EXTENSION = 25
    CHUNK_EXTENSION_TOO_LARGE = 26
    CHUNK_LINE_END = 27
    CHUNK_DATA_END = 28
    TRAILER = 29
    TRAILER_TOO_LARGE = 30
    AMBIGUOUS_PATH = 31                  # servers would read it differently
    HTTP_ON_TLS_PORT = 32
    TLS_ON_HTTP_PORT = 33
    NO_ROUTE = 34                        # 404
    METHOD_NOT_ALLOWED = 35              # 405: CONNECT, TRACE
    HEAD_TIMEOUT = 36                    # 408: timeouts.request_head
    BODY_TIMEOUT = 37                    # 408: timeouts.stream_idle
    BODY_TOO_LARGE = 38                  # 413
    LINE_TOO_LONG = 39                   # 414
    UNKNOWN_EXPECTATION = 40             # 417
    HEAD_TOO_LARGE = 41                  # 431
    TOO_MANY_FIELDS = 42                 # 431
    UNSUPPORTED_CODING = 43              # 501: a transfer coding beside chunked
    HTTP_VERSION = 44                    # 505

    # No endpoint took the request, or none answered in time: 503, 504.
    ENDPOINTS_DOWN = 45                  # 503: every one is out of service
    ENDPOINTS_FULL = 46                  # 503: every one has max_connections
    CONNECT_FAILED = 47                  # 503: no connection could be had
    PENDING_OVERFLOW = 48                # 503: the queue of requests that wait for an endpoint is full
    PENDING_TIMEOUT = 49                 # 503: waited in that queue for too long
    RESPONSE_TIMEOUT = 50                # 504: no response head within response_timeout
    STREAM_IDLE = 51                     # 504: nothing came from the endpoint within timeouts.stream_idle
    TOO_MANY_CONNECTIONS = 52            # 503: limits.max_connections
    INTERNAL_ERROR = 53                  # 503: a fault of ours

    # Ended without an answer of ours: status 0.
    CLIENT_CLOSED = 54                   # the client went away before its response ended
    CLIENT_STALLED = 55                  # the client did not read its response for timeouts.stream_idle
    TOKEN_ENDED = 56                     # the token expired or was revoked while the response ran
    SHUTDOWN = 57                        # the worker ended

    # Of 503 and 504 too: numbers that came later.
    CLUSTER_FULL = 58                    # 503: the cluster has max_requests in flight
    # Of the request too: numbers that came later.
    PSEUDO_FIELD = 59                    # of HTTP/2: one is missing, unknown, twice there or not in front
    CONNECTION_FIELD = 60                # of HTTP/2: a field that only HTTP/1 may have
    FLOOD = 61                           # ended without an answer: too many frames that cost their sender nothing
    ROUTE_TIMEOUT = 62                   # 504: no response head within the route's timeout
    DEADLINE_EXCEEDED = 63               # 504: the deadline that a gRPC client gave its call has passed

    # The response: 502. Those that a request can have too stand 64 above it.
    RESPONSE_BARE_LF = 64 + 1
    RESPONSE_BARE_CR = 64 + 2
    RESPONSE_CONTROL_CHARACTER = 64 + 3
    RESPONSE_FIELD_LINE = 64 + 12
    RESPONSE_CONNECTION_OPTION = 64 + 15
    RESPONSE_CONTENT_LENGTH = 64 + 17
    RESPONSE_LENGTH_AND_ENCODING = 64 + 18
    RESPONSE_TRANSFER_ENCODING = 64 + 19
    RESPONSE_GRAMMAR = 64 + 23
    RESPONSE_CHUNK_SIZE = 64 + 24
    RESPONSE_CHUNK_EXTENSION = 64 + 25
    RESPONSE_CHUNK_EXTENSION_TOO_LARGE = 64 + 26
    RESPONSE_CHUNK_LINE_END = 64 + 27
    RESPONSE_CHUNK_DATA_END = 64 + 28
    RESPONSE_TRAILER = 64 + 29
    RESPONSE_TRAILER_TOO_LARGE = 64 + 30
    RESPONSE_LINE_TOO_LONG = 64 + 39
    RESPONSE_HEAD_TOO_LARGE = 64 + 41
    RESPONSE_TOO_MANY_FIELDS = 64 + 42
    RESPONSE_STATUS_LINE = 108
    RESPONSE_STATUS = 109
    RESPONSE_DUPLICATE_LENGTH = 110
    RESPONSE_UNASKED_UPGRADE = 111
    RESPONSE_BAD_UPGRADE = 112
    RESPONSE_TOO_MANY_INTERIMS = 113     # 1xx responses before the final one
    RESPONSE_INCOMPLETE = 114            # the connection ended within the response
    NO_RESPONSE = 115                    # the connection ended before the response began
    REFUSED_BY_ENDPOINT = 116            # of HTTP/2: the endpoint did not process the request, and it could not be sent again
    WEBSOCKET_UNSUPPORTED = 117          # the endpoint speaks HTTP/2, and takes no WebSocket there (RFC 8441)

    # The question, on a listener with mode: authorize.
    UNTRUSTED_PEER = 120                 # 403: who asks is not among trusted_peers, or does not have the secret
    NOT_DESCRIBED = 121                  # 400: a field that describes the original request is missing, doubled or malformed


cdef enum:
    ERROR_REASONS = 128                  # room for ErrorReason


cdef inline ErrorReason in_response(ErrorReason reason) noexcept nogil:
    """The same fault, in a response."""
    return <ErrorReason>(reason + 64) if reason < ErrorReason.ENDPOINTS_DOWN else reason


# The status that a client gets for it, if its response has not begun; 0: it gets none.
cpdef int error_status(ErrorReason reason) noexcept
