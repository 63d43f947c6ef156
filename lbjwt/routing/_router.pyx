"""
From host, path and method to one route, without a Python object per request.

One pass over all rules, the most specific first, for every path: no second branch that could
omit a step (THREATS R3). The canonical path (`_path`) is compared and forwarded (R9). A path that some back
end reads as one of a more specific route is refused (R2), and so is a request without a route (R8).
"""

cimport cython
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcmp, memcpy

from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._grammar cimport lower
from lbjwt.http1._request cimport GET, HEAD, Method, OTHER, RequestHead
from lbjwt.routing._path cimport is_plain, put_canonical, put_loose

from lbjwt.errors import ConfigurationError
from lbjwt.routing._path import both_readings
from lbjwt.routing.table import compile_table

cdef enum:
    FIRST_OTHER = 16             # the bit of the first method that Method has no name for; the last one stands for all unnamed

cdef uint64_t GET_AND_HEAD = (<uint64_t> 1) << <int> GET | (<uint64_t> 1) << <int> HEAD
cdef dict _METHODS = {b"GET": 1, b"HEAD": 2, b"POST": 3, b"PUT": 4, b"DELETE": 5, b"OPTIONS": 6, b"PATCH": 7}


@cython.final
cdef class Router:
    """
    Args:
        routes: In any order; their positions are the indices that `find` answers.
        own: Canonical path of each document that lbjwt answers itself, to GET and HEAD and on every host, and its number (0 and up).
            They come before all routes.
        as_sent: The path is forwarded as it was sent, not in its canonical form. Then one that falls under another route as it stands, such as
            `/admin/../public`, is a BAD_TARGET: what forwards it may not resolve it.

    Raises:
        ConfigurationError: A host, path or method that cannot be matched, two routes that tie, a route for the path of an own
            document, or more than 47 methods beside GET, HEAD, POST, PUT, DELETE, OPTIONS and PATCH.
    """

    def __cinit__(self, routes, own=None, *, bint as_sent=False):
        cdef Rule *rule
        cdef bytes name
        self._as_sent = as_sent
        own = dict(own or {})
        entries = compile_table(list(routes))
        self._owned = []
        for name in sorted({name for entry in entries for name in entry.methods} - _METHODS.keys()):
            if self._other_count == OTHER_METHODS:
                raise ConfigurationError(f"the routes can name at most {OTHER_METHODS} methods apart from the usual ones")
            self._others[self._other_count] = self._kept(name)
            self._other_count += 1
        self._rules = <Rule *> calloc(len(own) + len(entries) + 1, sizeof(Rule))
        if self._rules == NULL:
            raise MemoryError()
        for name, number in own.items():
            if not _is_canonical(name) or number < 0:
                path = name.decode("ascii", "backslashreplace")
                raise ConfigurationError(f"the path {path} of a document of our own is not spelled as it will be matched")
            rule = &self._rules[self._own]
            rule.path = self._kept(name)
            rule.methods = GET_AND_HEAD
            rule.index = OWN - <int> number
            self._own += 1
        self._count = self._own
        ranks = {rank: number for number, rank in enumerate(sorted({entry.rank for entry in entries}), 1)}
        for entry in entries:
            rule = &self._rules[self._count]
            rule.host = self._kept(entry.host)
            rule.path = self._kept(entry.path)
            rule.loose = self._kept(entry.loose)
            rule.index = entry.route
            rule.rank = ranks[entry.rank]
            rule.wildcard = entry.wildcard
            rule.exact = entry.exact
            for name in entry.methods:
                rule.methods |= self._bit_of(<Method> <int> _METHODS.get(name, 0), Slice(name, len(name)))
            if not entry.methods:
                rule.methods = ~<uint64_t> 0
            self._by_host = self._by_host or rule.host.size > 0
            self._count += 1

    def __dealloc__(self):
        free(self._rules)

    cdef Slice _kept(self, bytes text):
        self._owned.append(text)
        return Slice(text, len(text))

    cdef uint64_t _bit_of(self, Method method, Slice name) noexcept:
        """The bit of a method; all that no route names share one, which only rules for any method have (THREATS R5)."""
        cdef int at
        if method != OTHER:
            return (<uint64_t> 1) << <int> method
        for at in range(self._other_count):
            if self._others[at].size == name.size and memcmp(self._others[at].at, name.at, name.size) == 0:
                return (<uint64_t> 1) << (FIRST_OTHER + at)
        return (<uint64_t> 1) << 63

    cpdef int match(self, RequestHead head, Buffer scratch) except -3:
        return self._find(self._bit_of(head.method, head.method_name), head.host, &head.target, scratch)

    cdef int _find(self, uint64_t method, Slice host, Slice *target, Buffer scratch) except -3:
        cdef Slice path = target[0]
        cdef Slice sent
        cdef Slice wanted = target[0]
        cdef Slice loose
        cdef Py_ssize_t cut = -1
        cdef Py_ssize_t rest = 0
        cdef Py_ssize_t found
        cdef const char *query = <const char *> memchr(path.at, c'?', path.size)
        if query != NULL:
            path.size = query - path.at
            rest = target.size - path.size
        if self._by_host and not _take_name(&host):
            return BAD_TARGET
        sent = path
        if is_plain(path):
            loose = path
            if path.at[path.size - 1] == c'/':
                loose.size -= 1
        elif target.size == 1 and path.at[0] == c'*':
            loose = path
        else:
            scratch.clear()
            scratch.reserve(target.size + path.size)
            path.size = put_canonical(scratch.data, path)
            if path.size < 0:
                return BAD_TARGET
            path.at = scratch.data
            if rest:
                memcpy(scratch.data + path.size, query, rest)
            scratch.size = path.size + rest
            wanted = Slice(scratch.data, scratch.size)
            loose.at = scratch.data + scratch.size
            loose.size = put_loose(scratch.data + scratch.size, path, &cut)
            if loose.size < 0:
                return BAD_TARGET
        found = self._rule_for(method, host, path, loose, cut)
        if found < 0:
            return <int> found
        if self._as_sent and path.at != sent.at and self._route_as_sent(method, host, sent) != self._rules[found].index:
            return BAD_TARGET
        target[0] = wanted
        return self._rules[found].index

    cdef Py_ssize_t _rule_for(self, uint64_t method, Slice host, Slice path, Slice loose, Py_ssize_t cut) noexcept nogil:
        """The position of the rule, or a Found."""
        cdef Rule *rule = self._rules
        cdef Rule *end = rule + self._own
        cdef Slice until_cut = Slice(loose.at, cut)
        cdef int above = 0                       # the rank of the first rule that only the loose reading falls under
        while rule < end:
            if rule.methods & method and _is_under(rule.path, True, path):
                return rule - self._rules
            rule += 1
        end = self._rules + self._count
        while rule < end:
            # A path under a rule is under it in its loose reading too, so this comparison excludes most rules.
            if (rule.methods & method
                    and (_is_under(rule.loose, rule.exact, loose) or (cut >= 0 and _is_under(rule.loose, rule.exact, until_cut)))
                    and (rule.host.size == 0 or _is_host(rule, host))):
                if _is_under(rule.path, rule.exact, path):
                    return BAD_TARGET if above > rule.rank else rule - self._rules
                if above == 0:
                    above = rule.rank
            rule += 1
        return NO_ROUTE

    cdef int _route_as_sent(self, uint64_t method, Slice host, Slice path) noexcept nogil:
        """The index of the route that a program finds which compares paths byte by byte, or NO_ROUTE."""
        cdef Rule *rule = self._rules + self._own
        cdef Rule *end = self._rules + self._count
        while rule < end:
            if rule.methods & method and _is_under(rule.path, rule.exact, path) and (rule.host.size == 0 or _is_host(rule, host)):
                return rule.index
            rule += 1
        return NO_ROUTE

    def find(self, bytes method not None, bytes host not None, bytes target not None):
        """The index of the route or a `Found`, and the target to forward: None with NO_ROUTE and BAD_TARGET. host: as in the Host field."""
        cdef Buffer scratch = Buffer()
        cdef Slice wanted = Slice(target, len(target))
        cdef uint64_t bit = self._bit_of(<Method> <int> _METHODS.get(method, 0), Slice(method, len(method)))
        cdef int found = self._find(bit, Slice(host, len(host)), &wanted, scratch)
        return found, None if found == NO_ROUTE or found == BAD_TARGET else wanted.at[:wanted.size]


def _is_canonical(bytes path):
    try:
        return both_readings(path)[0] == path
    except ValueError:
        return False


cdef inline bint _is_under(Slice text, bint exact, Slice path) noexcept nogil:
    """True when `path` is `text`, or, unless exact, has its segments in front (THREATS R6)."""
    if path.size == text.size:
        return memcmp(path.at, text.at, text.size) == 0
    return not exact and path.size > text.size and path.at[text.size] == c'/' and memcmp(path.at, text.at, text.size) == 0


cdef inline bint _is_host(Rule *rule, Slice host) noexcept nogil:
    """True when `host` is the rule's host, or ends with it: the label in front is not empty, or `_take_name` had refused it (THREATS R4)."""
    cdef const char *at = host.at + host.size - rule.host.size
    cdef Py_ssize_t i
    if host.size != rule.host.size and (not rule.wildcard or host.size < rule.host.size):
        return False
    for i in range(rule.host.size):
        if lower(at[i]) != rule.host.at[i]:
            return False
    return True


cdef bint _take_name(Slice *host) noexcept nogil:
    """Remove the port and dots at the end. False for a name with an empty label, which could evade a rule for its host."""
    cdef const char *colon
    cdef Py_ssize_t i
    if host.size == 0 or host.at[0] == c'[':
        return True                              # of no name, or an address in brackets, which no rule can have
    colon = <const char *> memchr(host.at, c':', host.size)
    if colon != NULL:
        host.size = colon - host.at
    while host.size and host.at[host.size - 1] == c'.':
        host.size -= 1
    for i in range(host.size):
        if host.at[i] == c'.' and (i == 0 or host.at[i - 1] == c'.'):
            return False
    return host.size > 0
