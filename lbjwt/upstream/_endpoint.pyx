"""
One endpoint: its load, whether it is healthy, what counts as a failure of it, and what is logged of that.

Knows nothing of other endpoints: `Ejector` decides for how long one that fails is passed over. Connections to it are kept by its pool.
"""

import logging

from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.observe._endpoint_states cimport CONNECT_FAILURES, add_to
from lbjwt.upstream._availability cimport is_healthy as passes
from lbjwt.upstream._trial cimport begin_trial, pass_trial_on

cdef double QUIET = 10.0         # seconds between two reports of one endpoint: one that fails now and then must not fill the log

cdef double REPLAYABLE_FIRST = 1.0   # seconds: then any request tries an endpoint, or a service that only gets POST would never have it back

cdef enum:
    ASSUMED_STREAMS = 100        # until an endpoint says how many it allows, which should not be fewer (RFC 9113 section 6.5.2)

cdef Http2Settings DEFAULTS = Http2Settings()

cdef object log = logging.getLogger("lbjwt.endpoints")


cdef class Http2Settings:

    def __init__(self, *, int max_streams=100, double ping_interval=0.0, double ping_timeout=20.0, double max_connection_age=0.0):
        self.max_streams = max_streams
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        self.max_connection_age = max_connection_age


cdef class Endpoint:

    def __init__(self, Py_ssize_t row, str address, str host, int port, str path, long weight=1, *, bint backup=False,
                 Py_ssize_t max_connections=0, TlsPeer tls=None, Protocol protocol=Protocol.HTTP1):
        self.row = row
        self.address = address
        self.label = address.encode()
        self.host = host
        self.port = port
        self.path = path
        self.weight = weight
        self.tls = tls
        self.protocol = protocol
        self.backup = backup
        self.max_connections = max_connections
        self.pool = Pool()
        self.http2 = DEFAULTS
        self.streams_allowed = ASSUMED_STREAMS
        self._position = -1

    cdef bint is_like(self, Endpoint other):
        if self.address != other.address or self.protocol != other.protocol:
            return False
        return self.tls is other.tls or (self.tls is not None and other.tls is not None and self.tls.is_like(other.tls))

    cdef void attach(self, Board board):
        self.counters = self.pool.counters = board.endpoint(board.slot, self.row)
        self.state = self.pool.state = board.endpoint_states.at(self.row)
        self.pool.wish_offset = board.slot * 1e-6

    cdef bint charge(self) noexcept:
        self.counters.in_flight += 1
        add_to(&self.state.in_flight, 1)
        return self.state.on_trial != 0 and begin_trial(self.state, coarse_monotonic(), self.connect_timeout + self.response_timeout)

    cdef bint awaits_replayable(self, bint complete, double now) noexcept:
        # A connect that fails costs no request its response. But a request whose rest is yet to come may hold the trial up.
        return (self.state.on_trial != 0 and (self.state.on_trial != 1 + CONNECT_FAILURES or not complete)
                and self.state.ejected_until <= now < self.state.ejected_until + REPLAYABLE_FIRST)

    cdef void end_trial(self) noexcept:
        pass_trial_on(self.state, coarse_monotonic())

    cdef void discharge(self) noexcept:
        self.counters.in_flight -= 1
        add_to(&self.state.in_flight, -1)

    cdef bint is_healthy(self, double now) noexcept:
        return passes(self.state, now)

    cdef bint is_full(self, double now):
        return not self.pool.has_room(now)

    cdef void healthy(self, bint trial):
        self.ejector.succeeded(self.state, self.address, trial, coarse_monotonic())
        self.pool.pending.wake()                 # it may be back in rotation, with connections that are free

    cdef void unhealthy(self, EjectionCause cause, bint trial):
        self.ejector.failed(self.state, self.address, cause, trial, coarse_monotonic())

    cdef void unreachable(self, str cause, bint trial, double now):
        self.failed(cause, now)
        self.ejector.failed(self.state, self.address, CONNECT_FAILURES, trial, now)

    cpdef void failed(self, str cause, double now):
        self.counters.failures += 1
        if cause is not None and not self.failing and now >= self._quiet_until:
            self.failing = True
            self._quiet_until = now + QUIET
            log.warning("endpoint %s of cluster %s fails: %s", self.address, self.ejector.cluster, cause)

    cpdef void recovered(self):
        """It answered after a failure that was logged."""
        self.failing = False
        log.info("endpoint %s of cluster %s responds again", self.address, self.ejector.cluster)
