"""
One request of an application, read and decided by the code that serves the balancer's requests.

Nothing here waits, and nothing is sent: `lbjwt.asgi` and `lbjwt.wsgi` do that.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.pythread cimport NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_release_lock, PyThread_type_lock, WAIT_LOCK
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memchr, memcmp

from lbjwt._compact cimport Parts, decoded, split
from lbjwt._error_reason cimport error_status
from lbjwt._fastverify cimport DenyReason, KEYS_UNAVAILABLE, NONE, UNKNOWN_KEY
from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._request cimport Parse
from lbjwt.http1._scan cimport HOST_CHARACTER, byte_class, equals
from lbjwt.net._clock cimport wall_clock

from os import register_at_fork

from orjson import loads

from lbjwt._fastverify import DenyReason as Reason

cdef object _loads = loads
# One request at a time: the reader of heads and what is found in them belong to one thread, as in a worker of the balancer.
cdef PyThread_type_lock _judging = PyThread_allocate_lock()


def _renew_lock():
    """In a forked process, where another thread of the parent may have had the lock."""
    global _judging
    _judging = PyThread_allocate_lock()


register_at_fork(after_in_child=_renew_lock)


cdef inline void _lock() noexcept:
    if not PyThread_acquire_lock(_judging, NOWAIT_LOCK):
        with nogil:                      # its holder may need the GIL
            PyThread_acquire_lock(_judging, WAIT_LOCK)


cdef enum:
    MAX_HEAD = 1 << 20           # bytes: servers have lower limits of their own; this one only bounds what is copied
    MAX_FIELDS = 1000

cdef bytes HEX = b"0123456789ABCDEF"
cdef bytes PUNCTUATION = b"/:@!$&'()*+,;="       # may stand in a path besides unreserved characters (RFC 3986 section 3.3)
cdef bytes NO_HOST = b"none.invalid"             # of a request without Host; no route has it (RFC 2606 section 2)


cdef class Decision:

    @property
    def claims(self):
        """The claims of its token, a new dict at each access; None without a token. They were checked when the token was verified."""
        cdef Parts parts
        cdef bytes token
        cdef const char *text
        if self.grant is None:
            return None
        token = self.grant.token if self.grant.signed is None else self.grant.signed
        text = PyBytes_AS_STRING(token)
        split(text, PyBytes_GET_SIZE(token), &parts)
        return _loads(decoded(text + parts.payload_at, parts.payload_size, True))

    @property
    def reason(self):
        """Why its token is refused; NONE if it is not, also for a request without a route."""
        return Reason(<int>self._reason)

    @property
    def reported(self):
        """What would have refused it if it were not only reported; else NONE."""
        return Reason(<int>self._reported)


cdef Decision _error(int status):
    cdef Decision made = Decision.__new__(Decision)
    made.status = status or 500
    made.waits_for = -1
    return made


cdef class Reader:
    """
    Args:
        fields: Names of the fields that may hold a token.
        routed: Method, host and path count, too.
        query: The query counts.
    """

    def __init__(self, Admission admission not None, fields, *, bint routed, bint query):
        names = {name.lower().encode("ascii") for name in fields}
        self._names = sorted(names | {b"host", b"accept", b"authorization"} if routed else names)
        for name in self._names:
            self._sizes |= <uint64_t>1 << min(len(name), 63)
        self._admission = admission
        self._policy = RequestPolicy(max_request_line=MAX_HEAD - 3, max_head=MAX_HEAD, max_fields=MAX_FIELDS)
        self._head = RequestHead()
        self._head.verified = admission.gate.cache
        self._decided = Authorization.__new__(Authorization)
        self._text = Buffer()
        self._routed = routed
        self._query = query
        self._subprotocol = b"sec-websocket-protocol" in names

    def decide(self, str method not None, path, bytes query not None, fields, bint https):
        """
        Decide of one request, now.

        Args:
            path: Decoded, as the application routes by it; text or bytes.
            query: Without its question mark, not decoded.
            fields: Name and value of every header field, as bytes. Names in any case.
            https: The client used TLS, for redirects.
        """
        _lock()
        try:
            return self._decide(method, path, query, fields, https)
        finally:
            PyThread_release_lock(_judging)

    def decide_scope(self, scope):
        """Decide of one request or WebSocket as ASGI describes it, now. What does not count is not looked up."""
        cdef str method = "GET"
        cdef bytes query = b""
        cdef bint https = False
        path = None
        if self._routed:
            method = scope.get("method", "GET")
            path = _routed_path(scope["path"], scope.get("root_path"))
            https = scope.get("scheme") in ("https", "wss")
        if self._query:
            query = scope.get("query_string", b"")
        _lock()
        try:
            return self._decide(method, path, query, scope["headers"], https)
        finally:
            PyThread_release_lock(_judging)

    cdef Decision _decide(self, str method, path, bytes query, fields, bint https):
        cdef Authorization decided = self._decided
        cdef RequestHead head = self._head
        cdef Grant last = self._last
        cdef Decision made
        cdef Slice asked
        if not self._write(method, path, query, fields):
            return _error(400)
        if head.parse(self._text.data, self._text.size, 0, self._policy, None if last is None else last.token) != Parse.COMPLETE:
            return _error(error_status(head.problem))
        asked = head.target
        self._admission.authorize(head, last, Slice(NULL, 0), False, wall_clock(), decided)
        if self._routed and (decided.route is not None or decided.document is not None) and self._is_rewritten(asked.at, asked.size):
            decided.release()
            return _error(400)               # decided by another path than the one that the application sees (THREATS R9)
        if decided.route is None:
            made = _error(error_status(decided.error))
            if decided.document is not None:
                made.answer = decided.document
                made.status = made.answer.status
        elif decided.reason != NONE:
            made = self._refused(decided.reason, https)
        else:
            made = Decision.__new__(Decision)
            made.grant = decided.grant
            made.waits_for = -1
            made.token_in_query = head.token_in_query
            made.grace = decided.route.stream_grace if decided.route.end_streams else -1.0
            made._reported = decided.reported
            made.is_logged = decided.reported != NONE
            if self._subprotocol:
                made.subprotocols = _subprotocols(head)
                made.names_bearer = head.subprotocol_answer
            if made.grant is not None:
                self._last = made.grant
        decided.release()
        return made

    def refusal(self, reason):
        """The answer of the first route to a token that the application itself refuses."""
        _lock()
        try:
            self._decided.route = self._admission.routes[0]
            answer = self._refused(<DenyReason><int>reason, False).answer
            self._decided.release()
            return answer
        finally:
            PyThread_release_lock(_judging)

    cdef Decision _refused(self, DenyReason reason, bint https):
        cdef Decision made = Decision.__new__(Decision)
        made._reason = reason
        made.is_logged = True
        made.answer = self._decided.route.refusal(reason, self._head, https)
        made.status = made.answer.status
        made.waits_for = <int>self._decided.issuer if reason == UNKNOWN_KEY or reason == KEYS_UNAVAILABLE else -1
        return made

    cdef int _write(self, str method, path, bytes query, fields) except -1:
        """The head; 0 for a request that none can describe: a value with a line of its own in it, or a path that is no text."""
        cdef Buffer text = self._text
        cdef bytes name, value, wanted
        cdef bint has_host = False
        text.clear()
        if self._routed:
            name = method.encode("latin-1", "replace")
            text.put(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
            text.put(b" ", 1)
            try:
                self._write_path(path.encode() if isinstance(path, str) else path)
            except UnicodeEncodeError:
                return 0
        else:
            text.put(b"GET /", 5)
        if self._query and query:
            text.put(b"?", 1)
            text.put(PyBytes_AS_STRING(query), PyBytes_GET_SIZE(query))
        text.put(b" HTTP/1.1\r\n", 11)
        for name, value in fields:
            if not (self._sizes >> min(PyBytes_GET_SIZE(name), 63)) & 1:
                continue
            for wanted in self._names:
                if equals(Slice(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)), PyBytes_AS_STRING(wanted), PyBytes_GET_SIZE(wanted)):
                    if memchr(PyBytes_AS_STRING(value), c"\n", PyBytes_GET_SIZE(value)) != NULL:
                        return 0
                    has_host = has_host or wanted == b"host"
                    text.put(PyBytes_AS_STRING(wanted), PyBytes_GET_SIZE(wanted))
                    text.put(b": ", 2)
                    text.put(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
                    text.put(b"\r\n", 2)
                    break
        if not has_host:
            text.put(b"host: ", 6)
            text.put(PyBytes_AS_STRING(NO_HOST), PyBytes_GET_SIZE(NO_HOST))
            text.put(b"\r\n", 2)
        text.put(b"\r\n", 2)
        return 1

    cdef int _write_path(self, bytes path) except -1:
        """Escape what cannot stand in a path. A percent sign was one that the client had escaped, or had written where no escape begins."""
        cdef const char *at = PyBytes_AS_STRING(path)
        cdef const char *end = at + PyBytes_GET_SIZE(path)
        cdef char escape[3]
        cdef uint8_t byte
        if at == end:
            self._text.put(b"/", 1)
        escape[0] = c"%"
        while at < end:
            byte = <uint8_t>at[0]
            if byte_class[byte] & HOST_CHARACTER or memchr(PyBytes_AS_STRING(PUNCTUATION), byte, PyBytes_GET_SIZE(PUNCTUATION)) != NULL:
                self._text.put(at, 1)
            else:
                escape[1] = PyBytes_AS_STRING(HEX)[byte >> 4]
                escape[2] = PyBytes_AS_STRING(HEX)[byte & 15]
                self._text.put(escape, 3)
            at += 1
        return 0

    cdef bint _is_rewritten(self, const char *path, Py_ssize_t size) noexcept:
        """The router looked for another path than this target has."""
        cdef Slice now = self._head.target
        return _path_size(path, size) != _path_size(now.at, now.size) or memcmp(path, now.at, _path_size(path, size)) != 0


cdef str _routed_path(str path, str root):
    """The path by which an application routes: without that of the mount or of the proxy in front (ASGI, `root_path`)."""
    if not root or not path.startswith(root):
        return path
    rest = path[len(root):]
    return path if rest and rest[0] != "/" else rest


cdef Py_ssize_t _path_size(const char *target, Py_ssize_t size) noexcept:
    """Bytes of a target before its query."""
    cdef const char *query = <const char *>memchr(target, c"?", size)
    return size if query == NULL else query - target


cdef list _subprotocols(RequestHead head):
    """Those that are left when the token is taken out."""
    cdef list found = []
    for name, value in head.fields():
        if name == b"sec-websocket-protocol":
            found += [word for part in value.decode("latin-1").split(",") if (word := part.strip())]
    return found
