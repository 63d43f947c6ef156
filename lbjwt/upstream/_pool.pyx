"""
The pool of streams to one endpoint: which one carries the next request, and which request a free one carries next.

Knows numbers, queues and what a stream says of itself. Opens nothing, and knows no protocol: whether a stream may be used again is the stream's word.

Workers share the room of an endpoint. One adds itself to the total, looks, and takes itself back when that was too much, so the limit holds
however many do so at once. A worker whose requests wait says so in the state of the endpoint (`wish`). The others then close what is idle, also when
a stream is released, and open nothing there; one with waiting requests of its own gives up one stream in 20 ms. One wish stands at a time, until it
is met: workers take turns.
"""

from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.observe._endpoint_states cimport add_to, swap
from lbjwt.upstream._availability cimport is_healthy, takes_requests

cdef double WISH = 0.5           # seconds a wish stands: longer than from one walk over the deadlines to the next, short if its worker has died
cdef double HOLD = 0.02          # seconds for which a worker with waiting requests keeps a stream that another one wants: many requests, one connect


cdef class PooledStream(Timed):

    cdef bint is_reusable(self):
        return False

    cdef void taken(self):
        pass

    cdef void close(self):
        pass

    cdef void fetch(self) noexcept:
        pass

    cdef bint shares_connection(self) noexcept:
        return False


cdef dict _without(dict streams, PooledStream stream):
    """streams without this one, and None for none: a pool where nothing is being opened has no dict to look at."""
    if streams is None:
        return None
    streams.pop(stream, None)
    return streams if streams else None


cdef class Pool:

    cdef bint has_room(self, double now):
        return (self.newest is not None or self.unclaimed is not None
                or (self.state.connections < self.max_connections and not self.is_wanted(now)))

    # --- room, shared by all workers ----------------------------------------------------------------------------------

    cdef bint reserve(self, double now):
        if self.is_wanted(now):
            return False
        if add_to(&self.state.connections, 1) > self.max_connections:
            add_to(&self.state.connections, -1)
            return False
        self._held_since = now
        self.end_wish()
        return True

    cdef void unreserve(self):
        add_to(&self.state.connections, -1)
        self.pending.wake()

    cdef bint is_wanted(self, double now) noexcept:
        return self.state.wanted_until > now and self.state.wanted_until != self._wish

    cdef bint wish(self, double now) noexcept:
        cdef double before = self.state.wanted_until
        cdef double wish = now + WISH + self.wish_offset
        if self.state.connections <= self.open:
            return False
        if not self.is_wanted(now) and swap(&self.state.wanted_until, before, wish):
            self._wish = wish
        return True

    cdef void end_wish(self) noexcept:
        if self._wish != 0.0:
            swap(&self.state.wanted_until, self._wish, 0.0)
            self._wish = 0.0

    cdef bint _yields(self):
        """Another worker wants the stream that is released."""
        cdef double now = coarse_monotonic()
        if not self.is_wanted(now):
            return False
        if (self.connecting is not None or not self.pending.is_empty()) and now - self._held_since < HOLD:
            return False
        self._held_since = now
        return True

    cdef void yield_idle(self, double now):
        if self.oldest is not None and self.is_wanted(now):
            self.oldest.end()

    # --- a stream for a request ---------------------------------------------------------------------------------------

    cdef PooledStream take_idle(self, bint fresh):
        cdef PooledStream stream
        while self.newest is not None and not (fresh and self.state.connections < self.max_connections):
            stream = self.newest
            self.leave(stream)
            if not fresh and stream.is_reusable():
                stream.taken()
                return stream
            stream.close()
        return None

    cdef PooledStream take_unclaimed(self):
        cdef PooledStream stream
        if self.unclaimed is None:
            return None
        stream = <PooledStream>next(iter(self.unclaimed))
        self.unclaimed = _without(self.unclaimed, stream)
        stream.taken()
        return stream

    # --- opening ------------------------------------------------------------------------------------------------------

    cdef void add(self):
        self.open += 1
        self.counters.connections += 1

    cdef void forget(self):
        """A stream that is ending does not count: another one may be opened."""
        self.open -= 1
        self.counters.connections -= 1
        add_to(&self.state.connections, -1)
        self.pending.wake()

    cdef void connecting_for(self, PooledStream stream, UpstreamRequest request):
        stream.request = request
        if request.takes_any_stream():
            if self.connecting is None:
                self.connecting = {}
            self.connecting[stream] = None

    cdef void settle(self, PooledStream stream):
        self.connecting = _without(self.connecting, stream)
        self.unclaimed = _without(self.unclaimed, stream)

    cdef void abandon(self, PooledStream stream):
        self.connecting = _without(self.connecting, stream)
        if self.unclaimed is None:
            self.unclaimed = {}
        self.unclaimed[stream] = None

    # --- a request for a stream ---------------------------------------------------------------------------------------

    cdef UpstreamRequest next_request(self, PooledStream stream):
        """
        Whichever is open first serves the oldest request that waits: this stream, or the one that is being opened for it. Then comes the one that
        has waited longest because every endpoint is full: if the endpoint would be picked for it now. Else `wake` finds it another one.
        """
        cdef PooledStream opening
        cdef UpstreamRequest request
        cdef double now
        if (self.connecting is None and self.pending.is_empty()) or not stream.is_reusable():
            return None
        if self.connecting is not None:
            opening = <PooledStream>next(iter(self.connecting))
            request = opening.request
            opening.request = None
            self.abandon(opening)
            return request
        now = coarse_monotonic()
        if not takes_requests(self.state, self.weight) or not is_healthy(self.state, now):
            return None
        request = self.pending.first()
        # One that does not take any stream is sent off by `wake`, and one whose time is over is ended by it.
        return request if request.takes_any_stream() and not request.is_overdue(now) else None

    cdef bint may_keep(self):
        return self.idle < self.max_idle and self.may_go_on()

    cdef bint may_go_on(self):
        return (not self.leaving and takes_requests(self.state, self.weight) and self.state.connections <= self.max_connections
                and (self.state.wanted_until == 0.0 or not self._yields()))

    cdef void keep(self, PooledStream stream):
        stream.is_idle = True
        stream.older = self.newest
        if self.newest is None:
            self.oldest = stream
        else:
            self.newest.newer = stream
        self.newest = stream
        self.idle += 1
        self.counters.idle_connections += 1
        self.pending.wake()

    cdef void leave(self, PooledStream stream):
        if not stream.is_idle:
            return
        stream.is_idle = False
        if stream.newer is None:
            self.newest = stream.older
        else:
            stream.newer.older = stream.older
        if stream.older is None:
            self.oldest = stream.newer
        else:
            stream.older.newer = stream.newer
        stream.newer = stream.older = None
        self.idle -= 1
        self.counters.idle_connections -= 1

    cdef void trim(self):
        """Close the oldest idle streams that are too many since the limit was lowered; those in use end when they are released."""
        cdef PooledStream stream = self.oldest
        cdef PooledStream newer
        while stream is not None and self.state.connections > self.max_connections:
            newer = stream.newer
            stream.end()
            stream = newer

    cdef void close_idle(self):
        cdef PooledStream stream = self.oldest
        cdef PooledStream newer
        while stream is not None:
            newer = stream.newer
            stream.end()
            stream = newer

    cdef void close_unused(self):
        cdef PooledStream stream = self.oldest
        cdef PooledStream newer
        while stream is not None:
            newer = stream.newer
            if not stream.shares_connection():
                stream.end()
            stream = newer
