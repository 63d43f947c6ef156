"""
Requests that wait for an endpoint with room, first in, first out. The queue is bounded in number and time: with an unbounded one, endpoints
slower than their load would answer every request late.

A free connection serves the first request of the queue. When room appears in another way, the queue is served in the next turn of the event
loop: in this turn another request may be about to end, and opening a connection there would nest one request in the other.
"""

from lbjwt.net._clock cimport coarse_monotonic


cdef class PendingQueue:

    def __init__(self, Board board not None, call_soon):
        self._board = board
        self._call_soon = call_soon
        self._queue = {}

    def __len__(self):
        return len(self._queue)

    cdef bint is_empty(self) noexcept:
        return len(self._queue) == 0

    cdef bint enter(self, UpstreamRequest request, double now):
        if len(self._queue) >= self.max_pending:
            return False
        if request.pending_until == 0.0:         # all its waiting counts, however often it comes back
            request.pending_until = now + self.timeout
        self._queue[request] = None
        self._board.mine.pending += 1
        return True

    cdef void leave(self, UpstreamRequest request):
        if request in self._queue:
            del self._queue[request]
            self._board.mine.pending -= 1

    cdef UpstreamRequest first(self):
        return next(iter(self._queue)) if self._queue else None

    cdef void wake(self):
        if self._queue and not self._scheduled:
            self._scheduled = True
            self._call_soon(self.serve)

    def serve(self):
        cdef UpstreamRequest request
        cdef double now = coarse_monotonic()
        self._scheduled = False
        while self._queue:
            request = self.first()
            if request.is_overdue(now):          # no sweep came since: nobody waits for its response any more
                request.pending_timed_out()
            else:
                request.dispatch()
            if self.first() is request:
                break                            # there is no room left

    cdef void expire(self, double now):
        cdef UpstreamRequest request
        for request in list(self._queue):        # one that came back is behind others that may wait longer
            if request.pending_until <= now and request in self._queue:
                request.pending_timed_out()
        self.wake()                              # an endpoint that was passed over as unreachable is asked again: no event tells when
