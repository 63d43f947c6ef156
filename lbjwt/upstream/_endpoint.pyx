"""
One endpoint: what counts as a failure of it, for how long it is passed over, and what is logged of that.

Knows nothing of other endpoints. Connections to it are kept by its pool.
"""

import logging

from lbjwt.observe._endpoint_states cimport add_to

cdef double EJECTION = 1.0       # seconds an endpoint is passed over after a failed connect
cdef double QUIET = 10.0         # seconds between two reports of one endpoint: one that fails now and then must not fill the log

cdef object log = logging.getLogger("lbjwt.endpoints")


cdef class Endpoint:

    def __init__(self, Py_ssize_t row, str address, str host, int port, str path, long weight=1, *, bint backup=False,
                 Py_ssize_t max_connections=0):
        self.row = row
        self.address = address
        self.label = address.encode()
        self.host = host
        self.port = port
        self.path = path
        self.weight = weight
        self.backup = backup
        self.max_connections = max_connections
        self.pool = Pool()
        self._position = -1

    cdef void attach(self, Board board):
        self.counters = self.pool.counters = board.endpoint(board.slot, self.row)
        self.state = self.pool.state = board.endpoint_states.at(self.row)
        self.pool.wish_offset = board.slot * 1e-6

    cdef void charge(self) noexcept:
        self.counters.in_flight += 1
        add_to(&self.state.in_flight, 1)

    cdef void discharge(self) noexcept:
        self.counters.in_flight -= 1
        add_to(&self.state.in_flight, -1)

    cdef bint is_healthy(self, double now) noexcept:
        return is_healthy(self.state, now)

    cdef bint is_full(self, double now):
        return not self.pool.has_room(now)

    cpdef void unreachable(self, str cause, double now):
        self.state.ejected_until = now + EJECTION
        self.failed(cause, now)

    cpdef void failed(self, str cause, double now):
        self.counters.failures += 1
        if cause is not None and not self.failing and now >= self._quiet_until:
            self.failing = True
            self._quiet_until = now + QUIET
            log.warning("endpoint %s fails: %s", self.address, cause)

    cpdef void recovered(self):
        """It answered after a failure that was logged."""
        self.failing = False
        log.info("endpoint %s responds again", self.address)
