"""
Where the token of a request is found, and how it is taken out of what is forwarded.

Finds exactly one token in headers, cookies, query parameters and WebSocket subprotocols; the gate checks its characters and all else. All memory is
borrowed, no Python object is made.

Two readers of one request must not find two tokens: what another reader might take for a token location (a name that decodes to it, a
quoted value, a field that `Connection` removes) is refused, neither read nor ignored (THREATS P6, P9).

Source: RFC 6750 section 2, RFC 6265 section 4.2.1, RFC 6455 section 4.1; the subprotocol of tokens in base64url is that of Kubernetes.
"""

cimport cython
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memmove

from lbjwt._compact cimport decode_base64url
from lbjwt._fastverify cimport DenyReason
from lbjwt.auth._place_grammar cimport (
    Match, begins_with, match_cookie, match_credentials, match_param, next_piece, poses_as, query_of, trimmed,
)
from lbjwt.http1._buffer cimport Buffer, Field, Slice
from lbjwt.http1._editing cimport drop_field, own
from lbjwt.http1._names cimport AUTHORIZATION, DROPPED, FORWARD, request_kind
from lbjwt.http1._request cimport RequestHead
from lbjwt.http1._response cimport ResponseHead
from lbjwt.http1._scan cimport HOST_CHARACTER, PLAIN, TOKEN, all_of, equals

from lbjwt.errors import ConfigurationError

cdef enum:
    MAX_PLACES = 32              # of one configuration: more is a mistake, and each costs a comparison per field, cookie or parameter
    SUBPROTOCOL = 63             # its bit in Found.seen

_RESERVED = (b"cookie", b"sec-websocket-protocol", b"sec-websocket-extensions")


cdef int _take(Found *found, int place, Slice token) noexcept nogil:
    """Record an occurrence. A second one in the same place, or another token than before, is refused; an empty value is no token."""
    cdef uint64_t bit = (<uint64_t> 1) << place
    if found.seen & bit:
        return DenyReason.MULTIPLE_TOKENS
    found.seen |= bit
    if token.size == 0:
        return DenyReason.NONE
    if found.token.at == NULL:
        found.token = token
    elif found.token.size != token.size or memcmp(found.token.at, token.at, token.size) != 0:
        return DenyReason.MULTIPLE_TOKENS
    return DenyReason.NONE


# --- the places -----------------------------------------------------------------------------------------------------------

cdef bytes _ascii(str text):
    return text.encode("ascii", "replace")       # "?" is in no alphabet asked for here


cdef tuple _header(str name, str scheme):
    cdef bytes lowered = _ascii(name).lower()
    cdef bytes word = _ascii(scheme).lower()
    if not lowered or not all_of(lowered, len(lowered), PLAIN):
        raise ConfigurationError(f"the header {name!r} must be letters, digits and hyphens")
    if request_kind(lowered, len(lowered)) not in (FORWARD, AUTHORIZATION) or lowered in _RESERVED or lowered.startswith(b"content-"):
        raise ConfigurationError(f"the header {name!r} has a fixed meaning in HTTP and cannot hold a token")
    if not all_of(word, len(word), TOKEN):
        raise ConfigurationError(f"the scheme {scheme!r} of the header {name!r} must be letters, digits and hyphens")
    return lowered, word


cdef int _refuse_repeated(str key, list places) except -1:
    for at, (name, scheme, _) in enumerate(places):
        for before in places[:at]:
            if before[0] == name and before[1] == scheme:
                raise ConfigurationError(f"the list contains {name.decode()} twice", key, at, "name")
            if before[0] == name and not (scheme and before[1]):
                raise ConfigurationError(f"{name.decode()} cannot hold a token both with a scheme and without one", key, at, "name")
    return 0


@cython.final
cdef class TokenPlaces:
    """
    The token locations of a configuration.

    Two places may hold the same token; everything else that occurs twice is MULTIPLE_TOKENS (RFC 6750 section 2, THREATS P5, P6).

    Args:
        headers: (name, scheme, forward). The scheme in any case, one or more spaces, then the token; "" when the whole value is the token.
            A field of another scheme holds no token. One name may have several schemes.
        cookies: (name, forward); the exact name.
        params: (name, forward) of the query; the exact name, of letters, digits and "-._~".
        subprotocol: `bearer, <token>` or `base64url.bearer.authorization.k8s.io.<base64url of the token>`, also without
            `authorization.k8s.io`, in Sec-WebSocket-Protocol; never forwarded.

    Raises:
        ConfigurationError: No place, too many, one twice, or an invalid name or scheme.
    """

    def __cinit__(self, *, headers=(), cookies=(), params=(), bint subprotocol=False):
        cdef list places = []                    # (name, scheme, forward)
        cdef bytes name, scheme
        cdef int i
        for field, word, forward in headers:
            places.append((*_header(field, word), bool(forward)))
        self._cookies = len(places)
        for cookie, forward in cookies:
            name = _ascii(cookie)
            if not name or not all_of(name, len(name), TOKEN):
                raise ConfigurationError(f"the cookie name {cookie!r} contains a character that a cookie name cannot have")
            places.append((name, b"", bool(forward)))
        self._params = len(places)
        for param, forward in params:
            name = _ascii(param)
            if not name or not all_of(name, len(name), HOST_CHARACTER):
                raise ConfigurationError(f"the parameter {param!r} must be letters, digits and \"-._~\"")
            places.append((name, b"", bool(forward)))
        self._count = len(places)
        self._subprotocol = subprotocol
        if self._count + self._subprotocol == 0:
            raise ConfigurationError("no token location is left; remove from_headers for the default one", "from_headers")
        if self._count > MAX_PLACES:
            raise ConfigurationError(f"there can be at most {MAX_PLACES} token locations")
        _refuse_repeated("from_headers", places[:self._cookies])
        _refuse_repeated("from_cookies", places[self._cookies:self._params])
        _refuse_repeated("from_params", places[self._params:])
        self._texts = places
        self._places = <Place *> calloc(self._count + 1, sizeof(Place))
        if self._places == NULL:
            raise MemoryError()
        for i in range(self._count):
            name, scheme, forward = places[i]
            self._places[i] = Place(Slice(name, len(name)), Slice(scheme, len(scheme)), forward)
            # a name without a hyphen has no other spelling
            self._strips |= not forward or (i < self._cookies and b"-" in name)
        self._strips |= subprotocol
        self._plain = not subprotocol and [place[:2] for place in places] == [(b"authorization", b"bearer")]
        self._decoded = Buffer()

    def __dealloc__(self):
        free(self._places)

    cdef DenyReason find(self, RequestHead head, const char **token, Py_ssize_t *size) noexcept:
        cdef Found found
        cdef int reason = DenyReason.NONE
        found.token = Slice(NULL, 0)
        if self._plain:
            if head.authorization_count > 1:
                return DenyReason.MULTIPLE_TOKENS
            if (head.authorization.size
                    and match_credentials(head.authorization, self._places[0].scheme, &found.token) == Match.DOUBTFUL):
                return DenyReason.MALFORMED_CREDENTIALS
        else:
            try:
                reason = self._search(head, &found)
            except BaseException:
                return DenyReason.INTERNAL
        if reason != DenyReason.NONE:
            return <DenyReason> reason
        if found.token.at == NULL:
            return DenyReason.MISSING
        token[0] = found.token.at
        size[0] = found.token.size
        return DenyReason.NONE

    cdef int _search(self, RequestHead head, Found *found) except -1:
        cdef Field *field = head._fields
        cdef Field *end = field + head._count
        cdef uint64_t seen
        cdef int reason
        found.seen = 0
        found.awaited = found.encoded = found.others = False
        head.token_in_query = head.subprotocol_answer = False
        reason = self._search_target(head, found)    # first: the flag has to be right whatever else is wrong
        while field < end and reason == DenyReason.NONE:
            seen = found.seen
            reason = self._search_field(head, field, found)
            if reason == DenyReason.NONE and field.kind == DROPPED and found.seen != seen:
                reason = DenyReason.MALFORMED_CREDENTIALS    # Connection names it: it came to us and could not go on (THREATS P3)
            field += 1
        # Kubernetes' rule: a server never picks the token for an answer, so there must be something else to pick
        if reason == DenyReason.NONE and (found.awaited or (found.encoded and not found.others)):
            return DenyReason.MALFORMED_CREDENTIALS
        return reason

    cdef int _search_target(self, RequestHead head, Found *found) noexcept:
        cdef Slice rest, pair, value
        cdef Match match
        cdef int i, reason
        if self._params == self._count:
            return DenyReason.NONE
        rest = query_of(head.target)
        while next_piece(&rest, c"&", &pair):
            for i in range(self._params, self._count):
                match = match_param(pair, self._places[i].name, &value)
                if match == Match.ANOTHER:
                    continue
                head.token_in_query = True
                reason = DenyReason.MALFORMED_CREDENTIALS if match == Match.DOUBTFUL else _take(found, i, value)
                if reason != DenyReason.NONE:
                    return reason
        return DenyReason.NONE

    cdef int _search_field(self, RequestHead head, Field *field, Found *found) except -1:
        cdef Slice token
        cdef Match match
        cdef int i, reason
        for i in range(self._cookies):
            if equals(field.name, self._places[i].name.at, self._places[i].name.size):
                token = Slice(NULL, 0)
                match = match_credentials(field.value, self._places[i].scheme, &token)
                # Also a line without a token is the one line of this name (THREATS P5).
                reason = DenyReason.MALFORMED_CREDENTIALS if match == Match.DOUBTFUL else _take(found, i, token)
                if reason != DenyReason.NONE:
                    return reason
        if self._cookies < self._params and equals(field.name, b"cookie", 6):
            return self._search_cookies(field.value, found)
        if self._subprotocol and equals(field.name, b"sec-websocket-protocol", 22):
            return self._search_subprotocols(head, field.value, found)
        return DenyReason.NONE

    cdef int _search_cookies(self, Slice value, Found *found) noexcept:
        cdef Slice rest = value
        cdef Slice pair, token
        cdef Match match
        cdef int i, reason
        while next_piece(&rest, c";", &pair):
            for i in range(self._cookies, self._params):
                match = match_cookie(pair, self._places[i].name, &token)
                if match == Match.ANOTHER:
                    continue
                reason = DenyReason.MALFORMED_CREDENTIALS if match == Match.DOUBTFUL else _take(found, i, token)
                if reason != DenyReason.NONE:
                    return reason
        return DenyReason.NONE

    cdef int _search_subprotocols(self, RequestHead head, Slice value, Found *found) except -1:
        """Several lines are one list (RFC 6455 section 11.3.4). Names have a case; one of ours in another is doubtful."""
        cdef Slice rest = value
        cdef Slice piece
        cdef int reason = DenyReason.NONE
        while reason == DenyReason.NONE and next_piece(&rest, c",", &piece):
            piece = trimmed(piece)
            if piece.size == 0:
                continue
            if equals(piece, b"bearer", 6):
                if found.awaited or memcmp(piece.at, b"bearer", 6) != 0:
                    return DenyReason.MALFORMED_CREDENTIALS
                found.awaited = True
            elif found.awaited:
                found.awaited = False
                head.subprotocol_answer = True
                reason = _take(found, SUBPROTOCOL, piece)
            elif begins_with(piece, b"base64url.bearer.", 17):
                reason = self._decode(piece, found)
            else:
                found.others = True
        return reason

    cdef int _decode(self, Slice text, Found *found) except -1:
        cdef Py_ssize_t size
        if found.seen >> SUBPROTOCOL & 1:
            return DenyReason.MULTIPLE_TOKENS    # and the memory of the first one stays as it is
        if memcmp(text.at, b"base64url.bearer.", 17) != 0:
            return DenyReason.MALFORMED_CREDENTIALS
        text = Slice(text.at + 17, text.size - 17)
        if text.size >= 21 and memcmp(text.at, b"authorization.k8s.io.", 21) == 0:
            text = Slice(text.at + 21, text.size - 21)
        self._decoded.clear()
        self._decoded.reserve(text.size)
        size = decode_base64url(text.at, text.size, <unsigned char *> self._decoded.data)
        if size <= 0:
            return DenyReason.MALFORMED_CREDENTIALS
        found.encoded = True
        return _take(found, SUBPROTOCOL, Slice(self._decoded.data, size))

    cpdef int strip(self, RequestHead head) except -1:
        cdef Field *field = head._fields
        cdef Field *end = field + head._count
        cdef bint awaited = False
        cdef Slice query
        cdef Py_ssize_t start
        if not self._strips:
            return 0
        while field < end:
            if field.kind != DROPPED:
                if self._is_dropped(field):
                    drop_field(field)
                elif ((self._cookies < self._params and equals(field.name, b"cookie", 6)
                        and self._cut(head, &field.value, 0, c";", NULL))
                        or (self._subprotocol and equals(field.name, b"sec-websocket-protocol", 22)
                            and self._cut(head, &field.value, 0, c",", &awaited))):
                    field.value = trimmed(field.value)
                    if field.value.size == 0:
                        drop_field(field)
            field += 1
        if self._params < self._count:
            query = query_of(head.target)
            if query.at != NULL:
                start = query.at - head.target.at
                if self._cut(head, &head.target, start, c"&", NULL) and head.target.size == start:
                    head.target.size -= 1        # nothing is left behind the question mark
        return 0

    cdef bint _is_dropped(self, Field *field) noexcept:
        cdef Slice token
        cdef int i
        for i in range(self._cookies):
            if poses_as(field.name, self._places[i].name.at, self._places[i].name.size):
                return True
            if (not self._places[i].forward and equals(field.name, self._places[i].name.at, self._places[i].name.size)
                    and match_credentials(field.value, self._places[i].scheme, &token) != Match.ANOTHER):
                return True
        return self._subprotocol and poses_as(field.name, b"sec-websocket-protocol", 22)

    cdef bint _is_cut(self, Slice piece, char separator, bint *awaited) noexcept:
        """True for a piece that is not forwarded: every one that a search takes or refuses, so that no doubtful token gets through."""
        cdef Slice value
        cdef int i
        if separator == c",":
            piece = trimmed(piece)
            if equals(piece, b"bearer", 6):
                awaited[0] = True
                return True
            if piece.size and awaited[0]:
                awaited[0] = False
                return True
            return begins_with(piece, b"base64url.bearer.", 17)
        if separator == c";":
            for i in range(self._cookies, self._params):
                if not self._places[i].forward and match_cookie(piece, self._places[i].name, &value):
                    return True
        else:
            for i in range(self._params, self._count):
                if not self._places[i].forward and match_param(piece, self._places[i].name, &value):
                    return True
        return False

    cdef int _cut(self, RequestHead head, Slice *text, Py_ssize_t start, char separator, bint *awaited) except -1:
        """Cut pieces, each with one separator, out of the list that begins `start` bytes into `text`. 1 if any was cut."""
        cdef Slice rest = Slice(text.at + start, text.size - start)
        cdef Slice piece
        cdef const char *began = text.at
        cdef Py_ssize_t size = start             # of what is kept
        cdef bint separated = False              # a piece was kept
        cdef char *room = NULL
        while next_piece(&rest, separator, &piece):
            if self._is_cut(piece, separator, awaited):
                if room == NULL:
                    room = own(head, text)
                continue
            if room != NULL:
                if separated:
                    room[size] = separator
                # what was kept before stands where it stood; the rest moves up
                memmove(room + size + separated, room + (piece.at - began), piece.size)
            size += piece.size + separated
            separated = True
        if room == NULL:
            return 0
        text.size = size
        return 1

    def find_in(self, RequestHead head not None):
        cdef const char *token = NULL
        cdef Py_ssize_t size = 0
        cdef DenyReason reason = self.find(head, &token, &size)
        return reason, token[:size] if reason == DenyReason.NONE else None


def bearer_token(bytes value not None):
    """Why an Authorization value has no bearer token, or NONE; and the token."""
    cdef Slice token = Slice(NULL, 0)
    cdef Match match = match_credentials(Slice(value, len(value)), Slice(b"bearer", 6), &token)
    if match == Match.ANOTHER:
        return DenyReason.MISSING, b""
    if match == Match.DOUBTFUL or token.size == 0:
        return DenyReason.MALFORMED_CREDENTIALS, b""
    return DenyReason.NONE, token.at[:token.size]


# --- the response ---------------------------------------------------------------------------------------------------------

cdef const char *fields_owed(ResponseHead head, bint subprotocol_answer, bint token_in_query, Py_ssize_t *size) noexcept:
    cdef const char *fields = NULL
    size[0] = 0
    if head.status == 101:
        # A browser that offered protocols fails a handshake that picks none; "bearer" was taken out, so the endpoint cannot pick it.
        if subprotocol_answer and not head.names_subprotocol():
            fields = b"Sec-WebSocket-Protocol: bearer\r\n"
            size[0] = 32
    elif token_in_query and head.status >= 200:
        fields = b"Cache-Control: private\r\n"   # RFC 6750 section 2.3: the address of the response is a secret (THREATS P8)
        size[0] = 24
    return fields
