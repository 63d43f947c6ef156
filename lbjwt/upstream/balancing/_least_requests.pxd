from lbjwt.upstream.balancing._balancing cimport Balancing


cdef class LeastRequests(Balancing):
    pass
