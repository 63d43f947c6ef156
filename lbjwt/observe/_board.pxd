from libc.stdint cimport int64_t, uint64_t

cimport cython

cdef enum:
    REASONS = 32                                 # room for DenyReason
    STATUS_CLASSES = 6                           # index 0: ended without a response; 1..5: 1xx..5xx
    WORKER_STARTING = 0
    WORKER_READY = 1
    WORKER_DRAINING = 2
    WORKER_STOPPED = 3


cdef struct WorkerCounters:
    uint64_t requests[STATUS_CLASSES]
    uint64_t refusals[REASONS]                   # by DenyReason
    uint64_t bad_requests                        # refused before the gate: framing, limits
    uint64_t connections_total                   # client connections accepted
    int64_t connections                          # open now
    int64_t in_flight
    uint64_t retries
    uint64_t dropped_header_names
    uint64_t access_log_dropped
    uint64_t cache_hits
    uint64_t cache_misses
    uint64_t cache_evictions
    int64_t cache_entries
    int64_t cache_bytes
    int64_t keys                                 # keys in the ring
    double keys_fetched_at                       # seconds since the epoch of the last good load; 0: never
    uint64_t key_fetches
    uint64_t key_fetch_failures
    int64_t state                                # WORKER_*


cdef struct EndpointCounters:
    int64_t in_flight                            # of one worker
    int64_t idle_connections
    uint64_t requests
    uint64_t connects
    uint64_t failures                            # connect failures and responses that never came or broke
    uint64_t responses[STATUS_CLASSES]


cdef struct Header:
    int64_t draining                             # the whole service is on its way out
    uint64_t restarts                            # workers replaced
    double started_at                            # seconds since the epoch


@cython.final
cdef class Board:
    """Counters of all workers in one shared anonymous mapping. Each worker writes its own slot and reads all."""
    cdef readonly Py_ssize_t workers
    cdef readonly Py_ssize_t endpoints
    cdef readonly Py_ssize_t slot                # of this process
    cdef char *_base
    cdef size_t _size
    cdef size_t _stride                          # bytes from one slot to the next
    cdef WorkerCounters *mine                    # of slot 0 until `attach`

    cdef WorkerCounters *worker(self, Py_ssize_t slot) noexcept
    cdef EndpointCounters *endpoint(self, Py_ssize_t slot, Py_ssize_t index) noexcept
    # requests in flight to an endpoint over all workers
    cdef int64_t in_flight(self, Py_ssize_t index) noexcept

    cdef Header *header(self) noexcept
    cdef int64_t _sum(self, size_t offset) noexcept
    cdef int check_slot(self, Py_ssize_t slot) except -1
    cdef int check_endpoint(self, Py_ssize_t index) except -1
    cdef object words(self, size_t base, tuple where)
