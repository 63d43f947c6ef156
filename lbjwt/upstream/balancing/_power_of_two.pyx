"""
Power of two choices: of two endpoints drawn at random by weight, the one with fewer requests in flight for its weight (Mitzenmacher 1996).

Several balancers that do not know of each other's requests do not all run to the same endpoint.
"""

from lbjwt.upstream._request cimport UpstreamRequest
from lbjwt.upstream.balancing._balancing cimport Balancing
from lbjwt.upstream.balancing._members cimport Members

cdef enum:
    DRAWS = 16                   # until most endpoints count as not usable


cdef class PowerOfTwo(Balancing):

    cdef Py_ssize_t pick(self, Members members, UpstreamRequest request):
        cdef Py_ssize_t one = members.draw_usable(DRAWS)
        cdef Py_ssize_t other
        if one < 0:
            return -1
        for _ in range(DRAWS):
            other = members.draw()
            if other >= 0 and other != one and members.is_usable(other):
                return other if members.is_less_loaded(other, one) else one
        return one
