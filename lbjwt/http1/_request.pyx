"""
The request head: parsed by rules stricter than any backend's, written anew from its parts.

Two readers, one verdict: this module slices the bytes, httptools judges them, both must accept. What is ambiguous is
refused, not repaired; after a refusal the connection has to be closed, for nothing behind the head can be trusted.
Pure rules on data: no I/O, no clock. Nothing here raises but MemoryError.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_GET_BUFFER
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, strncmp

from lbjwt.http1._forwarded cimport is_forwarded, put_forwarded, put_forwarded_for, put_forwarded_host, put_forwarded_proto
from lbjwt.http1._grammar cimport is_authority, is_request_id, same_text, without_default_port
from lbjwt.http1._judge cimport request_head_stands
from lbjwt.http1._names cimport (
    AUTHORIZATION, CONDITION, CONNECTION, CONTENT_LENGTH, DROPPED, EXPECT, FORWARD, FORWARDED_FOR, FORWARDED_HOST, FORWARDED_OTHER,
    FORWARDED_PROTO, HOST, REQUEST_ID, TRANSFER_ENCODING, UPGRADE, WEBSOCKET_KEY, WEBSOCKET_VERSION, request_kind,
)
from lbjwt.http1._scan cimport (
    DIGIT, PLAIN, TARGET, TOKEN, all_of, byte_class, equals, fold, is_stacked_coding,
    next_element, parse_length, same, scan_head, split_field,
)
from lbjwt.http1._writing cimport put_content_length, put_field, put_line_end, put_slice, put_text

cdef enum:
    EMPTY_LINES = 2          # before the request line; RFC 9112 section 2.2 asks for at least one to be ignored
    NOMINATIONS = 32         # names in Connection; each is looked for among all fields
    SCHEME = 7               # bytes of "Bearer "; a token behind another word is looked up when it has been found
    DROP_NAMES = 0
    REJECT_NAMES = 1
    # kinds that may come once; the list of nginx, less Authorization: the gate answers for that one
    ONCE = (1 << HOST | 1 << CONTENT_LENGTH | 1 << TRANSFER_ENCODING | 1 << EXPECT | 0x3f << CONDITION)


cdef class RequestPolicy:

    def __cinit__(self, *, Py_ssize_t max_request_line=8192, Py_ssize_t max_head=32768, Py_ssize_t max_fields=100,
                  str header_names="drop", str forwarded_headers="x-forwarded", bint forward_token=True, bint allow_websocket=True, bint https=False,
                  identity_headers=()):
        cdef Py_ssize_t i
        cdef bytes name
        self.max_head = max_head
        self.max_fields = max_fields
        self.max_request_line = min(max_request_line, max_head - 3)
        self.x_forwarded = forwarded_headers != "forwarded"
        self.forwarded = forwarded_headers != "x-forwarded"
        self.header_names = ("drop", "reject", "allow").index(header_names)
        self.forward_token = forward_token
        self.allow_websocket = allow_websocket
        self.https = https
        self._identity_names = tuple(sorted({header.lower().encode("ascii") for header in identity_headers}))
        self._identity_count = len(self._identity_names)
        self._identity = <Slice *> malloc((self._identity_count + 1) * sizeof(Slice))
        if self._identity == NULL:
            raise MemoryError()
        for i in range(self._identity_count):
            name = self._identity_names[i]
            self._identity[i] = Slice(name, len(name))
            self._identity_sizes |= (<uint64_t> 1) << min(len(name), 63)

    def __dealloc__(self):
        free(self._identity)

    cdef bint is_identity(self, Slice name) noexcept:
        cdef Py_ssize_t i, k
        if not (self._identity_sizes >> (name.size if name.size < 63 else 63)) & 1:
            return False
        for i in range(self._identity_count):
            if self._identity[i].size != name.size:
                continue
            k = 0
            while k < name.size and fold(name.at[k]) == self._identity[i].at[k]:
                k += 1
            if k == name.size:
                return True
        return False

    cdef uint32_t _kind_of(self, Slice name, bint odd) noexcept:
        """The kind of a field; for an odd name, of the name that a folding backend would take it for."""
        cdef char folded[24]
        cdef Py_ssize_t i
        if self.is_identity(name):
            return DROPPED
        if not odd:
            return request_kind(name.at, name.size)
        if name.size > 24:                       # longer than any name the proxy rules on, but for the open-ended family
            for i in range(12):
                folded[i] = fold(name.at[i])
            return FORWARDED_OTHER if same(folded, b"x-forwarded-", 12) else FORWARD
        for i in range(name.size):
            folded[i] = fold(name.at[i])
        return request_kind(folded, name.size)


cdef class Head:

    def __dealloc__(self):
        free(self._fields)

    cdef bint _refuse(self, ErrorReason problem):
        """Say why; False, for the caller to hand on."""
        self.problem = problem
        return False

    cdef Py_buffer *_borrow(self, data) except NULL:
        self._borrowed = memoryview(data)
        return PyMemoryView_GET_BUFFER(self._borrowed)

    cdef bint _take_connection(self, RequestPolicy policy, ErrorReason malformed):
        cdef Field *field = self._fields
        cdef Field *end = field + self._count
        cdef Slice rest, name
        while field < end:
            rest = field.value
            while field.kind == CONNECTION and next_element(&rest, &name):
                if equals(name, b"keep-alive", 10):
                    self._keep_alive_said = True
                elif equals(name, b"close", 5):
                    self._close_said = True
                elif equals(name, b"upgrade", 7):
                    self._connection_upgrade = True
                elif not all_of(name.at, name.size, TOKEN):
                    return self._refuse(malformed)
                elif not self._nominate(name, policy):
                    return False
            field += 1
        return True

    cdef bint _nominate(self, Slice name, RequestPolicy policy):
        cdef Field *field = self._fields
        cdef Field *end = field + self._count
        while field < end:
            if (field.kind == FORWARD or field.kind >= CONDITION) and same_text(field.name, name):
                field.kind = DROPPED
            field += 1
        return True

    def fields(self):
        cdef Py_ssize_t i
        return [(self._fields[i].name.at[:self._fields[i].name.size], self._fields[i].value.at[:self._fields[i].value.size])
                for i in range(self._count)]


cdef class RequestHead(Head):

    cdef Parse parse(self, const char *data, Py_ssize_t size, Py_ssize_t seen, RequestPolicy policy, bytes known):
        cdef Py_ssize_t start = 0
        cdef Py_ssize_t found
        cdef Slice line
        self.size = self._owned = 0
        self.problem = ErrorReason.NO_ERROR
        self.method = Method.OTHER               # nothing of an earlier head is left to be read after a refusal
        self.http10 = self.token_in_query = self.subprotocol_answer = False
        self.recalled = None
        self.method_name = self.target = self.host = self.authorization = self.request_id = Slice(NULL, 0)
        while start < size and (data[start] == c'\r' or data[start] == c'\n'):
            if data[start] == c'\n':
                self._refuse(ErrorReason.BARE_LF)
            elif start == 2 * EMPTY_LINES:
                self._refuse(ErrorReason.EMPTY_LINES)
            elif start + 1 == size:
                return Parse.NEED_MORE
            elif data[start + 1] != c'\n':
                self._refuse(ErrorReason.BARE_CR)
            if self.problem:
                return Parse.REFUSED
            start += 2
        if start == size:
            return Parse.NEED_MORE
        found = scan_head(data, size, start, seen, policy.max_request_line, policy.max_head, policy.max_fields, &line,
                          &self._fields, &self._count, &self._capacity)
        if found == 0:
            return Parse.NEED_MORE
        if found < 0:
            self._refuse(<ErrorReason> -found)
        elif self._count > policy.max_fields:
            self._count = 0
            self._refuse(ErrorReason.TOO_MANY_FIELDS)
        elif (self._take_request_line(line) and self._take_fields(policy) and self._take_host_and_target()
                and self._take_framing() and self._take_intents(policy)):
            self.size = found
            if request_head_stands(data + start, found - start, self.authorization, self._known_token(known),
                                   -2 if self.chunked else self.content_length, self.keep_alive):
                return Parse.COMPLETE
            self._refuse(ErrorReason.GRAMMAR)
        return Parse.REFUSED

    cdef Py_ssize_t _known_token(self, bytes known):
        """Size of the accepted token at the end of the Authorization value: the last one of the connection, or one in the cache. 0: none is known."""
        cdef const char *at = self.authorization.at
        cdef Py_ssize_t size = self.authorization.size
        cdef Py_ssize_t before
        if known is not None:
            before = size - PyBytes_GET_SIZE(known)
            if before >= 0 and memcmp(at + before, PyBytes_AS_STRING(known), size - before) == 0:
                return size - before
        if self.verified is not None and size > SCHEME and at[SCHEME - 1] == c' ':
            self.recalled = self.verified.find(at + SCHEME, size - SCHEME)
            if self.recalled is not None:
                return size - SCHEME
        return 0

    cdef bint _take_request_line(self, Slice line):
        """method SP request-target SP HTTP-version (RFC 9112 section 3), one space each."""
        cdef const char *end = line.at + line.size
        cdef const char *version = end - 8
        cdef const char *at = line.at
        while at < end and byte_class[<uint8_t> at[0]] & TOKEN:
            at += 1
        if (at == line.at or at == end or at[0] != c' ' or version - at < 3 or (version - 1)[0] != c' '
                or memcmp(version, b"HTTP/", 5) != 0 or version[6] != c'.'
                or not (byte_class[<uint8_t> version[5]] & DIGIT and byte_class[<uint8_t> version[7]] & DIGIT)):
            return self._refuse(ErrorReason.REQUEST_LINE)
        self.method_name.at = line.at
        self.method_name.size = at - line.at
        self.method = _method_of(self.method_name)
        if version[5] != c'1' or version[7] > c'1':
            return self._refuse(ErrorReason.HTTP_VERSION)
        self.http10 = version[7] == c'0'
        if self.method == Method.CONNECT or self.method == Method.TRACE:
            return self._refuse(ErrorReason.METHOD_NOT_ALLOWED)
        self.target.at = at + 1
        self.target.size = version - 1 - self.target.at
        if not all_of(self.target.at, self.target.size, TARGET):
            return self._refuse(ErrorReason.TARGET_CHARACTER)
        return True

    cdef bint _take_fields(self, RequestPolicy policy):
        """Split every field line, find out its kind and keep the values of those that mean something to the proxy."""
        cdef Field *field = self._fields
        cdef Field *end = self._fields + self._count
        cdef bint odd = False
        cdef uint32_t bit
        self._known = self._repeated = 0
        self.dropped_names = self.authorization_count = self._nominations = 0
        self._connection_upgrade = self._close_said = self._keep_alive_said = False
        while field < end:
            if split_field(field, &odd) < 0:
                return self._refuse(ErrorReason.FIELD_LINE)
            field.kind = policy._kind_of(field.name, odd)
            if odd:
                if policy.header_names == REJECT_NAMES:
                    return self._refuse(ErrorReason.FIELD_NAME)
                if policy.header_names == DROP_NAMES or field.kind != FORWARD:
                    field.kind = DROPPED         # under "allow" too when it folds to a name that the proxy rules on
                    self.dropped_names += 1
            elif field.kind > DROPPED:
                bit = (<uint32_t> 1) << field.kind
                if self._known & bit & ONCE:
                    return self._refuse(ErrorReason.TWO_HOSTS if field.kind == HOST else ErrorReason.DUPLICATE_FIELD)
                self._repeated |= self._known & bit
                self._known |= bit
                self._special[field.kind] = field.value
                if field.kind == AUTHORIZATION:
                    self.authorization_count += 1
            field += 1
        self.authorization = self._lone(AUTHORIZATION)
        if self._known & (1 << CONNECTION) and not self._take_connection(policy, ErrorReason.CONNECTION_OPTION):
            return False
        self.keep_alive = not self._close_said and (self._keep_alive_said or not self.http10)     # RFC 9112 section 9.3
        return True

    cdef inline Slice _lone(self, uint32_t kind) noexcept:
        """The value of a kind that came exactly once; at is NULL otherwise."""
        if self._known & ~self._repeated & ((<uint32_t> 1) << kind):
            return self._special[kind]
        return Slice(NULL, 0)

    cdef bint _nominate(self, Slice name, RequestPolicy policy):
        """A name whose loss would change what the request means to the backend (P3) is refused."""
        cdef uint32_t kind = policy._kind_of(name, not all_of(name.at, name.size, PLAIN))
        if (policy.is_identity(name) or HOST <= kind < CONDITION or self._nominations == NOMINATIONS
                or (name.size > 8 and same(name.at, b"content-", 8))):
            return self._refuse(ErrorReason.CONNECTION_NOMINATES)
        self._nominations += 1
        return Head._nominate(self, name, policy)

    cdef bint _take_host_and_target(self):
        """Exactly one valid Host (RFC 9112 section 3.2); the target as an origin server is asked (sections 3.2.1 to 3.2.4)."""
        cdef const char *at = self.target.at
        cdef const char *end = at + self.target.size
        cdef Slice authority
        cdef bint https = False
        self.host = self._lone(HOST)
        if self.host.at == NULL:
            if not self.http10:
                return self._refuse(ErrorReason.MISSING_HOST)
        elif not is_authority(self.host):
            return self._refuse(ErrorReason.INVALID_HOST)
        if at[0] == c'/':
            return True
        if at[0] == c'*' and self.target.size == 1 and self.method == Method.OPTIONS:
            return True
        if self.target.size > 7 and same(at, b"http://", 7):
            at += 7
        elif self.target.size > 8 and same(at, b"https://", 8):
            at += 8
            https = True
        else:
            return self._refuse(ErrorReason.TARGET_FORM)
        authority.at = at
        while at < end and at[0] != c'/' and at[0] != c'?':
            at += 1
        authority.size = at - authority.at
        if not is_authority(authority):
            return self._refuse(ErrorReason.TARGET_FORM)
        if self.host.at == NULL:
            self.host = authority
        elif not same_text(without_default_port(self.host, https), without_default_port(authority, https)):
            return self._refuse(ErrorReason.TARGET_NOT_HOST)
        if at < end and at[0] == c'/':
            self.target.at = at
            self.target.size = end - at
            return True
        if at == end:                            # no path: "*" for OPTIONS (section 3.2.4), "/" for all others
            self.target.at = b"*" if self.method == Method.OPTIONS else b"/"
            self.target.size = 1
            return True
        if self._rewritten is None:
            self._rewritten = Buffer()
        self._rewritten.clear()
        self._rewritten.put(b"/", 1)
        self._rewritten.put(at, end - at)
        self.target.at = self._rewritten.data
        self.target.size = self._rewritten.size
        return True

    cdef bint _take_framing(self):
        """The length of the body (RFC 9112 sections 6.1 to 6.3). Anything but one clear statement is refused."""
        self.chunked = False
        self.content_length = -1
        if self._known & (1 << TRANSFER_ENCODING):
            if self._known & (1 << CONTENT_LENGTH):
                return self._refuse(ErrorReason.LENGTH_AND_ENCODING)
            if self.http10:
                return self._refuse(ErrorReason.HTTP10_ENCODING)
            if not equals(self._special[TRANSFER_ENCODING], b"chunked", 7):
                return self._refuse(ErrorReason.UNSUPPORTED_CODING if is_stacked_coding(self._special[TRANSFER_ENCODING])
                                    else ErrorReason.TRANSFER_ENCODING)
            self.chunked = True
            return True
        if self._known & (1 << CONTENT_LENGTH):
            self.content_length = parse_length(self._special[CONTENT_LENGTH])
            if self.content_length < 0:
                return self._refuse(ErrorReason.CONTENT_LENGTH)
            if (self.http10 and self.content_length > 0
                    and (self.method == Method.GET or self.method == Method.HEAD or self.method == Method.DELETE)):
                return self._refuse(ErrorReason.HTTP10_BODY)
        return True

    cdef bint _take_intents(self, RequestPolicy policy):
        """Expect, Upgrade, X-Request-Id."""
        cdef bint has_body = self.chunked or self.content_length > 0
        cdef Slice key
        self.expect_continue = False
        if self._known & (1 << EXPECT):
            if not equals(self._special[EXPECT], b"100-continue", 12):
                return self._refuse(ErrorReason.UNKNOWN_EXPECTATION)
            self.expect_continue = has_body and not self.http10      # RFC 9110 section 10.1.1
        self.websocket = False
        if self._known & (1 << UPGRADE):
            # A server may ignore an Upgrade field (RFC 9110 section 7.8). Any but a handshake of RFC 6455 section 4.1 is not passed on, whatever
            # it names, and the request goes its way without it: the endpoint has nothing to switch to, and a 101 of its own is refused.
            if has_body and self._names_websocket():
                return self._refuse(ErrorReason.UPGRADE_WITH_BODY)   # p12: parsers differ on where the body goes
            key = self._lone(WEBSOCKET_KEY)
            self.websocket = (
                policy.allow_websocket and self._connection_upgrade and self.method == Method.GET and not self.http10
                and equals(self._lone(UPGRADE), b"websocket", 9) and equals(self._lone(WEBSOCKET_VERSION), b"13", 2)
                and key.size == 24 and key.at[22] == c'=' and key.at[23] == c'=')
        self.request_id = self._lone(REQUEST_ID)
        if not is_request_id(self.request_id):
            self.request_id = Slice(NULL, 0)
        return True

    cdef bint _names_websocket(self) noexcept:
        """Some Upgrade field names websocket, with or without a version."""
        cdef Field *field = self._fields
        cdef Field *end = self._fields + self._count
        cdef Slice rest, name
        while field < end:
            rest = field.value
            while field.kind == UPGRADE and next_element(&rest, &name):
                if name.size >= 9 and same(name.at, b"websocket", 9):
                    return True
            field += 1
        return False

    cdef int write(self, Buffer out, RequestPolicy policy, Slice peer, bint trusted, bytes identity,
                   Slice request_id) except -1:
        cdef Field *field = self._fields
        cdef Field *end = self._fields + self._count
        cdef uint32_t kind
        cdef char *at
        # every client byte at most three times (Host comes back in X-Forwarded-Host and Forwarded), one space per field, and what we add; the target
        # may have been rewritten to a longer one
        out.reserve(3 * self.size + self.target.size + self._count + 2 * peer.size + len(identity) + request_id.size + 1024)
        at = out.data + out.size
        at = put_slice(at, self.method_name)
        at[0] = c' '
        at = put_slice(at + 1, self.target)
        at = put_text(at, b" HTTP/1.1\r\nHost: ", 17)
        if self.host.size:
            at = put_slice(at, self.host)
        at = put_line_end(at)
        while field < end:
            kind = field.kind
            if (kind == FORWARD or kind >= WEBSOCKET_KEY
                    or (kind == FORWARDED_OTHER and trusted and not (policy.forwarded and is_forwarded(field)))
                    or (kind == AUTHORIZATION and policy.forward_token and self.authorization_count == 1)):
                at = put_field(at, field.name, field.value)
            field += 1
        if self.chunked:
            at = put_text(at, b"Transfer-Encoding: chunked\r\n", 28)
        elif self.content_length >= 0:
            at = put_content_length(at, self.content_length)
        if self.expect_continue:
            at = put_text(at, b"Expect: 100-continue\r\n", 22)
        if self.websocket:
            at = put_text(at, b"Connection: Upgrade\r\nUpgrade: websocket\r\n", 41)
        if policy.x_forwarded:
            at = put_forwarded_for(at, peer, self._fields if trusted and self._known & (1 << FORWARDED_FOR) else NULL, end)
            at = put_forwarded_proto(at, self._lone(FORWARDED_PROTO), trusted, policy.https)
            at = put_forwarded_host(at, self._lone(FORWARDED_HOST), trusted, self.host)
        if policy.forwarded:
            at = put_forwarded(at, peer, policy.https, self.host, self._fields if trusted else NULL, end, self._lone(FORWARDED_PROTO),
                               self._lone(FORWARDED_HOST))
        if trusted and self.request_id.at != NULL:
            request_id = self.request_id
        if request_id.size:
            at = put_text(at, b"X-Request-Id: ", 14)
            at = put_line_end(put_slice(at, request_id))
        at = put_text(at, identity, len(identity))
        at = put_line_end(at)
        out.size = at - out.data
        return 0

    def parse_bytes(self, data, RequestPolicy policy not None, Py_ssize_t seen=0, bytes known=None, GrantCache verified=None):
        cdef Py_buffer *view = self._borrow(data)
        self.verified = verified
        return self.parse(<const char *> view.buf, view.len, seen, policy, known)

    def parts(self):
        return (self.method_name.at[:self.method_name.size], self.target.at[:self.target.size],
                self.host.at[:self.host.size] if self.host.size else b"")

    def write_bytes(self, RequestPolicy policy not None, *, bytes peer=b"192.0.2.1", bint trusted=False,
                    bytes identity=b"", bytes request_id=b""):
        cdef Buffer out = Buffer()
        self.write(out, policy, Slice(peer, len(peer)), trusted, identity, Slice(request_id, len(request_id)))
        return out.data[:out.size]


cdef const char *_METHODS[10]
_METHODS[:] = [b"", b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT"]


cdef Method _method_of(Slice name) noexcept:
    """The method of this name, which is case-sensitive (RFC 9110 section 9.1)."""
    cdef int number
    for number in range(1, 10):
        if strncmp(_METHODS[number], name.at, name.size) == 0 and _METHODS[number][name.size] == 0:
            return <Method> number
    return Method.OTHER
