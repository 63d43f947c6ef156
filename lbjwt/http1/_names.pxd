# What a request or response field is to the proxy, from its name. The length picks the names to compare with and the first letter decides which:
# most fields of a request are told to be none of ours within two comparisons of integers.

from libc.stdint cimport uint32_t

from lbjwt.http1._scan cimport same

cdef extern from *:
    """
    enum {
        LBJ_FORWARD, LBJ_DROPPED, LBJ_HOST_FIELD, LBJ_CONNECTION, LBJ_UPGRADE, LBJ_CONTENT_LENGTH, LBJ_TRANSFER_ENCODING, LBJ_AUTHORIZATION,
        LBJ_EXPECT, LBJ_REQUEST_ID, LBJ_FORWARDED_FOR, LBJ_FORWARDED_PROTO, LBJ_FORWARDED_HOST, LBJ_FORWARDED_OTHER, LBJ_WEBSOCKET_KEY,
        LBJ_WEBSOCKET_VERSION, LBJ_CONDITION, LBJ_DATE = LBJ_CONDITION + 6
    };
    /* By length; an empty text ends a row. */
    typedef struct { char text[23]; uint8_t kind; } lbj_name;
    static const lbj_name lbj_request_names[23][6] = {
        [2] = {{"te", LBJ_DROPPED}},
        [4] = {{"host", LBJ_HOST_FIELD}},
        [5] = {{"proxy", LBJ_DROPPED}},
        [6] = {{"expect", LBJ_EXPECT}},
        [7] = {{"upgrade", LBJ_UPGRADE}, {"trailer", LBJ_DROPPED}},
        [8] = {{"if-match", LBJ_CONDITION}, {"if-range", LBJ_CONDITION + 1}},
        [9] = {{"forwarded", LBJ_FORWARDED_OTHER}, {"x-real-ip", LBJ_FORWARDED_OTHER}},
        [10] = {{"connection", LBJ_CONNECTION}, {"keep-alive", LBJ_DROPPED}},
        [12] = {{"x-request-id", LBJ_REQUEST_ID}},
        [13] = {{"authorization", LBJ_AUTHORIZATION}, {"if-none-match", LBJ_CONDITION + 2}, {"content-range", LBJ_CONDITION + 3},
                {"x-rewrite-url", LBJ_DROPPED}, {"x-http-method", LBJ_DROPPED}},
        [14] = {{"content-length", LBJ_CONTENT_LENGTH}, {"http2-settings", LBJ_DROPPED}, {"x-original-url", LBJ_DROPPED}},
        [15] = {{"x-forwarded-for", LBJ_FORWARDED_FOR}},
        [16] = {{"proxy-connection", LBJ_DROPPED}, {"x-forwarded-host", LBJ_FORWARDED_HOST}},
        [17] = {{"transfer-encoding", LBJ_TRANSFER_ENCODING}, {"if-modified-since", LBJ_CONDITION + 4}, {"sec-websocket-key", LBJ_WEBSOCKET_KEY},
                {"x-forwarded-proto", LBJ_FORWARDED_PROTO}, {"x-method-override", LBJ_DROPPED}},
        [19] = {{"proxy-authorization", LBJ_DROPPED}, {"if-unmodified-since", LBJ_CONDITION + 5}},
        [21] = {{"sec-websocket-version", LBJ_WEBSOCKET_VERSION}},
        [22] = {{"x-http-method-override", LBJ_DROPPED}},
    };
    static const lbj_name lbj_response_names[23][3] = {
        [2] = {{"te", LBJ_DROPPED}},
        [4] = {{"date", LBJ_DATE}},
        [7] = {{"upgrade", LBJ_UPGRADE}, {"trailer", LBJ_DROPPED}},
        [10] = {{"connection", LBJ_CONNECTION}, {"keep-alive", LBJ_DROPPED}},
        [12] = {{"x-request-id", LBJ_DROPPED}},      /* ours takes its place */
        [14] = {{"content-length", LBJ_CONTENT_LENGTH}},
        [16] = {{"proxy-connection", LBJ_DROPPED}},
        [17] = {{"transfer-encoding", LBJ_TRANSFER_ENCODING}},
        [18] = {{"proxy-authenticate", LBJ_DROPPED}},
    };
    static inline uint32_t lbj_kind(const lbj_name *known, const char *at, Py_ssize_t size) {
        const char first = at[0] | 0x20;
        for (; known->kind; known++) if (known->text[0] == first && lbj_same(at, known->text, size)) return known->kind;
        return LBJ_FORWARD;
    }
    static inline uint32_t lbj_request_kind(const char *at, Py_ssize_t size) {
        const uint32_t kind = size < 23 ? lbj_kind(lbj_request_names[size], at, size) : LBJ_FORWARD;
        if (kind == LBJ_FORWARD && size > 12 && (at[0] | 0x20) == 'x' && lbj_same(at, "x-forwarded-", 12)) return LBJ_FORWARDED_OTHER;
        return kind;
    }
    static inline uint32_t lbj_response_kind(const char *at, Py_ssize_t size) {
        return size < 23 ? lbj_kind(lbj_response_names[size], at, size) : LBJ_FORWARD;
    }
    """
    enum:
        FORWARD "LBJ_FORWARD"
        DROPPED "LBJ_DROPPED"                        # hop-by-hop (RFC 9110 section 7.6.1) or never passed on
        HOST "LBJ_HOST_FIELD"
        CONNECTION "LBJ_CONNECTION"
        UPGRADE "LBJ_UPGRADE"
        CONTENT_LENGTH "LBJ_CONTENT_LENGTH"
        TRANSFER_ENCODING "LBJ_TRANSFER_ENCODING"
        AUTHORIZATION "LBJ_AUTHORIZATION"
        EXPECT "LBJ_EXPECT"
        REQUEST_ID "LBJ_REQUEST_ID"
        FORWARDED_FOR "LBJ_FORWARDED_FOR"
        FORWARDED_PROTO "LBJ_FORWARDED_PROTO"
        FORWARDED_HOST "LBJ_FORWARDED_HOST"
        FORWARDED_OTHER "LBJ_FORWARDED_OTHER"        # said about the client by a proxy before us: passed on from trusted peers only
        WEBSOCKET_KEY "LBJ_WEBSOCKET_KEY"
        WEBSOCKET_VERSION "LBJ_WEBSOCKET_VERSION"
        CONDITION "LBJ_CONDITION"                    # and the five above it: may come once (the list of nginx)
        DATE "LBJ_DATE"                              # of a response
    uint32_t request_kind "lbj_request_kind"(const char *at, Py_ssize_t size) noexcept nogil
    uint32_t response_kind "lbj_response_kind"(const char *at, Py_ssize_t size) noexcept nogil
