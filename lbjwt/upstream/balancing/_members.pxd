cimport cython
from libc.stdint cimport int32_t, int64_t, uint64_t

from lbjwt.observe._endpoint_states cimport EndpointState
from lbjwt.upstream._availability cimport is_healthy, is_reachable, takes_requests, weight_of

cdef enum:
    SAMPLE = 4                   # members that a rule draws of many, to take the best of them
    AHEAD = 4                    # requests that come between the draw of a sample and its use


cdef enum Tier:
    # Who may be picked. Each of them leaves out who is drained, full, or was tried.
    HEALTHY = 0                  # the healthy ones that are no backup
    BACKUP = 1                   # the healthy backups
    PANIC = 2                    # all that are no backup and can be reached
    ANY = 3                      # the unhealthy ones too


cdef struct Member:
    # One endpoint, in one cache line. Its load and health stand in the first cache line of its state.
    EndpointState *state
    int32_t weight               # as configured; see `weight_of`
    int32_t backup               # 1: used only while no other can be
    int64_t limit                # connections over all workers
    double turn                  # when its next turn begins, on the clock of turns
    uint64_t identity            # of its address, the same in every process
    void *endpoint               # borrowed: `Members.endpoints` owns it
    void *pool                   # of it
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
    cdef int32_t sample[SAMPLE]  # of `draw_sample`; see `draw` for -1
    cdef int32_t _ahead[AHEAD][SAMPLE]   # those of the next requests, the next one first
    cdef Py_ssize_t _rotation    # the next member that is put into a sample because it is its turn
    cdef void *_memory           # `at` stands in it, on the boundary of a cache line

    cdef void begin(self, set tried, double now) noexcept
    cdef inline bint is_usable(self, Py_ssize_t at) except? -1:
        cdef Member *member = &self.at[at]
        cdef EndpointState *state = member.state
        if not takes_requests(state, member.weight):
            return False
        if self.tier <= BACKUP:
            if member.backup != <int32_t>self.tier or not is_healthy(state, self.now):
                return False
        elif self.tier == PANIC and (member.backup or not is_reachable(state, self.now)):
            return False
        if state.connections >= member.limit and self._is_full(at):
            return False
        return self.tried is None or not self._was_tried(at)

    # In service and full: it gets a request once it has room.
    cdef bint is_waited_for(self, Py_ssize_t at, bint healthy)
    # The weight now, times 1024: what was set at run time counts, and slow start.
    cdef inline int64_t share(self, Py_ssize_t at) noexcept:
        cdef EndpointState *state = self.at[at].state
        cdef int64_t whole = weight_of(state, self.at[at].weight) << 10
        return whole if self.slow_start == 0.0 or state.serving_since == 0.0 else self._slow_share(state, whole)

    # Fewer requests in flight for its weight, over all workers; of equals, the one whose turn comes first.
    cdef inline bint is_less_loaded(self, Py_ssize_t one, Py_ssize_t other) noexcept:
        cdef int64_t load = self.at[one].state.in_flight * self.share(other)
        cdef int64_t least = self.at[other].state.in_flight * self.share(one)
        return load < least or (load == least and self.begin_of_turn(one) < self.begin_of_turn(other))

    cdef inline double begin_of_turn(self, Py_ssize_t at) noexcept:
        return self.at[at].turn if self.at[at].turn > self.clock else self.clock

    cdef void take_turn(self, Py_ssize_t at) noexcept
    cdef uint64_t random(self) noexcept
    cdef Py_ssize_t draw(self) noexcept
    cdef Py_ssize_t draw_usable(self, int attempts)
    # Draw `sample`, by weight; where all weights are equal, the first one in rotation. The memory of the next ones is fetched meanwhile.
    cdef void draw_sample(self) noexcept
    # Take over weights that were set at run time; True: there were some.
    cdef bint refresh(self, double now)

    cdef Py_ssize_t _draw_for(self, Py_ssize_t place) noexcept
    cdef Py_ssize_t _if_due(self, Py_ssize_t at) noexcept
    cdef void _fetch(self, const Member *member, Py_ssize_t requests) noexcept
    cdef bint _is_full(self, Py_ssize_t at) except? -1
    cdef bint _was_tried(self, Py_ssize_t at) except? -1
    cdef int64_t _slow_share(self, const EndpointState *state, int64_t whole) noexcept
    cdef uint64_t _weights(self) noexcept
    cdef void _prepare_draws(self)
