"""What every balancing rule can be asked. The rules stand in files of their own; `rules.py` has their names."""


cdef class Balancing:

    cdef Py_ssize_t pick(self, Members members, UpstreamRequest request):
        return -1

    cdef void took(self, Members members, Py_ssize_t at):
        members.take_turn(at)

    cdef void answered(self, Members members, Py_ssize_t at, double seconds):
        pass

    cdef void use(self, Members members):
        pass

    cdef bytes response_line(self, UpstreamRequest request, Members members, Py_ssize_t at, bint https):
        return None
