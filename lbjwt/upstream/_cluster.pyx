"""A cluster: which endpoint gets the next request.

An endpoint is usable for a request that has not tried it, while it is available: healthy and not full. One that is not healthy, as a connect to it
failed within the last second, is used only when every other was tried, so that a dead backend does not cost every request a failed connect.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free

from lbjwt.upstream._least_request cimport least_request, take_turn


cdef class Cluster:

    def __init__(self, str name not None, Board board not None, PendingQueue pending not None):
        self.name = name
        self.pending = pending
        self.endpoints = ()
        self._board = board

    def configure(self, members, *, double connect_timeout, double response_timeout, double idle_timeout, Py_ssize_t max_idle,
                  Py_ssize_t max_connections, Py_ssize_t max_pending, double pending_timeout, int retries,
                  double retry_budget=0.2):
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
            if endpoint._position >= 0:
                candidates[at].turn = self._candidates[endpoint._position].turn
            endpoint._position = at
            endpoint.weight = candidates[at].weight = (<Endpoint>members[at]).weight
            endpoint.connect_timeout = connect_timeout
            endpoint.response_timeout = response_timeout
            endpoint.idle_timeout = idle_timeout
            endpoint.attach(self._board)
            endpoint.pool.pending = self.pending
            endpoint.pool.max_idle = max_idle
            endpoint.pool.max_connections = max_connections
            endpoint.pool.trim()
        PyMem_Free(self._candidates)
        self._candidates = candidates
        self._count = count
        self.endpoints = tuple(endpoints)
        self.retries = retries
        self.retry_budget = retry_budget
        self.pending.max_pending = max_pending
        self.pending.timeout = pending_timeout
        for endpoint in known.values():
            endpoint._position = -1
            endpoint.pool.leaving = True
            endpoint.pool.close_idle()
        self.pending.wake()

    def retire(self):
        """No route leads here any more: requests that are under way end as they began, and no connection is kept."""
        cdef Endpoint endpoint
        for endpoint in self.endpoints:
            endpoint.pool.max_idle = 0
            endpoint.pool.close_idle()

    @property
    def is_unused(self):
        """No request waits here, and no connection to a member is open."""
        cdef Endpoint endpoint
        for endpoint in self.endpoints:
            if endpoint.pool.open:
                return False
        return self.pending.is_empty()

    def __dealloc__(self):
        PyMem_Free(self._candidates)

    cpdef Endpoint pick(self, UpstreamRequest request, set tried, double now):
        if not self._consider(tried, now, True) and (self._is_any_full(tried, now, True) or not self._consider(tried, now, False)):
            return None
        return <Endpoint>self.endpoints[least_request(self._candidates, self._count, self._clock)]

    cpdef void take(self, Endpoint endpoint):
        if endpoint._position < 0:
            return                                       # it left
        self._clock = take_turn(&self._candidates[endpoint._position], self._clock)

    cdef bint may_get_room(self, set tried):
        return self._is_any_full(tried, 0.0, False)

    cdef bint _is_any_full(self, set tried, double now, bint healthy):
        cdef Endpoint endpoint
        for endpoint in self.endpoints:
            if (endpoint.is_in_service() and endpoint.is_full() and (not healthy or endpoint.is_healthy(now))
                    and (tried is None or endpoint not in tried)):
                return True
        return False

    cdef bint _consider(self, set tried, double now, bint healthy):
        """Mark the usable endpoints, only the healthy ones or all in service; False when there is none."""
        cdef Endpoint endpoint
        cdef Candidate *candidate
        cdef Py_ssize_t at
        cdef bint any_usable = False
        for at in range(self._count):
            endpoint = <Endpoint>self.endpoints[at]
            candidate = &self._candidates[at]
            candidate.usable = (endpoint.is_in_service() and not endpoint.is_full() and (not healthy or endpoint.is_healthy(now))
                                and (tried is None or endpoint not in tried))
            if candidate.usable:
                candidate.in_flight = endpoint.state.in_flight
                any_usable = True
        return any_usable
