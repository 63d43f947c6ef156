cimport cython

from lbjwt.net._clock cimport Timed
from lbjwt.observe._board cimport EndpointCounters
from lbjwt.observe._endpoint_states cimport EndpointState
from lbjwt.upstream._pending cimport PendingQueue
from lbjwt.upstream._request cimport UpstreamRequest


cdef class PooledStream(Timed):
    """
    What carries one request to an endpoint at a time, as its pool sees it. Over HTTP/1 it is the connection; of a protocol with several streams on
    a connection each is one.
    """
    cdef UpstreamRequest request     # it carries, or is being opened for; None: none
    cdef bint is_idle                # among the idle ones of its pool
    cdef PooledStream newer          # of these, the one that became idle after it …
    cdef PooledStream older          # … and before it

    cdef bint is_reusable(self)      # asked of an idle one: nothing about it is in doubt
    cdef void taken(self)            # it was idle or unclaimed, and a request gets it: its connection may have room for another stream
    cdef void close(self)            # send what is queued, then close
    cdef void fetch(self) noexcept               # into the caches of the processor: it will be used soon
    cdef bint shares_connection(self) noexcept   # with requests that are under way: to end it gives no descriptor back


@cython.final
cdef class Pool:
    """The streams to one endpoint in this worker: idle, being opened, in use."""
    # Each request looks at these.
    cdef PooledStream newest         # idle: nothing about it is in doubt; the others are its `older` ones
    cdef PooledStream oldest
    cdef EndpointCounters *counters  # of this worker
    cdef EndpointState *state        # of all processes
    cdef PendingQueue pending        # of the cluster
    cdef readonly Py_ssize_t idle    # how many
    cdef readonly Py_ssize_t max_idle
    cdef readonly Py_ssize_t max_connections     # over all workers
    cdef readonly dict connecting    # being opened for a request that any stream serves: stream -> None, the oldest first; None: there is none
    cdef long weight                 # of the endpoint, as configured
    cdef readonly bint leaving       # the endpoint is no member any more: none is kept
    cdef double _wish                # as written to the state; 0: none
    # At these, few do.
    cdef readonly dict unclaimed     # being opened, and whose request left or is served by another one; None: there is none
    cdef readonly Py_ssize_t open    # those that take room: being opened, in use or idle; none that is on its way out
    cdef double wish_offset          # seconds; makes the wishes of two workers different
    cdef double _held_since          # seconds on the monotonic clock: the last connection was opened, or given up for another worker

    cdef bint has_room(self, double now)
    # Take room for another stream, out of what all workers share. False: there is none.
    cdef bint reserve(self, double now)
    # No stream was made of what was reserved.
    cdef void unreserve(self)
    # Another worker waits for room.
    cdef bint is_wanted(self, double now) noexcept
    # This worker waits for room, for the next half second. True: other workers have connections, so it may come.
    cdef bint wish(self, double now) noexcept
    cdef void end_wish(self) noexcept
    # An idle stream, the one used last. None: there is none, and room for a new one. fresh: one that nobody used before, if there is room.
    cdef PooledStream take_idle(self, bint fresh)
    # A stream that is being opened and that nobody waits for any more; None: open another one.
    cdef PooledStream take_unclaimed(self)
    # A stream begins to be opened in room that was reserved; `forget` ends its count.
    cdef void add(self)
    cdef void forget(self)
    cdef void connecting_for(self, PooledStream stream, UpstreamRequest request)
    # It is being opened no longer.
    cdef void settle(self, PooledStream stream)
    # Its request left before it was open.
    cdef void abandon(self, PooledStream stream)
    # The request that a stream which got free serves before it is kept, or None.
    cdef UpstreamRequest next_request(self, PooledStream stream)
    cdef bint may_keep(self)
    # Whether a connection that carries requests may get more: its endpoint is in use, and no other worker wants its room.
    cdef bint may_go_on(self)
    cdef bint _yields(self)
    cdef void trim(self)
    # Close an idle stream for another worker that waits.
    cdef void yield_idle(self, double now)
    cdef void keep(self, PooledStream stream)
    # It is idle no longer, if it was.
    cdef void leave(self, PooledStream stream)
    cdef void close_idle(self)
    # The same, of those whose connection is idle too.
    cdef void close_unused(self)
