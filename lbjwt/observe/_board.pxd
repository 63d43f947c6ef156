from libc.stdint cimport int64_t, uint64_t

cimport cython

from lbjwt._error_reason cimport ERROR_REASONS
from lbjwt.observe._endpoint_states cimport EndpointStates

cdef enum:
    REASONS = 64                                 # room for DenyReason
    STATUS_CLASSES = 6                           # index 0: ended without a response; 1..5: 1xx..5xx
    GRPC_STATUSES = 18                           # index 0..16: that status; 17: the client got none
    WORKER_STARTING = 0
    WORKER_READY = 1
    WORKER_DRAINING = 2
    WORKER_STOPPED = 3


cdef struct WorkerCounters:
    uint64_t requests[STATUS_CLASSES]
    uint64_t bad_requests                        # refused before the gate: framing, limits
    uint64_t errors[ERROR_REASONS]               # by ErrorReason
    uint64_t connections_total                   # client connections accepted
    int64_t connections                          # open now
    int64_t in_flight
    uint64_t retries
    uint64_t retries_over_budget                 # failures passed on because the cluster's budget was used up
    uint64_t dropped_header_names
    uint64_t access_log_dropped
    uint64_t cache_hits
    uint64_t cache_misses
    uint64_t cache_evictions
    int64_t cache_entries
    int64_t cache_bytes
    int64_t revocations                          # entries in force
    int64_t pending                              # requests that wait for an endpoint with room now
    uint64_t endpoints_full                      # requests that found every endpoint full: they waited, or were refused
    int64_t waiting                              # requests that wait for keys now
    int64_t no_descriptors                       # 1 while no file descriptor is left for another client
    uint64_t waited                              # requests that ever waited for keys
    uint64_t streams_ended                       # long responses, tunnels and uploads ended with their token
    uint64_t http2_requests                      # of clients that speak HTTP/2
    uint64_t grpc_calls[GRPC_STATUSES]           # by the status that the client got
    int64_t state                                # WORKER_*
    int64_t generation                           # of the configuration that this process has applied; 0: the one of the start
    int64_t failed_generation                    # the last one that it could not apply
    int64_t finishing                            # 1: drains, and no request will begin any more; those under way end


cdef struct IssuerCounters:
    uint64_t accepted                            # requests let through
    uint64_t refusals[REASONS]                   # by DenyReason
    uint64_t reported[REASONS]                   # let through by report-only, by what would have refused them
    int64_t keys                                 # keys in the ring
    double keys_fetched_at                       # seconds since the epoch of the last good load; 0: never
    uint64_t key_fetches                         # reads by this very process: files. What the keeper fetches is in SourceWords
    uint64_t key_fetch_failures
    uint64_t wanted                              # unknown key ids that came: the process that fetches for this issuer should look


cdef struct SourceWords:
    # Of one remote key source; its writer is the process that fetches: the keeper, or the embedded one. They outlive a keeper.
    uint64_t begun                               # attempts that began
    uint64_t attempts                            # that ended, with whatever result
    double not_before                            # monotonic seconds before which no unknown key id starts a fetch
    double last_success                          # seconds since the epoch; 0: never
    uint64_t fetches
    uint64_t failures                            # among the fetches


cdef struct EndpointCounters:
    int64_t in_flight                            # of one worker
    int64_t connections                          # being opened, in use or idle
    int64_t idle_connections
    uint64_t requests
    uint64_t responses[STATUS_CLASSES]           # by class. Those with 2xx share a cache line with the fields before
    uint64_t connects
    uint64_t failures                            # connect failures and responses that never came or broke
    int64_t retrying                             # of `in_flight`: requests that were sent again
    # of HTTP/2
    uint64_t refused                             # requests that the endpoint did not process, and said so
    uint64_t goaways                             # connections that it wanted to end
    uint64_t ping_timeouts                       # connections ended because it did not answer a PING


cdef struct RouteCounters:
    uint64_t requests[STATUS_CLASSES]


cdef struct Header:
    int64_t draining                             # the whole service is on its way out
    int64_t handed_over                          # another program serves in this one's place
    int64_t no_endpoint                          # 1: no cluster has an endpoint in service that passes its health check
    uint64_t restarts                            # workers replaced
    double started_at                            # seconds since the epoch
    uint64_t keeper_restarts
    int64_t endpoints_used                       # rows below have been given out; nobody looks at those above
    int64_t issuers_used
    int64_t routes_used
    uint64_t reload_requests                     # written by the control process
    int64_t reload_ok                            # 1: the last reload was applied, or there was none
    double reload_success_at                     # seconds since the epoch: the last one that was, or the start
    uint64_t configuration_hash                  # the first 8 bytes of a SHA-256
    uint64_t upgrade_failed                      # upgrades whose new program did not become ready
    unsigned char affinity_key[32]               # a secret of this service, for affinity cookies


@cython.final
cdef class Board:
    cdef readonly Py_ssize_t workers             # slots 0 … workers-1; one more, `keeper`, is no worker
    cdef readonly Py_ssize_t endpoints           # rows there is room for; how many of them have a name is no business of the board
    cdef readonly Py_ssize_t issuers
    cdef readonly Py_ssize_t routes
    cdef readonly EndpointStates endpoint_states
    cdef readonly Py_ssize_t slot                # of this process
    cdef char *_base
    cdef size_t _size
    cdef size_t _slots                           # bytes from the base to the first slot
    cdef size_t _stride                          # bytes from one slot to the next
    cdef size_t _issuer_rows                     # bytes from a slot's start to its IssuerCounters
    cdef size_t _route_rows                      # and to its RouteCounters
    cdef WorkerCounters *mine                    # of slot 0 until `attach`
    cdef IssuerCounters *my_issuers              # row 0: no issuer known; row i + 1: issuer index i
    cdef RouteCounters *my_routes                # by route index
    cdef frozenset _kept                         # issuer rows of the configuration in force in this process; None: all

    cdef WorkerCounters *worker(self, Py_ssize_t slot) noexcept
    cdef EndpointCounters *endpoint(self, Py_ssize_t slot, Py_ssize_t index) noexcept
    cdef IssuerCounters *issuer_rows(self, Py_ssize_t slot) noexcept
    cdef SourceWords *source(self, Py_ssize_t index) noexcept
    cdef Header *header(self) noexcept
    cdef bint _serves(self, Py_ssize_t slot) noexcept
    cdef RouteCounters *route_rows(self, Py_ssize_t slot) noexcept
    cdef int64_t *_word(self, str name, Py_ssize_t index, Py_ssize_t issuer, Py_ssize_t endpoint, Py_ssize_t route) except NULL
