"""Least requests: the endpoint with the fewest requests in flight for its weight, over all workers; of equals, the one whose turn it is.

Up to 64 endpoints all are compared, so the answer is exact. Beyond, the best of four is taken: the one whose turn it is and three drawn at random,
or four drawn at random by weight where weights differ. The cost of the choice does not grow with the cluster, and more draws change the spread of
the load little (Mitzenmacher, The Power of Two Choices).
"""

from lbjwt.upstream._request cimport UpstreamRequest
from lbjwt.upstream.balancing._members cimport SAMPLE, Members

cdef enum:
    COMPARED = 64                # endpoints up to which all are compared


cdef class LeastRequests(Balancing):

    cdef Py_ssize_t pick(self, Members members, UpstreamRequest request):
        cdef Py_ssize_t place, at, best = -1
        if members.count > COMPARED:
            members.draw_sample()
            for place in range(SAMPLE):
                at = members.sample[place]
                if at >= 0 and at != best and (best < 0 or members.is_less_loaded(at, best)) and members.is_usable(at):
                    best = at
            return best if best >= 0 else members.draw_usable(0)
        for at in range(members.count):
            if (best < 0 or members.is_less_loaded(at, best)) and members.is_usable(at):
                best = at
        return best
