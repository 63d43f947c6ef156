from libc.stdint cimport int64_t, uint64_t

cimport cython

cdef enum:
    EJECTION_CAUSES = 5


cdef enum EjectionCause:
    SERVER_ERRORS = 0            # responses with 5xx, one after another
    CONNECT_FAILURES = 1
    TIMEOUTS = 2
    RESETS = 3                   # the connection ended without a response, or in one
    SUCCESS_RATE = 4             # fewer good responses than the other endpoints of the cluster


cdef enum CheckState:
    NOT_CHECKED = 0
    PASSING = 1
    FAILING = 2


cdef enum ServiceState:
    IN_SERVICE = 0
    DRAINED = 1                  # gets no new request
    DISABLED = 2                 # the same, and it is not checked


cdef struct EndpointState:
    # The first cache line is read for each request that may go there.
    int64_t in_flight            # requests, over all workers
    int64_t connections          # over all workers: being opened, in use or idle
    double ejected_until         # seconds on the monotonic clock: it gets no request before; 0: was never ejected. See `upstream/_trial`
    int64_t on_trial             # 1 + EjectionCause since it was ejected, until a success; 0: not ejected
    int64_t check                # CheckState, of active health checks
    int64_t service              # ServiceState, set at run time
    int64_t weight               # 1 + the weight that was set at run time; 0: the configured one
    double serving_since         # seconds on the monotonic clock at which it came into rotation; 0: it was there from the start
    # The others are written when something goes wrong. The second line is read with each response.
    double wanted_until          # until then some worker waits for room: others close idle connections. Seconds on the monotonic clock
    int64_t suspect              # 1: a success changes something: one of `consecutive` is not 0, or connecting failed
    int64_t panic                # 1: so few endpoints of its cluster are healthy that it is used although it may not be
    int64_t retrying             # of the requests in flight, over all workers: those that were sent again
    int64_t consecutive[4]       # failures without a success between, by EjectionCause
    int64_t ejections_in_row     # each one lasts longer
    uint64_t ejections[EJECTION_CAUSES]
    uint64_t transitions         # of `check`
    double checked_at            # seconds since the epoch; 0: never


@cython.final
cdef class EndpointStates:
    cdef readonly Py_ssize_t rows
    cdef char *_base
    cdef size_t _size

    cdef EndpointState *at(self, Py_ssize_t row) noexcept


# Atomic over processes. Returns the new value.
cdef int64_t add_to(int64_t *word, int64_t amount) noexcept nogil
# Sets the word to `after` if it is `before`; True when it did, which one process alone gets.
cdef bint swap(double *word, double before, double after) noexcept nogil
cdef bint swap_word(int64_t *word, int64_t before, int64_t after) noexcept nogil
# Set the word. A process that sees the new value also sees everything that this one wrote before.
cdef void publish(double *word, double value) noexcept nogil
