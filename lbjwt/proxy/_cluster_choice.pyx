"""
Which cluster of a route serves a request: a share of all requests or callers (canary), or what a verified claim says (tenants).

Both are decided after the token was verified. What a claim decides is remembered with the token, under a number of its own as the verdicts of routes
are, so a further request of the token reads no claim.

A share is cut out of the numbers below 2**64, one interval for each cluster in the order of the configuration. Without a key, the points walk in
steps of the golden ratio, which fill the line evenly: of any 100 requests in a row about 5 go to a cluster with 5 %, not none and then many. With a
key, its hash is the point: the same key goes to the same cluster in every worker and after a restart, and when a weight is changed, only the keys
between the old and the new end of an interval move.

Source: Weyl's equidistribution by the golden ratio (Knuth, TAOCP 3, 6.4); FNV-1a with the finalizer of MurmurHash3.
"""

from os import urandom

from cpython.mem cimport PyMem_Free, PyMem_Malloc

from lbjwt._grants cimport MEMOS
from lbjwt.auth._route_rules cimport new_number
from lbjwt.auth._rules cimport claim_at

cdef uint64_t GOLDEN = 0x9E3779B97F4A7C15        # 2**64 divided by the golden ratio
cdef uint64_t FNV_BASIS = 0xcbf29ce484222325
cdef uint64_t FNV_PRIME = 0x100000001b3
cdef uint64_t MIX_1 = 0xff51afd7ed558ccd
cdef uint64_t MIX_2 = 0xc4ceb9fe1a85ec53
cdef uint8_t NONE_CHOSEN = 0xff                  # in a Grant; any other value is 1 + the index

MAX_CLUSTERS = 250                               # of one choice: an index is remembered in a byte


cdef uint64_t hash_of(const char *at, Py_ssize_t size) noexcept:
    cdef uint64_t value = FNV_BASIS
    cdef Py_ssize_t index
    for index in range(size):
        value = (value ^ <uint8_t>at[index]) * FNV_PRIME
    value = (value ^ (value >> 33)) * MIX_1
    value = (value ^ (value >> 33)) * MIX_2
    return value ^ (value >> 33)


cdef class ClusterChoice:

    cdef int choose(self, Grant grant, Slice address) except -2:
        raise NotImplementedError

    cdef int _of_claims(self, dict claims) except -2:
        raise NotImplementedError

    cdef int _of_grant(self, Grant grant) except -2:
        cdef uint32_t place = self._number % MEMOS
        cdef int chosen
        if grant.memo_rules[place] != self._number:
            chosen = self._of_claims(dict(grant.claims))
            grant.memo_verdict[place] = NONE_CHOSEN if chosen == NO_CHOICE else <uint8_t>(chosen + 1)
            grant.memo_rules[place] = self._number
        return NO_CHOICE if grant.memo_verdict[place] == NONE_CHOSEN else <int>grant.memo_verdict[place] - 1

    def decide(self, Grant grant=None, bytes address=b""):
        """`choose` for Python: the name of a cluster, or None."""
        chosen = self.choose(grant, Slice(address, len(address)))
        return None if chosen == NO_CHOICE else self.names[chosen]


cdef tuple checked(names, clusters):
    """The names and the clusters, as many of both."""
    names = tuple(names)
    clusters = tuple(clusters) if clusters is not None else (None,) * len(names)
    if not 0 < len(names) <= MAX_CLUSTERS or len(names) != len(clusters):
        raise ValueError(f"a choice has 1 to {MAX_CLUSTERS} clusters, each with its name")
    return names, clusters


cdef class Split(ClusterChoice):

    def __cinit__(self, weights, *, clusters=None, bint by_address=False, by_claim=None, avoid=0):
        """
        weights: of each cluster by its name, at least one not 0. clusters: beside them, of Cluster; None where nothing is forwarded.
        by_claim: path of the claim whose value is the key. avoid: number of the rules of the route, which a Grant remembers too.
        """
        cdef Py_ssize_t index
        self.names, self.clusters = checked(weights, clusters)
        total, end = sum(weights.values()), 0
        if total <= 0 or min(weights.values()) < 0:
            raise ValueError("the weights of a split are 0 or more, and not all 0")
        self._ends = <uint64_t *>PyMem_Malloc(len(self.names) * sizeof(uint64_t))
        if self._ends is NULL:
            raise MemoryError
        for index, weight in enumerate(weights.values()):
            end += weight
            if end < total:
                self._ends[index] = <uint64_t>((end << 64) // total)
                self._last = <int>index + 1
        self.by_address = by_address
        self.path = None if by_claim is None else tuple(by_claim)
        self._number = 0 if by_claim is None else new_number(avoid)
        self._point = <uint64_t>int.from_bytes(urandom(8), "big")    # workers must not all begin with the same cluster

    def __dealloc__(self):
        PyMem_Free(self._ends)

    cdef int choose(self, Grant grant, Slice address) except -2:
        cdef int chosen
        self.drawn = False
        if self._number and grant is not None:
            chosen = self._of_grant(grant)
            if chosen != NO_CHOICE:
                return chosen
        elif self.by_address and address.size > 0:
            return self._at(hash_of(address.at, address.size))
        self.drawn = True
        self._point += GOLDEN
        return self._at(self._point)

    cdef int _of_claims(self, dict claims) except -2:
        cdef bytes text
        value = claim_at(claims, self.path)
        if type(value) is not str:
            if type(value) is not int and type(value) is not float and type(value) is not bool:
                return NO_CHOICE                 # missing, or no key: without one, the requests are shared out
            value = repr(value)
        text = (<str>value).encode("utf-8", "surrogatepass")
        return self._at(hash_of(text, len(text)))

    cdef int _at(self, uint64_t point) noexcept:
        cdef int index
        for index in range(self._last):
            if point < self._ends[index]:
                return index
        return self._last


cdef class ByClaim(ClusterChoice):

    def __init__(self, path, names, indexes, *, clusters=None, default=None, avoid=0):
        """
        path: names from the claims inward. names, clusters: as of a Split. indexes: of the name of the cluster, by the text of the claim.
        default: the index where the claim is missing, is no text, or is none of these; None: no cluster then. avoid: as of a Split.
        """
        self.names, self.clusters = checked(names, clusters)
        self.path = tuple(path)
        self._indexes = dict(indexes)
        self._default = NO_CHOICE if default is None else default
        self._number = new_number(avoid)

    cdef int choose(self, Grant grant, Slice address) except -2:
        return self._default if grant is None else self._of_grant(grant)

    cdef int _of_claims(self, dict claims) except -2:
        value = claim_at(claims, self.path)
        return <int?>self._indexes.get(value, self._default) if type(value) is str else self._default
