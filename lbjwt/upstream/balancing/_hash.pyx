"""
Rendezvous hash with bounded load: requests with the same key go to the same endpoint, and no endpoint gets much more than its share.

Each endpoint has a number for each key; the highest one wins (Thaler and Ravishankar 1998), and a weight raises it (Schindelhauer and Schomaker
2005). When an endpoint leaves, only the keys that it had move; when it comes back, only they return. An endpoint that would have more than
`max_load` times its share of the requests in flight is passed over (Mirrokni, Thorup and Zadimoghaddam 2016), so that one key, or one tenant, cannot
overload it.

A request without the key goes where least requests sends it. Every endpoint is looked at for each request, so the cost grows with their number.
"""

from libc.math cimport ceil, log
from libc.stdint cimport int64_t, uint64_t

from lbjwt.upstream._request cimport UpstreamRequest
from lbjwt.upstream.balancing._balancing cimport Balancing
from lbjwt.upstream.balancing._key cimport KeySource, mixed
from lbjwt.upstream.balancing._least_requests cimport LeastRequests
from lbjwt.upstream.balancing._members cimport Members


cdef class Hash(Balancing):
    cdef LeastRequests _without_key
    cdef double _max_load

    def __init__(self, KeySource looks_at not None, double max_load):
        """max_load: times the average load, by weight, that an endpoint may have; 1 or more."""
        self.looks_at = looks_at
        self._without_key = LeastRequests()
        self._max_load = max_load

    cdef Py_ssize_t pick(self, Members members, UpstreamRequest request):
        cdef Py_ssize_t at, best = -1
        cdef int64_t share, in_flight = 1, shares = 0, first = 0
        cdef bint equal = True
        cdef double allowed, number, highest = 0.0
        cdef uint64_t drawn
        if not request.has_key:
            return self._without_key.pick(members, request)
        for at in range(members.count):
            if members.is_usable(at):
                share = members.share(at)
                in_flight += max(members.at[at].state.in_flight, 0)
                shares += share
                first = first if first else share
                equal = equal and share == first
        if shares == 0:
            return -1
        allowed = self._max_load * in_flight / shares
        for at in range(members.count):
            if not members.is_usable(at):
                continue
            share = members.share(at)
            if members.at[at].state.in_flight >= ceil(allowed * share):
                continue
            drawn = mixed(request.key ^ members.at[at].identity) >> 11
            # With equal weights the numbers themselves have the same order, and need no logarithm.
            number = <double>drawn if equal else -share / log((drawn + 0.5) / 9007199254740992.0)
            if best < 0 or number > highest:
                best = at
                highest = number
        return best
