cdef class Timed:
    """Something with a deadline. The sweeps of a worker walk a set of these, whatever they are."""
    cdef double deadline             # seconds on the coarse monotonic clock; 0.0: none

    cdef void expired(self)          # the deadline has passed
    cdef void check_peer(self)       # called often: is the peer still there, although nothing is read from it now?
    cdef void end_if_expired(self, double now)   # end what outlived its token; seconds since the epoch
    # The worker is stopping, or, unless None, this listener left: end by `soon` (monotonic seconds) if nothing is under way.
    cdef void drain(self, double soon, object listener)
    # A request may still begin here. after_answer: also count those where one may follow the answer under way; False: none will any more.
    cdef bint takes_requests(self, bint after_answer)
    cdef void end(self)              # the worker ends now


cdef double monotonic() noexcept nogil
# A few milliseconds of grain at a quarter of the price: for deadlines.
cdef double coarse_monotonic() noexcept nogil
cdef double wall_clock() noexcept nogil
