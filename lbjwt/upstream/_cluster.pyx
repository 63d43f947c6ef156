"""A cluster: which endpoint gets the next request.

Knows endpoints, their counters on the board and the balancing rule. Keeps the idle connections, and opens none. An endpoint is usable while it was
not tried for the same request and has room for a connection. One whose connect failed within the last second is used only when no other is left,
not even a full one, so that a dead backend does not cost every request a failed connect.
"""

import logging

from cpython.mem cimport PyMem_Calloc, PyMem_Free

from lbjwt.upstream._least_request cimport least_request, take_turn

cdef double EJECTION = 1.0       # seconds an endpoint is passed over after a failed connect
cdef double EVER = 1e300         # a time when none is passed over any more
cdef double QUIET = 10.0         # seconds between two reports of one endpoint: one that fails now and then must not fill the log

cdef object log = logging.getLogger("lbjwt.endpoints")


cdef class Endpoint:

    def __init__(self, Py_ssize_t row, str address, str host, int port, str path, long weight=1):
        self.row = row
        self.address = address
        self.label = address.encode()
        self.host = host
        self.port = port
        self.path = path
        self.weight = weight
        self.idle = []
        self.connecting = {}
        self.unclaimed = {}

    cdef void mark_unreachable(self, double now):
        self.counters.failures += 1
        self.ejected_until = now + EJECTION

    cpdef void failed(self, str cause, double now):
        """A request to it failed, or a connection: log it, once until it answers again."""
        if not self.failing and now >= self._quiet_until:
            self.failing = True
            self._quiet_until = now + QUIET
            log.warning("endpoint %s fails: %s", self.address, cause)

    cpdef void recovered(self):
        """It answered after a failure that was logged."""
        self.failing = False
        log.info("endpoint %s responds again", self.address)

    cdef void close_idle(self):
        cdef Wire connection
        for connection in list(self.idle):
            connection.end()

    cdef Wire take_idle(self, bint fresh, Py_ssize_t max_connections):
        cdef Wire connection
        while self.idle and not (fresh and self.open < max_connections):
            connection = <Wire>self.idle.pop()
            self.counters.idle_connections -= 1
            if not fresh and not connection.has_input():
                return connection
            connection.close()
        return None


cdef class Cluster:

    def __init__(self, str name not None, Board board not None, PendingQueue pending not None):
        self.name = name
        self.pending = pending
        self.endpoints = ()
        self._board = board

    def configure(self, members, *, double connect_timeout, double response_timeout, double idle_timeout, Py_ssize_t max_idle,
                  Py_ssize_t max_connections, Py_ssize_t max_pending, double pending_timeout, int retries):
        """
        Set the members and the limits, now or at a reload.

        An endpoint whose address was a member before stays the same object, with its connections, its counters and its turn. One that is no member
        any more is drained: it gets no request, its idle connections are closed, those in use when they are released.

        members: `Endpoint`s, each with an address of its own. Of one that is known by its address only the weight is taken over.
        """
        cdef dict known = {endpoint.address: endpoint for endpoint in self.endpoints}
        cdef list endpoints = [known.pop(endpoint.address, endpoint) for endpoint in members]
        cdef Py_ssize_t count = len(endpoints)
        cdef Candidate *candidates = <Candidate *>PyMem_Calloc(max(count, 1), sizeof(Candidate))
        cdef Endpoint endpoint
        cdef Py_ssize_t at
        if candidates is NULL:
            raise MemoryError
        for at in range(count):
            endpoint = endpoints[at]
            if endpoint.cluster is self:
                candidates[at].turn = self._candidates[endpoint._position].turn
            endpoint.cluster = self
            endpoint._position = at
            endpoint.weight = candidates[at].weight = (<Endpoint>members[at]).weight
            endpoint.counters = self._board.endpoint(self._board.slot, endpoint.row)
        PyMem_Free(self._candidates)
        self._candidates = candidates
        self._count = count
        self.endpoints = tuple(endpoints)
        self.connect_timeout = connect_timeout
        self.response_timeout = response_timeout
        self.idle_timeout = idle_timeout
        self.max_idle = max_idle
        self.max_connections = max_connections
        self.retries = retries
        self.pending.max_pending = max_pending
        self.pending.timeout = pending_timeout
        for endpoint in known.values():
            endpoint.leaving = True
            endpoint.close_idle()
        self.pending.wake()

    def retire(self):
        """No route leads here any more: requests that are under way end as they began, and no connection is kept."""
        cdef Endpoint endpoint
        self.max_idle = 0
        for endpoint in self.endpoints:
            endpoint.close_idle()

    @property
    def is_unused(self):
        """No request waits here and no connection is open, as far as the members are concerned."""
        cdef Endpoint endpoint
        for endpoint in self.endpoints:
            if endpoint.open:
                return False
        return self.pending.is_empty()

    def __dealloc__(self):
        PyMem_Free(self._candidates)

    cpdef Endpoint pick(self, set tried, double now):
        if not self._consider(tried, now) and (self._is_full(tried, now) or not self._consider(tried, EVER)):
            return None
        return <Endpoint>self.endpoints[least_request(self._candidates, self._count, self._clock)]

    cpdef void take(self, Endpoint endpoint):
        self._clock = take_turn(&self._candidates[endpoint._position], self._clock)

    cdef bint may_get_room(self, set tried):
        return self._is_full(tried, EVER)

    cdef bint _is_full(self, set tried, double now):
        cdef Endpoint endpoint
        for endpoint in self.endpoints:
            if endpoint.ejected_until <= now and (tried is None or endpoint not in tried) and not self._has_room(endpoint):
                return True
        return False

    cdef bint _has_room(self, Endpoint endpoint):
        return endpoint.open < self.max_connections or len(endpoint.idle) > 0 or len(endpoint.unclaimed) > 0

    cdef bint _consider(self, set tried, double now):
        """Mark who is usable at this time; False when nobody is."""
        cdef Endpoint endpoint
        cdef Candidate *candidate
        cdef Py_ssize_t at
        cdef bint any_usable = False
        for at in range(self._count):
            endpoint = <Endpoint>self.endpoints[at]
            candidate = &self._candidates[at]
            candidate.usable = endpoint.ejected_until <= now and self._has_room(endpoint) and (tried is None or endpoint not in tried)
            if candidate.usable:
                candidate.in_flight = self._board.in_flight(endpoint.row)
                any_usable = True
        return any_usable
