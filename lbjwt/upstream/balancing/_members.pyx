"""
The endpoints of a cluster, as balancing rules see them: who may be picked, with what weight, and draws at random by weight.

Rules share these answers, so that health, limits, weights and slow start mean the same under each of them. A question costs two cache lines of an
endpoint and no Python object, unless the endpoint has as many connections as it may have.

Turns are those of start-time fair queueing (Goyal, Vin and Cheng 1996): each endpoint has the time at which its next turn begins, and taking a
request adds 1 / weight to it. A turn before the clock begins now, so an endpoint that was not usable for a while does not get the requests it missed.
"""

import os

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.math cimport fmax

from lbjwt.upstream._availability cimport is_healthy, takes_requests, weight_of
from lbjwt.upstream._endpoint cimport Endpoint
from lbjwt.upstream._pool cimport Pool
from lbjwt.upstream._prefetch cimport prefetch, prefetch_lines
from lbjwt.upstream.balancing._key cimport hash_of

cdef enum:
    STREAM_LINES = 4             # cache lines that a request uses of a stream

cdef double SLOW_BEGIN = 0.1     # share of its weight with which an endpoint begins under slow start


cdef class Members:

    def __init__(self, endpoints, Members before=None, *, double slow_start=0.0):
        """
        endpoints: `Endpoint`s attached to a board, with their weights and limits. before: the members until now; turns and response times go on.
        slow_start: seconds.
        """
        cdef Endpoint endpoint
        cdef Member *member
        cdef Py_ssize_t at
        self.endpoints = tuple(endpoints)
        self.count = len(self.endpoints)
        self.slow_start = slow_start
        self._random = int.from_bytes(os.urandom(8), "little") | 1
        self._memory = PyMem_Calloc(self.count + 1, sizeof(Member))
        if self._memory is NULL:
            raise MemoryError
        self.at = <Member *>((<size_t>self._memory + sizeof(Member) - 1) & ~(sizeof(Member) - 1))
        if before is not None:
            self.clock = before.clock
        for at in range(self.count):
            endpoint = <Endpoint?>self.endpoints[at]
            member = &self.at[at]
            member.state = endpoint.state
            member.weight = endpoint.weight
            member.limit = endpoint.pool.max_connections
            member.backup = endpoint.backup
            member.identity = hash_of(endpoint.label, len(endpoint.label))
            member.endpoint = <void *>endpoint
            member.pool = <void *>endpoint.pool
            self.has_backups = self.has_backups or endpoint.backup
            if before is not None and endpoint._position >= 0:
                member.turn = before.at[endpoint._position].turn
                member.response_time = before.at[endpoint._position].response_time
        for at in range(self.count):
            (<Endpoint>self.endpoints[at])._position = at
        self._prepare_draws()
        self._rotation = <Py_ssize_t>(self.random() % <uint64_t>max(self.count, 1))      # workers need not begin with the same one
        for at in range(AHEAD * SAMPLE):
            self._ahead[at // SAMPLE][at % SAMPLE] = <int32_t>self._draw_for(at % SAMPLE) if self.count else -1

    def __dealloc__(self):
        PyMem_Free(self._memory)
        PyMem_Free(self._keeps)
        PyMem_Free(self._others)

    cdef void begin(self, set tried, double now) noexcept:
        self.tried = tried
        self.now = now
        self.tier = HEALTHY

    cdef bint _is_full(self, Py_ssize_t at) except? -1:
        return (<Endpoint>self.at[at].endpoint).is_full(self.now)

    cdef bint _was_tried(self, Py_ssize_t at) except? -1:
        return <Endpoint>self.at[at].endpoint in self.tried

    cdef bint is_waited_for(self, Py_ssize_t at, bint healthy):
        cdef Member *member = &self.at[at]
        cdef EndpointState *state = member.state
        return (takes_requests(state, member.weight) and (not healthy or is_healthy(state, self.now))
                and self._is_full(at) and (self.tried is None or not self._was_tried(at)))

    cdef int64_t _slow_share(self, const EndpointState *state, int64_t whole) noexcept:
        cdef double age = fmax(self.now - state.serving_since, 0.0)
        if age >= self.slow_start:
            return whole
        return max(<int64_t>(whole * (SLOW_BEGIN + (1.0 - SLOW_BEGIN) * age / self.slow_start)), 1)

    # --- turns --------------------------------------------------------------------------------------------------------

    cdef void take_turn(self, Py_ssize_t at) noexcept:
        self.clock = self.begin_of_turn(at)
        self.at[at].turn = self.clock + 1024.0 / max(self.share(at), 1)

    # --- draws --------------------------------------------------------------------------------------------------------

    cdef uint64_t random(self) noexcept:
        """Marsaglia's xorshift64*: which endpoint gets a request is no secret."""
        self._random ^= self._random >> 12
        self._random ^= self._random << 25
        self._random ^= self._random >> 27
        return self._random * <uint64_t>0x2545F4914F6CDD1D

    cdef Py_ssize_t draw(self) noexcept:
        """An endpoint at random, by weight; -1: try again, as the one that was drawn is in its slow start; or there is none at all."""
        cdef uint64_t drawn = self.random()
        cdef Py_ssize_t at = <Py_ssize_t>(((drawn >> 32) * <uint64_t>self.count) >> 32)
        if self.count == 0:
            return -1
        if self._keeps is not NULL and (drawn & 0xffffffff) >= self._keeps[at] * 4294967296.0:
            at = self._others[at]
        return self._if_due(at)

    cdef Py_ssize_t _if_due(self, Py_ssize_t at) noexcept:
        """-1 in place of one in its slow start, as often as its share is less than its weight."""
        cdef int64_t whole
        if self.slow_start != 0.0 and self.at[at].state.serving_since != 0.0:
            whole = weight_of(self.at[at].state, self.at[at].weight) << 10
            if <int64_t>(self.random() >> 40) * whole >= self.share(at) << 24:
                return -1
        return at

    cdef Py_ssize_t draw_usable(self, int attempts):
        """
        A usable endpoint at random, by weight; -1: there is none. After so many draws in vain most endpoints are not usable, and the first usable
        one after a place at random is taken.
        """
        cdef Py_ssize_t at, first, step
        for _ in range(attempts):
            at = self.draw()
            if at >= 0 and self.is_usable(at):
                return at
        first = <Py_ssize_t>(self.random() % <uint64_t>max(self.count, 1))
        for step in range(self.count):
            at = (first + step) % self.count
            if self.is_usable(at):
                return at
        return -1

    cdef void draw_sample(self) noexcept:
        """
        Take the sample that was drawn some requests ago, and draw one for a later request. A thousand endpoints do not fit the caches of the
        processor, so their memory is fetched meanwhile: the states of all that are drawn, because they are compared, and all that a request uses of
        the first one. Where loads are equal, the first one is taken: its turn is longest ago. Rotation also takes neighbours in memory in a row.
        """
        cdef Py_ssize_t place, requests
        cdef int32_t at
        for place in range(SAMPLE):
            self.sample[place] = self._ahead[0][place]
            for requests in range(AHEAD - 1):
                self._ahead[requests][place] = self._ahead[requests + 1][place]
            at = self._ahead[AHEAD - 2][place]
            if at >= 0:
                prefetch_lines(self.at[at].state, 2)
            at = self._ahead[AHEAD - 1][place] = <int32_t>self._draw_for(place)
            if at >= 0:
                prefetch(&self.at[at])
        for requests in range(AHEAD - 1):
            at = self._ahead[requests][0]
            if at >= 0:
                self._fetch(&self.at[at], requests)

    cdef Py_ssize_t _draw_for(self, Py_ssize_t place) noexcept:
        cdef Py_ssize_t at = self._rotation
        if place != 0 or self._keeps is not NULL:
            return self.draw()
        self._rotation = at + 1 if at + 1 < self.count else 0
        return self._if_due(at)

    cdef void _fetch(self, const Member *member, Py_ssize_t requests) noexcept:
        """Fetch what the request after so many others uses of its endpoint. Each step reads what the step before has fetched."""
        cdef Pool pool
        if requests == 2:
            prefetch_lines(member.endpoint, 2)
            prefetch_lines(member.pool, 2)
            return
        pool = <Pool>member.pool
        if requests == 1:
            prefetch(pool.counters)
            prefetch_lines(<void *>pool.newest, STREAM_LINES)
        elif pool.newest is not None:
            pool.newest.fetch()

    cdef bint refresh(self, double now):
        self.now = now
        if self._weights() == self._drawn_weights:
            return False
        self._prepare_draws()
        return True

    cdef uint64_t _weights(self) noexcept:
        cdef uint64_t all_weights = 1
        cdef Py_ssize_t at
        for at in range(self.count):
            all_weights = all_weights * <uint64_t>0x100000001b3 + <uint64_t>self.at[at].state.weight
        return all_weights

    cdef void _prepare_draws(self):
        """Walker's alias method in Vose's form: a draw costs one random number, whatever the weights are."""
        cdef Py_ssize_t at
        PyMem_Free(self._keeps)
        PyMem_Free(self._others)
        self._keeps = NULL
        self._others = NULL
        self._drawn_weights = self._weights()
        cdef list weights = [weight_of(self.at[at].state, self.at[at].weight) for at in range(self.count)]
        cdef double total = sum(weights)
        if total == 0.0 or min(weights) == max(weights):
            return
        self._keeps = <double *>PyMem_Calloc(self.count, sizeof(double))
        self._others = <int32_t *>PyMem_Calloc(self.count, sizeof(int32_t))
        if self._keeps is NULL or self._others is NULL:
            raise MemoryError
        scaled = [weight * self.count / total for weight in weights]
        small = [at for at in range(self.count) if scaled[at] < 1.0]
        large = [at for at in range(self.count) if scaled[at] >= 1.0]
        while small and large:
            less, more = small.pop(), large.pop()
            self._keeps[<Py_ssize_t>less] = scaled[less]
            self._others[<Py_ssize_t>less] = more
            scaled[more] -= 1.0 - scaled[less]
            (small if scaled[more] < 1.0 else large).append(more)
        for rest in small + large:
            self._keeps[<Py_ssize_t>rest] = 1.0
            self._others[<Py_ssize_t>rest] = rest
