"""Least requests: the endpoint with the fewest requests in flight for its weight, over all workers; of equals, the one whose turn it is.

Up to 64 endpoints all are compared, so the answer is exact. Beyond, the best of 16 that are drawn at random by weight is taken: the cost of a
request does not grow with the cluster, and with 16 draws the chance to miss the less loaded half is 1 in 65,536.
"""

from lbjwt.upstream._request cimport UpstreamRequest
from lbjwt.upstream.balancing._members cimport Members

cdef enum:
    COMPARED = 64                # endpoints up to which all are compared
    SAMPLE = 16                  # endpoints drawn of more


cdef class LeastRequests(Balancing):

    cdef Py_ssize_t pick(self, Members members, UpstreamRequest request):
        cdef Py_ssize_t at, best = -1
        if members.count > COMPARED:
            for _ in range(SAMPLE):
                at = members.draw()
                if at >= 0 and at != best and members.is_usable(at) and (best < 0 or members.is_less_loaded(at, best)):
                    best = at
            return best if best >= 0 else members.draw_usable(0)
        for at in range(members.count):
            if members.is_usable(at) and (best < 0 or members.is_less_loaded(at, best)):
                best = at
        return best
