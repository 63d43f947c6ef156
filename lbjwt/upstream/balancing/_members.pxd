cimport cython
from libc.stdint cimport int32_t, int64_t, uint64_t

from lbjwt.observe._endpoint_states cimport EndpointState


cdef enum Tier:
    # Who may be picked. Each of them leaves out who is drained, full, or was tried.
    HEALTHY = 0                  # the healthy ones that are no backup
    BACKUP = 1                   # the healthy backups
    PANIC = 2                    # all that are no backup and can be reached
    ANY = 3                      # the unhealthy ones too


cdef struct Member:
    # One endpoint, in one cache line. Its load and health stand in the first cache line of its state.
    EndpointState *state
    int64_t weight               # as configured; see `weight_of`
    int64_t limit                # connections over all workers
    double turn                  # when its next turn begins, on the clock of turns
    uint64_t identity            # of its address, the same in every process
    void *endpoint               # borrowed: `Members.endpoints` owns it
    int64_t backup               # 1: used only while no other can be
    double response_time         # seconds to the head of a response, of late; 0.0: not known. Of rules that measure


@cython.final
cdef class Members:
    """The endpoints of a cluster as balancing rules see them. `begin` says for which request, until the next one."""
    cdef readonly tuple endpoints
    cdef readonly Py_ssize_t count
    cdef readonly bint has_backups
    cdef Member *at
    cdef double clock            # of turns: the beginning of the last one taken
    cdef double slow_start       # seconds; 0: off
    # Of the pick at hand.
    cdef set tried
    cdef double now              # seconds on the monotonic clock
    cdef Tier tier
    # For draws by weight (Walker's alias method); NULL: all weights are equal.
    cdef double *_keeps
    cdef int32_t *_others
    cdef uint64_t _drawn_weights # what these tables were made for
    cdef uint64_t _random        # state of the generator; never 0

    cdef void begin(self, set tried, double now) noexcept
    cdef bint is_usable(self, Py_ssize_t at)
    # In service and full: it gets a request once it has room.
    cdef bint is_waited_for(self, Py_ssize_t at, bint healthy)
    # The weight now, times 1024: what was set at run time counts, and slow start.
    cdef int64_t share(self, Py_ssize_t at) noexcept
    cdef bint is_less_loaded(self, Py_ssize_t one, Py_ssize_t other) noexcept
    cdef double begin_of_turn(self, Py_ssize_t at) noexcept
    cdef void take_turn(self, Py_ssize_t at) noexcept
    cdef uint64_t random(self) noexcept
    cdef Py_ssize_t draw(self) noexcept
    cdef Py_ssize_t draw_usable(self, int attempts)
    # Take over weights that were set at run time; True: there were some.
    cdef bint refresh(self, double now)

    cdef uint64_t _weights(self) noexcept
    cdef void _prepare_draws(self)
