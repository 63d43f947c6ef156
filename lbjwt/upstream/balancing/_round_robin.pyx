"""
Smooth weighted round robin: endpoints take turns by weight, and the turns of one are spread evenly between those of the others.

The turns stand in a heap, the earliest on top, so that a request costs about the same with a thousand endpoints. An endpoint that is not usable
when its turn comes has missed this turn.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.math cimport fmod
from libc.stdint cimport int32_t

from lbjwt.upstream._request cimport UpstreamRequest
from lbjwt.upstream.balancing._balancing cimport Balancing
from lbjwt.upstream.balancing._members cimport Members


cdef inline double _turn(Members members, Py_ssize_t at) noexcept:
    return 1024.0 / max(members.share(at), 1)


cdef class RoundRobin(Balancing):
    cdef int32_t *_heap                          # indexes of members
    cdef Py_ssize_t _count

    def __dealloc__(self):
        PyMem_Free(self._heap)

    cdef void use(self, Members members):
        cdef Py_ssize_t at
        PyMem_Free(self._heap)
        self._count = 0
        self._heap = <int32_t *>PyMem_Calloc(max(members.count, 1), sizeof(int32_t))
        if self._heap is NULL:
            raise MemoryError
        self._count = members.count
        for at in range(members.count):
            # The first turns of those that are new, or heavier than before, are spread: the golden ratio keeps the turns of equal weights apart.
            if members.at[at].turn == 0.0 or not members.clock <= members.at[at].turn <= members.clock + _turn(members, at):
                members.at[at].turn = members.clock + fmod(0.5 + at * 0.6180339887498949, 1.0) * _turn(members, at)
            self._heap[at] = <int32_t>at
        for at in range(members.count // 2 - 1, -1, -1):
            self._sink(members, at)

    cdef Py_ssize_t pick(self, Members members, UpstreamRequest request):
        for _ in range(self._count):
            if members.is_usable(self._heap[0]):
                return self._heap[0]
            self._pass(members)
        return -1

    cdef void took(self, Members members, Py_ssize_t at):
        cdef Py_ssize_t place
        members.take_turn(at)
        if self._heap[0] == at:
            self._sink(members, 0)
            return
        for place in range(self._count):         # it got the request in another way: a connection of it became free
            if self._heap[place] == at:
                self._sink(members, place)
                return

    cdef void _pass(self, Members members):
        """The one on top misses its turn."""
        cdef Py_ssize_t at = self._heap[0]
        members.at[at].turn = members.begin_of_turn(at) + _turn(members, at)
        self._sink(members, 0)

    cdef void _sink(self, Members members, Py_ssize_t place):
        cdef int32_t at = self._heap[place]
        cdef Py_ssize_t child = 2 * place + 1
        while child < self._count:
            if child + 1 < self._count and self._is_before(members, self._heap[child + 1], self._heap[child]):
                child += 1
            if not self._is_before(members, self._heap[child], at):
                break
            self._heap[place] = self._heap[child]
            place = child
            child = 2 * place + 1
        self._heap[place] = at

    cdef inline bint _is_before(self, Members members, int32_t one, int32_t other) noexcept:
        return members.at[one].turn < members.at[other].turn or (members.at[one].turn == members.at[other].turn and one < other)
