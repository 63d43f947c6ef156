"""
Passive health: an endpoint whose requests fail is ejected, which means that it gets no request for a while. `_ejection` has the rules.

After its time it is on trial. One request goes there. Its worker holds the trial by moving `ejected_until` into the future, so that no
other request follows. A success puts the endpoint back into rotation, a failure ejects it again at once, and a request that ends without either
gives the trial to the next one. Requests that were on their way when the endpoint was ejected say nothing new and are not counted.

All workers count in one row of shared memory. `_trial` decides which of them ejects or readmits, and that one logs. Which endpoints carry the load of
the cluster is asked each time, because weights and drains change at run time.
"""

import logging
from random import random

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport uint64_t

from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.observe._board cimport EndpointCounters
from lbjwt.observe._endpoint_states cimport CONNECT_FAILURES, SUCCESS_RATE, add_to
from lbjwt.upstream._availability cimport carries_load, is_in_rotation, takes_requests
from lbjwt.upstream._ejection cimport is_panic
from lbjwt.upstream._trial cimport eject, pass_trial_on, readmit, revoke

cdef object log = logging.getLogger("lbjwt.endpoints")

cdef tuple SINGULAR = ("a response with 5xx", "no connection", "no response in time", "a connection that ended without a whole response")
cdef tuple PLURAL = (
    "{} responses with 5xx in a row", "{} failed connects in a row", "{} timeouts in a row",
    "{} connections in a row that ended without a whole response",
)


cdef class Ejector:

    def __init__(self, str cluster not None, Board board not None):
        self.cluster = cluster
        self.rules = EjectionRules.off()
        self._rows = frozenset()
        self._board = board

    def __dealloc__(self):
        PyMem_Free(self._members)

    def configure(self, EjectionRules rules not None, double panic_threshold, members):
        """
        members: (row, configured weight, whether it is a backup) of each endpoint. Those that leave keep neither ejection nor panic. An ejection
        whose cause is turned off ends.
        """
        cdef Py_ssize_t at, count = len(members)
        cdef int64_t row
        cdef double now = coarse_monotonic()
        cdef EjectorMember *known = <EjectorMember *>PyMem_Calloc(max(count, 1), sizeof(EjectorMember))
        if known is NULL:
            raise MemoryError
        for at in range(count):
            row, known[at].weight, known[at].backup = members[at]
            known[at].state = self._board.endpoint_states.at(row)
            if known[at].state.on_trial and not rules.ejects(known[at].state.on_trial - 1):
                self._readmit(known[at].state, now)
        rows = frozenset(row for row, _, _ in members)
        for row in self._rows - rows:
            self._forget(self._board.endpoint_states.at(row), now)
        PyMem_Free(self._members)
        self._members = known
        self._count = count
        self._rows = rows
        self.rules = rules
        self.panic_threshold = panic_threshold
        self.look(now)

    cdef bint _readmit(self, EndpointState *state, double now) noexcept:
        if not readmit(state, now):
            return False
        self._clear(state)
        return True

    cdef void _forget(self, EndpointState *state, double now) noexcept:
        """It is no member any more. If it comes back, it begins anew, with its slow start."""
        self._readmit(state, now)
        self._clear(state)
        state.panic = 0
        state.serving_since = 0.0

    # --- results ------------------------------------------------------------------------------------------------------

    cdef void failed(self, EndpointState *state, str address, EjectionCause cause, bint trial, double now):
        cdef int64_t count
        if state.on_trial:
            if not trial:
                return
            if not self.rules.thresholds[<int>cause]:
                pass_trial_on(state, now)
                return
            self._eject(state, address, cause, "on trial, " + SINGULAR[<int>cause], now)
            return
        state.suspect = 1
        count = add_to(&state.consecutive[<int>cause], 1)
        if self.rules.is_enough(cause, count):
            self._eject(state, address, cause, SINGULAR[<int>cause] if count == 1 else PLURAL[<int>cause].format(count), now)

    cdef void succeeded(self, EndpointState *state, str address, bint trial, double now):
        if not state.on_trial:
            self._clear(state)
        elif (trial or state.on_trial == 1 + CONNECT_FAILURES) and self._readmit(state, now):
            if self._count > 1:                  # a lone endpoint is never out of rotation: its requests have nowhere else to go
                log.info("endpoint %s of cluster %s is back in rotation", address, self.cluster)
            self.look(now)

    cdef void _clear(self, EndpointState *state) noexcept:
        state.suspect = 0
        for cause in range(4):
            state.consecutive[cause] = 0

    cdef bint _eject(self, EndpointState *state, str address, EjectionCause cause, str reason, double now):
        cdef double before = state.ejected_until, seconds
        cdef bint again = state.on_trial != 0
        cdef bint limited = cause != CONNECT_FAILURES and not again
        cdef int64_t in_row = state.ejections_in_row
        if not self._is_member(state) or (not again and before > now):
            return False                             # it left; or another worker ejects it at this moment
        if limited and self._ejected() >= self._room():
            return False
        if not again:
            in_row = self.rules.decayed(cause, in_row, now - state.serving_since)
        seconds = self.rules.seconds(cause, in_row, random())
        if not eject(state, before, now + seconds, cause):
            return False                             # another worker was first
        if limited and self._ejected() > self._room():           # at the same time another endpoint was ejected, or the last backup
            revoke(state, before)
            return False
        state.ejections_in_row = in_row + 1
        self._clear(state)
        state.suspect = cause == CONNECT_FAILURES    # any success ends it
        add_to(<int64_t *>&state.ejections[<int>cause], 1)
        if self._count > 1 and not (again and self.rules.seconds(cause, in_row, 0.5) <= self.rules.seconds(cause, in_row - 1, 0.5)):
            log.warning("endpoint %s of cluster %s ejected for %.3g s: %s", address, self.cluster, seconds, reason)
        self.look(now)
        return True

    cdef bint _is_member(self, const EndpointState *state) noexcept:
        cdef Py_ssize_t at
        for at in range(self._count):
            if self._members[at].state == state:
                return True
        return False

    cdef bint _carries_load(self, Py_ssize_t at) noexcept:
        return carries_load(self._members[at].state, self._members[at].weight, self._members[at].backup)

    cdef Py_ssize_t _carriers(self) noexcept:
        """Endpoints that carry the load of the cluster now."""
        cdef Py_ssize_t at, count = 0
        for at in range(self._count):
            count += self._carries_load(at)
        return count

    cdef bint _is_backed_up(self) noexcept:
        """A healthy backup can take over."""
        cdef Py_ssize_t at
        cdef EjectorMember *member
        for at in range(self._count):
            member = &self._members[at]
            if member.backup and takes_requests(member.state, member.weight) and is_in_rotation(member.state):
                return True
        return False

    cdef Py_ssize_t _room(self) noexcept:
        """Endpoints that may be ejected at the same time although one can connect to them."""
        return self.rules.room(self._carriers(), self._is_backed_up())

    cdef Py_ssize_t _ejected(self) noexcept:
        """Of these, the ones that are out of rotation although one can connect to them."""
        cdef Py_ssize_t at, count = 0
        for at in range(self._count):
            if (self._carries_load(at) and self._members[at].state.on_trial
                    and self._members[at].state.on_trial != 1 + CONNECT_FAILURES):
                count += 1
        return count

    def results(self, rows):
        """For each row the good responses and all requests that were judged, since the start and over all workers; failures count as requests."""
        cdef list found = []
        cdef Py_ssize_t row, slot
        cdef EndpointCounters *counters
        cdef uint64_t good, bad
        for row in rows:
            good = bad = 0
            for slot in range(self._board.workers):
                counters = self._board.endpoint(slot, row)
                good += counters.responses[2] + counters.responses[3] + counters.responses[4]
                bad += counters.responses[5] + counters.failures
            found.append((good, good + bad))
        return found

    def eject_outlier(self, Py_ssize_t row, str address, double rate, double mean, double now):
        """Eject an endpoint whose success rate (0 to 1) is far below the mean of its cluster; False when it may not be ejected."""
        cdef EndpointState *state = self._board.endpoint_states.at(row)
        if state.on_trial:
            return False
        return self._eject(state, address, SUCCESS_RATE, f"{100 * rate:.1f} % good responses, where the mean is {100 * mean:.1f} %", now)

    # --- panic --------------------------------------------------------------------------------------------------------

    cdef void look(self, double now):
        """Count the healthy endpoints. Called when one changed, and often, as other processes change them too."""
        cdef Py_ssize_t at, healthy = 0, serving = 0
        cdef EjectorMember *member
        cdef bint panic, wanted, told
        for at in range(self._count):
            member = &self._members[at]
            if self._carries_load(at):
                serving += 1
                healthy += is_in_rotation(member.state)
        self.few_healthy = is_panic(healthy, serving, self.panic_threshold)
        panic = self.few_healthy and not self._is_backed_up()    # backups come before endpoints that fail
        told = panic == self.panic or self._board.slot != 0      # all workers see it, one logs
        self.panic = panic
        for at in range(self._count):
            wanted = panic and self._carries_load(at)
            if self._members[at].state.panic != wanted:
                self._members[at].state.panic = wanted
        if not told and panic:
            log.warning("cluster %s: %d of %d endpoints are healthy, which is below %g %%: all are used (panic)", self.cluster, healthy,
                        serving, 100 * self.panic_threshold)
        elif not told:
            log.info("cluster %s: %d of %d endpoints are healthy: only these are used again", self.cluster, healthy, serving)
