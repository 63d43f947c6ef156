"""A cluster: which endpoint gets the next request.

An endpoint is usable for a request that has not tried it, while it is available: in service, healthy and not full. The balancing rule picks one of
the usable endpoints; when there is none, one of the usable backups. If too few are healthy, the others that can be reached come next. Otherwise one
that is not healthy is used only when no other is left and none is full, so that a dead backend does not cost every request a failed connect.
"""

from libc.stdint cimport int64_t

from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.observe._endpoint_states cimport swap
from lbjwt.upstream._availability cimport takes_requests
from lbjwt.upstream._ejection cimport EjectionRules
from lbjwt.upstream._endpoint cimport Http2Settings
from lbjwt.upstream.balancing._least_requests cimport LeastRequests
from lbjwt.upstream.balancing._members cimport ANY, BACKUP, PANIC

cdef double HALF_WINDOW = 5.0    # seconds; a request counts for the retry budget for one to two of them
cdef double LOOK = 0.003         # seconds until requests that wait look again for room that other workers gave up


cdef class Cluster:

    def __init__(self, str name not None, Board board not None, PendingQueue pending not None, call_later=None):
        """call_later: (seconds, callback), runs it in the event loop; None: requests that wait for another worker's connections wait longer."""
        self.name = name
        self.label = name.encode()
        self._call_later = call_later
        self.pending = pending
        self.endpoints = ()
        self.balancing = LeastRequests()
        self.ejector = Ejector(name, board)
        self._board = board
        self._members = Members(())

    def configure(self, members, *, double connect_timeout, double response_timeout, double idle_timeout, Py_ssize_t max_idle,
                  Py_ssize_t max_connections, Py_ssize_t max_pending, double pending_timeout, int retries, double retry_budget,
                  EjectionRules ejection not None, double panic_threshold, Balancing balancing=None, double slow_start=0.0,
                  Py_ssize_t max_requests=0, Http2Settings http2=Http2Settings()):
        """
        Set the members and the limits, now or at a reload.

        An endpoint whose address was a member before stays the same object, with its connections, its counters and its turn. One that is no member
        any more is drained: it gets no request, its idle connections are closed, those in use when they are released. So is one of which another
        TLS server is asked for now: another one with the same counters takes its place.

        members: `Endpoint`s, each with an address of its own. Of one that is known by its address only weight, backup and max_connections are taken
        over. max_connections: per endpoint over all workers, unless it has its own. balancing: None for least requests. slow_start: seconds.
        max_requests: in flight over all workers; 0: no limit. retry_budget, panic_threshold: shares, 0 to 1.
        """
        cdef dict known = {endpoint.address: endpoint for endpoint in self.endpoints}
        cdef bint first = not known
        cdef list endpoints = []
        cdef double now = coarse_monotonic()
        cdef Endpoint member, endpoint
        for member in members:
            endpoint = known.pop(member.address) if self._is_known(member, known) else member
            endpoints.append(endpoint)
            endpoint.weight = member.weight
            endpoint.backup = member.backup
            endpoint.max_connections = member.max_connections
            endpoint.connect_timeout = connect_timeout
            endpoint.response_timeout = response_timeout
            endpoint.idle_timeout = idle_timeout
            endpoint.http2 = http2
            endpoint.ejector = self.ejector
            endpoint.attach(self._board)
            endpoint.pool.pending = self.pending
            endpoint.pool.weight = endpoint.weight
            endpoint.pool.max_idle = max_idle
            endpoint.pool.max_connections = endpoint.max_connections if endpoint.max_connections else max_connections
            endpoint.pool.trim()
            if endpoint is member and not first and endpoint.state.serving_since == 0.0:
                swap(&endpoint.state.serving_since, 0.0, now)    # it came while the others were there: slow start
        self.endpoints = tuple(endpoints)
        self.balancing = LeastRequests() if balancing is None else balancing
        self.looks_at = self.balancing.looks_at
        self.measures = self.balancing.measures
        self._members = Members(self.endpoints, self._members, slow_start=slow_start)
        self._members.now = now
        self.balancing.use(self._members)
        self.ejector.configure(ejection, panic_threshold, [
            (endpoint.row, endpoint.weight, endpoint.backup) for endpoint in endpoints
        ])
        self.retries = retries
        self.max_requests = max_requests
        self.retry_budget = retry_budget
        self.pending.max_pending = max_pending
        self.pending.timeout = pending_timeout
        for endpoint in known.values():
            endpoint._position = -1
            endpoint.pool.leaving = True
            endpoint.pool.close_idle()
        self.pending.wake()

    cdef bint _is_known(self, Endpoint endpoint, dict known):
        cdef Endpoint other = known.get(endpoint.address)
        return other is not None and endpoint.is_like(other)

    def retire(self):
        """No route leads here any more: requests that are under way end as they began, and no connection is kept."""
        cdef Endpoint endpoint
        for endpoint in self.endpoints:
            endpoint.pool.max_idle = 0
            endpoint.pool.close_idle()

    def follow_states(self):
        """The state of an endpoint may have changed: one that takes no requests keeps no idle connection, and one that came back has room."""
        cdef Endpoint endpoint
        for endpoint in self.endpoints:
            if not takes_requests(endpoint.state, endpoint.weight):
                endpoint.pool.close_idle()
        self.pending.wake()

    @property
    def is_unused(self):
        """No request waits here, and no connection to a member is open."""
        cdef Endpoint endpoint
        for endpoint in self.endpoints:
            if endpoint.pool.open:
                return False
        return self.pending.is_empty()

    cpdef Endpoint pick(self, UpstreamRequest request, set tried, double now):
        cdef Py_ssize_t at
        if self._members.count == 0:                     # no name was resolved yet, or the file of endpoints is empty
            return None
        self._members.begin(tried, now)
        at = self.balancing.pick(self._members, request)
        if at < 0:
            at = self._pick_otherwise(request)
        return None if at < 0 else <Endpoint>self.endpoints[at]

    cdef Py_ssize_t _pick_otherwise(self, UpstreamRequest request):
        """Among the backups; else among all that panic allows; else, unless waiting for a healthy one may help, among all in service."""
        cdef Members members = self._members
        cdef Py_ssize_t at
        if members.has_backups:
            members.tier = BACKUP
            at = self.balancing.pick(members, request)
            if at < 0 and self.ejector.few_healthy:      # the backups are full, or the request has tried them
                members.tier = PANIC
                at = self.balancing.pick(members, request)
            if at >= 0:
                return at
        if self._is_any_full(True):
            return -1
        members.tier = ANY
        return self.balancing.pick(members, request)

    cpdef void take(self, Endpoint endpoint):
        if endpoint._position >= 0:                      # else it left
            self.balancing.took(self._members, endpoint._position)

    cpdef void answered(self, Endpoint endpoint, double seconds):
        if endpoint._position >= 0:
            self.balancing.answered(self._members, endpoint._position, seconds)

    cdef bint may_get_room(self, set tried):
        self._members.begin(tried, coarse_monotonic())
        return self._is_any_full(False)

    cdef bint _is_any_full(self, bint healthy):
        cdef Py_ssize_t at
        for at in range(self._members.count):
            if self._members.is_waited_for(at, healthy):
                return True
        return False

    cdef bint is_at_max_requests(self) noexcept:
        cdef int64_t in_flight = 0
        cdef Py_ssize_t at
        for at in range(self._members.count):
            in_flight += self._members.at[at].state.in_flight
        return in_flight >= self.max_requests

    # --- waiting for room ---------------------------------------------------------------------------------------------

    cdef bint wait(self, UpstreamRequest request, double now):
        if not self.pending.enter(request, now):
            return False
        if not self._will_look:
            self._wish(now)
        return True

    cdef void _wish(self, double now):
        """Ask other workers for room. No event tells when they gave some up, so that this worker looks again in a moment."""
        cdef Endpoint endpoint
        cdef bint hope = False
        for endpoint in self.endpoints:
            if endpoint.pool.wish(now):
                hope = True
        if hope and self._call_later is not None:
            self._will_look = True
            self._call_later(LOOK, self.look)

    def look(self):
        """Serve the queue with what other workers may have given up."""
        cdef Endpoint endpoint
        self._will_look = False
        self.pending.serve()
        if not self.pending.is_empty():
            if not self._will_look:
                self._wish(coarse_monotonic())
            return
        for endpoint in self.endpoints:
            endpoint.pool.end_wish()

    # --- responses and time -------------------------------------------------------------------------------------------

    cdef bytes response_line(self, UpstreamRequest request, Endpoint endpoint, bint https):
        return None if endpoint._position < 0 else self.balancing.response_line(request, self._members, endpoint._position, https)

    cdef void count_request(self) noexcept:
        self._requests[0] += 1

    cdef void count_sent_again(self) noexcept:
        self._sent_again[0] += 1

    cdef double savings(self) noexcept:
        return self.retry_budget * (self._requests[0] + self._requests[1]) - (self._sent_again[0] + self._sent_again[1])

    cpdef void expire(self, double now):
        cdef Endpoint endpoint
        if now >= self._half_until:
            self._requests[1], self._requests[0] = self._requests[0], 0
            self._sent_again[1], self._sent_again[0] = self._sent_again[0], 0
            self._half_until = now + HALF_WINDOW
        if self._members.refresh(now):
            self.balancing.use(self._members)
        for endpoint in self.endpoints:
            endpoint.pool.yield_idle(now)
        self.pending.expire(now)
        if not self.pending.is_empty() and not self._will_look:
            self._wish(now)
