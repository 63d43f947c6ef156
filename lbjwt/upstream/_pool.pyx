"""
The pool of streams to one endpoint: which one carries the next request, and which request a free one carries next.

Knows numbers, queues and what a stream says of itself. Opens nothing, and knows no protocol: whether a stream may be used again is the stream's word.
"""

from lbjwt.observe._endpoint_states cimport IN_SERVICE, add_to


cdef class PooledStream(Timed):

    cdef bint is_reusable(self):
        return False

    cdef void close(self):
        pass


cdef class Pool:

    def __init__(self):
        self.idle = []
        self.connecting = {}
        self.unclaimed = {}

    cdef bint has_room(self) noexcept:
        return self.open < self.max_connections or len(self.idle) > 0 or len(self.unclaimed) > 0

    # --- a stream for a request ---------------------------------------------------------------------------------------

    cdef PooledStream take_idle(self, bint fresh):
        cdef PooledStream stream
        while self.idle and not (fresh and self.open < self.max_connections):
            stream = <PooledStream>self.idle.pop()
            self.counters.idle_connections -= 1
            if not fresh and stream.is_reusable():
                return stream
            stream.close()
        return None

    cdef PooledStream take_unclaimed(self):
        cdef PooledStream stream
        if not self.unclaimed:
            return None
        stream = <PooledStream>next(iter(self.unclaimed))
        del self.unclaimed[stream]
        return stream

    # --- opening ------------------------------------------------------------------------------------------------------

    cdef void add(self, PooledStream stream):
        self.open += 1
        self.counters.connections += 1
        add_to(&self.state.connections, 1)

    cdef void forget(self):
        """A stream that is ending does not count: another one may be opened."""
        self.open -= 1
        self.counters.connections -= 1
        add_to(&self.state.connections, -1)
        self.pending.wake()

    cdef void connecting_for(self, PooledStream stream, UpstreamRequest request):
        stream.request = request
        if request.takes_any_stream():
            self.connecting[stream] = None

    cdef void settle(self, PooledStream stream):
        self.connecting.pop(stream, None)
        self.unclaimed.pop(stream, None)

    cdef void abandon(self, PooledStream stream):
        self.connecting.pop(stream, None)
        self.unclaimed[stream] = None

    # --- a request for a stream ---------------------------------------------------------------------------------------

    cdef UpstreamRequest next_request(self, PooledStream stream):
        """
        Whichever is open first serves the oldest request that waits: this stream, or the one that is being opened for it. Then comes the one that
        has waited longest because every endpoint is full.
        """
        cdef PooledStream opening
        cdef UpstreamRequest request
        if (not self.connecting and self.pending.is_empty()) or not stream.is_reusable():
            return None
        if self.connecting:
            opening = <PooledStream>next(iter(self.connecting))
            request = opening.request
            opening.request = None
            self.abandon(opening)
            return request
        if self.state.service != IN_SERVICE:
            return None
        request = self.pending.first()
        # One that does not take any stream is sent off by `wake`.
        return request if request.takes_any_stream() else None

    cdef bint may_keep(self) noexcept:
        return not self.leaving and self.state.service == IN_SERVICE and self.open <= self.max_connections and len(self.idle) < self.max_idle

    cdef void keep(self, PooledStream stream):
        self.idle.append(stream)
        self.counters.idle_connections += 1
        self.pending.wake()

    cdef void leave(self, PooledStream stream):
        if stream in self.idle:
            self.idle.remove(stream)
            self.counters.idle_connections -= 1

    cdef void trim(self):
        """Close the oldest idle streams that are too many since the limit was lowered; those in use end when they are released."""
        while self.idle and self.open > self.max_connections:
            (<PooledStream>self.idle[0]).end()

    cdef void close_idle(self):
        cdef PooledStream stream
        for stream in list(self.idle):
            stream.end()
