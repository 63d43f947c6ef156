from libc.stdint cimport int64_t

cimport cython

from lbjwt.observe._board cimport Board
from lbjwt.observe._endpoint_states cimport EjectionCause, EndpointState
from lbjwt.upstream._ejection cimport EjectionRules


cdef struct EjectorMember:
    EndpointState *state
    int64_t weight               # as configured
    int64_t backup               # 1: used only while no other can be


@cython.final
cdef class Ejector:
    """What becomes of the endpoints of one cluster when requests to them fail or succeed, over all workers."""
    cdef readonly str cluster
    cdef readonly EjectionRules rules
    cdef readonly double panic_threshold     # share of the endpoints, 0 to 1
    cdef readonly bint few_healthy           # fewer than that
    cdef readonly bint panic                 # few are healthy, and no backup is: all are used
    cdef Board _board
    cdef EjectorMember *_members             # the endpoints of the cluster
    cdef Py_ssize_t _count
    cdef frozenset _rows                     # theirs

    # A request failed. trial: it was the one that tried an ejected endpoint. now: seconds on the monotonic clock.
    cdef void failed(self, EndpointState *state, str address, EjectionCause cause, bint trial, double now)
    # Its response is good.
    cdef void succeeded(self, EndpointState *state, str address, bint trial, double now)
    cdef void _clear(self, EndpointState *state) noexcept
    cdef bint _eject(self, EndpointState *state, str address, EjectionCause cause, str reason, double now)
    cdef bint _readmit(self, EndpointState *state, double now) noexcept
    cdef void _forget(self, EndpointState *state, double now) noexcept
    cdef bint _is_member(self, const EndpointState *state) noexcept
    cdef bint _carries_load(self, Py_ssize_t at) noexcept
    cdef Py_ssize_t _carriers(self) noexcept
    cdef bint _is_backed_up(self) noexcept
    cdef Py_ssize_t _room(self) noexcept
    cdef Py_ssize_t _ejected(self) noexcept
    cdef void look(self, double now)
