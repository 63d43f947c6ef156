"""Random: each endpoint with a probability that is its share of the weights."""

from lbjwt.upstream._request cimport UpstreamRequest
from lbjwt.upstream.balancing._balancing cimport Balancing
from lbjwt.upstream.balancing._members cimport Members

cdef enum:
    COMPARED = 64                # endpoints up to which the shares are exact also while many are not usable
    DRAWS = 16                   # of more endpoints, until the next usable one is taken


cdef class Random(Balancing):

    cdef Py_ssize_t pick(self, Members members, UpstreamRequest request):
        cdef Py_ssize_t at
        cdef Py_ssize_t found = members.draw()
        cdef double total = 0.0
        if found >= 0 and members.is_usable(found):
            return found
        if members.count > COMPARED:
            return members.draw_usable(DRAWS)
        found = -1
        for at in range(members.count):          # reservoir sampling: each is kept with its share of those so far
            if members.is_usable(at):
                total += members.share(at)
                if (members.random() >> 11) * (1.0 / 9007199254740992.0) * total < members.share(at):
                    found = at
        return found
