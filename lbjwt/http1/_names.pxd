# What a request or response field is to the proxy, from its name. Length and first letter decide before any comparison:
# most fields of a request are told to be none of ours within two comparisons of integers.

from libc.stdint cimport uint32_t

from lbjwt.http1._scan cimport same

cdef enum:
    FORWARD = 0
    DROPPED = 1              # hop-by-hop (RFC 9110 section 7.6.1) or never passed on
    HOST = 2
    CONNECTION = 3
    UPGRADE = 4
    CONTENT_LENGTH = 5
    TRANSFER_ENCODING = 6
    AUTHORIZATION = 7
    EXPECT = 8
    REQUEST_ID = 9
    FORWARDED_FOR = 10
    FORWARDED_PROTO = 11
    FORWARDED_HOST = 12
    FORWARDED_OTHER = 13     # said about the client by a proxy before us: passed on from trusted peers only
    WEBSOCKET_KEY = 14
    WEBSOCKET_VERSION = 15
    CONDITION = 16           # 16..21: may come once (the list of nginx); told apart only to count them
    DATE = 22                # of a response


cdef inline uint32_t request_kind(const char *at, Py_ssize_t size) noexcept nogil:
    cdef int first = at[0] | 0x20
    if first == c'x':
        return _x_kind(at, size)
    if size == 2:
        return DROPPED if same(at, b"te", 2) else FORWARD
    elif size == 4:
        return HOST if first == c'h' and same(at, b"host", 4) else FORWARD
    elif size == 5:
        return DROPPED if first == c'p' and same(at, b"proxy", 5) else FORWARD
    elif size == 6:
        return EXPECT if first == c'e' and same(at, b"expect", 6) else FORWARD
    elif size == 7:
        if first == c'u' and same(at, b"upgrade", 7):
            return UPGRADE
        return DROPPED if first == c't' and same(at, b"trailer", 7) else FORWARD
    elif size == 8:
        if first != c'i':
            return FORWARD
        if same(at, b"if-match", 8):
            return CONDITION
        return CONDITION + 1 if same(at, b"if-range", 8) else FORWARD
    elif size == 9:
        return FORWARDED_OTHER if first == c'f' and same(at, b"forwarded", 9) else FORWARD
    elif size == 10:
        if first == c'c' and same(at, b"connection", 10):
            return CONNECTION
        return DROPPED if first == c'k' and same(at, b"keep-alive", 10) else FORWARD
    elif size == 13:
        if first == c'a':
            return AUTHORIZATION if same(at, b"authorization", 13) else FORWARD
        if first == c'i':
            return CONDITION + 2 if same(at, b"if-none-match", 13) else FORWARD
        return CONDITION + 3 if first == c'c' and same(at, b"content-range", 13) else FORWARD
    elif size == 14:
        if first == c'c':
            return CONTENT_LENGTH if same(at, b"content-length", 14) else FORWARD
        return DROPPED if first == c'h' and same(at, b"http2-settings", 14) else FORWARD
    elif size == 16:
        return DROPPED if first == c'p' and same(at, b"proxy-connection", 16) else FORWARD
    elif size == 17:
        if first == c't':
            return TRANSFER_ENCODING if same(at, b"transfer-encoding", 17) else FORWARD
        if first == c'i':
            return CONDITION + 4 if same(at, b"if-modified-since", 17) else FORWARD
        return WEBSOCKET_KEY if first == c's' and same(at, b"sec-websocket-key", 17) else FORWARD
    elif size == 19:
        if first == c'p':
            return DROPPED if same(at, b"proxy-authorization", 19) else FORWARD
        return CONDITION + 5 if first == c'i' and same(at, b"if-unmodified-since", 19) else FORWARD
    elif size == 21:
        return WEBSOCKET_VERSION if first == c's' and same(at, b"sec-websocket-version", 21) else FORWARD
    return FORWARD


cdef inline uint32_t _x_kind(const char *at, Py_ssize_t size) noexcept nogil:
    if size == 9:
        return FORWARDED_OTHER if same(at, b"x-real-ip", 9) else FORWARD
    elif size == 12:
        return REQUEST_ID if same(at, b"x-request-id", 12) else FORWARD
    elif size == 13:
        return DROPPED if same(at, b"x-rewrite-url", 13) or same(at, b"x-http-method", 13) else FORWARD
    elif size == 14:
        return DROPPED if same(at, b"x-original-url", 14) else FORWARD
    elif size == 15:
        if same(at, b"x-forwarded-for", 15):
            return FORWARDED_FOR
    elif size == 16:
        if same(at, b"x-forwarded-host", 16):
            return FORWARDED_HOST
    elif size == 17:
        if same(at, b"x-forwarded-proto", 17):
            return FORWARDED_PROTO
        return DROPPED if same(at, b"x-method-override", 17) else FORWARD
    elif size == 22 and same(at, b"x-http-method-override", 22):
        return DROPPED
    if size > 12 and same(at, b"x-forwarded-", 12):
        return FORWARDED_OTHER
    return FORWARD


cdef inline uint32_t response_kind(const char *at, Py_ssize_t size) noexcept nogil:
    cdef int first = at[0] | 0x20
    if size == 2:
        return DROPPED if same(at, b"te", 2) else FORWARD
    elif size == 4:
        return DATE if first == c'd' and same(at, b"date", 4) else FORWARD
    elif size == 7:
        if first == c'u' and same(at, b"upgrade", 7):
            return UPGRADE
        return DROPPED if first == c't' and same(at, b"trailer", 7) else FORWARD
    elif size == 10:
        if first == c'c' and same(at, b"connection", 10):
            return CONNECTION
        return DROPPED if first == c'k' and same(at, b"keep-alive", 10) else FORWARD
    elif size == 12:
        return DROPPED if first == c'x' and same(at, b"x-request-id", 12) else FORWARD   # ours takes its place
    elif size == 14:
        return CONTENT_LENGTH if first == c'c' and same(at, b"content-length", 14) else FORWARD
    elif size == 16:
        return DROPPED if first == c'p' and same(at, b"proxy-connection", 16) else FORWARD
    elif size == 17:
        return TRANSFER_ENCODING if first == c't' and same(at, b"transfer-encoding", 17) else FORWARD
    elif size == 18:
        return DROPPED if first == c'p' and same(at, b"proxy-authenticate", 18) else FORWARD
    return FORWARD
