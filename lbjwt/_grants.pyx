"""
Verified tokens: the Grant, and the cache of grants by whole token. Whether a grant is still valid is the gate's decision.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from lbjwt._compact cimport Parts, decoded, object_of, split

from sys import getsizeof
from types import MappingProxyType


@cython.no_gc                    # refers to its token, some text and a key, and none of them to a grant: no cycle, no traversal
@cython.final
cdef class Grant:
    def __init__(self, bytes token not None, *, double valid_from=0.0, double valid_until=float("inf"), uint64_t epoch=0,
                 bytes identity_headers=b"", str issuer="", object key=None, Py_ssize_t issuer_index=0):
        self.token = token
        self.valid_from = valid_from
        self.valid_until = valid_until
        self.epoch = epoch
        self.identity_headers = identity_headers
        self.issuer = issuer
        self.issuer_index = issuer_index
        self.key_id = self.algorithm = ""
        self.key = key

    @property
    def claims(self):
        cdef Parts parts
        cdef bytes token = self.token if self.signed is None else self.signed
        cdef const char *text = PyBytes_AS_STRING(token)
        cdef bytes payload
        if not split(text, PyBytes_GET_SIZE(token), &parts):
            return MappingProxyType({})
        payload = decoded(text + parts.payload_at, parts.payload_size, True)
        return MappingProxyType((object_of(payload) if payload is not None else None) or {})

    def __repr__(self):
        return f"<Grant by {self.algorithm} until {self.valid_until:.0f}>"


cdef size_t _allocated(size_t size) noexcept:
    """What the allocators of CPython and glibc take for an object of this size: steps of 16, and 8 bytes of malloc's own past 512."""
    return (size + 15) & ~<size_t>15 if size <= 512 else (size + 8 + 15) & ~<size_t>15


cdef size_t GRANT_BYTES = _allocated(Grant.__basicsize__)


@cython.final
cdef class GrantCache:
    # Eviction is SIEVE: a hand moves from the oldest entry to the newest, forgives each entry used since its last visit, and
    # takes the first that was not. One pass of tokens seen once cannot push out the tokens in use (THREATS D6).

    def __init__(self, size_t max_bytes=64 << 20, size_t max_entries=1_000_000):
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self._entries = {}
        self._weigh_table()

    def __len__(self):
        return len(self._entries)

    def __contains__(self, bytes token):
        return token in self._entries

    cdef Grant find(self, const char *token, Py_ssize_t size):
        return <Grant>self._entries.get(token[:size])

    cpdef Grant lookup(self, bytes token, double now):
        found = self._entries.get(token)
        if found is not None:
            if (<Grant>found).valid_from <= now < (<Grant>found).valid_until:
                (<Grant>found)._visited = True
                self.hits += 1
                return <Grant>found
            self._remove(<Grant>found)
        self.misses += 1
        return None

    cpdef bint insert(self, Grant grant) except -1:
        cdef size_t cost
        if grant.alive:
            return True
        cost = (GRANT_BYTES + _allocated(getsizeof(grant.token))
                + (_allocated(getsizeof(grant.identity_headers)) if grant.identity_headers else 0)
                + (_allocated(getsizeof(grant.logged_claims)) if grant.logged_claims is not None else 0)
                + (_allocated(getsizeof(grant.signed)) if grant.signed is not None else 0))
        if self.max_entries == 0 or cost + self._table_bytes > self.max_bytes:
            return False
        known = self._entries.get(grant.token)
        if known is not None:
            self._remove(<Grant>known)
        while <size_t>len(self._entries) >= self.max_entries or self.bytes_used + cost > self.max_bytes:
            self._evict()
        self._entries[grant.token] = grant
        grant.alive = True
        grant._visited = False
        grant._cost = cost
        grant._newer = NULL
        grant._older = self._newest
        if self._newest != NULL:
            (<Grant>self._newest)._newer = <void *>grant
        else:
            self._oldest = <void *>grant
        self._newest = <void *>grant
        self.bytes_used += cost
        self._weigh_table()
        while self.bytes_used > self.max_bytes and self._oldest != NULL:   # the table grew
            self._evict()
        return grant.alive

    cdef int reweigh(self, Grant grant, Py_ssize_t more) except -1:
        if grant.alive:
            grant._cost += more
            self.bytes_used += more
            while self.bytes_used > self.max_bytes and self._oldest != NULL:
                self._evict()
        return 0

    def clear(self):
        cdef Grant grant
        for grant in list(self._entries.values()):
            self._remove(grant)
        self._entries = {}
        self._weigh_table()

    cdef int _remove(self, Grant grant) except -1:
        if self._hand == <void *>grant:
            self._hand = grant._newer
        if grant._newer != NULL:
            (<Grant>grant._newer)._older = grant._older
        else:
            self._newest = grant._older
        if grant._older != NULL:
            (<Grant>grant._older)._newer = grant._newer
        else:
            self._oldest = grant._newer
        grant._newer = grant._older = NULL
        grant.alive = False
        self.bytes_used -= grant._cost
        del self._entries[grant.token]
        return 0

    cdef int _evict(self) except -1:
        cdef void *at = self._hand if self._hand != NULL else self._oldest
        while (<Grant>at)._visited:
            (<Grant>at)._visited = False
            at = (<Grant>at)._newer
            if at == NULL:
                at = self._oldest
        self._hand = (<Grant>at)._newer
        self.evictions += 1
        return self._remove(<Grant>at)

    cdef int _weigh_table(self) except -1:
        cdef size_t size = getsizeof(self._entries)
        self.bytes_used += size - self._table_bytes
        self._table_bytes = size
        return 0
