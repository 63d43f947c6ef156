"""
The counters of all workers, in one anonymous mapping that the supervisor makes before it forks.

Every field has one writer, the worker of its slot, and is eight bytes on an eight-byte boundary: readers in other processes
see the old or the new value, never half of one, and no lock is needed. The supervisor writes a slot only when nobody lives in it.
A slot begins on its own page and each endpoint of a slot on its own cache lines, so that one worker's counting does not take the
lines of another away. Nothing here knows what the numbers mean to Prometheus; `lbjwt.observe.metrics` does.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libc.string cimport memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from time import time

cdef size_t PAGE = 4096
cdef size_t ENDPOINT_STRIDE = (sizeof(EndpointCounters) + 127) & ~<size_t>127   # 128: the neighbour line is prefetched too

STARTING = WORKER_STARTING
READY = WORKER_READY
DRAINING = WORKER_DRAINING
STOPPED = WORKER_STOPPED
STATE_NAMES = ("starting", "ready", "draining", "stopped")

# Field names in the order of the structs, with the number of eight-byte words; checked against sizeof below.
cdef tuple WORKER_FIELDS = (
    ("requests", STATUS_CLASSES), ("refusals", REASONS), ("bad_requests", 1), ("connections_total", 1), ("connections", 1),
    ("in_flight", 1), ("retries", 1), ("dropped_header_names", 1), ("access_log_dropped", 1), ("cache_hits", 1),
    ("cache_misses", 1), ("cache_evictions", 1), ("cache_entries", 1), ("cache_bytes", 1), ("keys", 1), ("keys_fetched_at", 1),
    ("key_fetches", 1), ("key_fetch_failures", 1), ("state", 1),
)
cdef tuple ENDPOINT_FIELDS = (
    ("in_flight", 1), ("idle_connections", 1), ("requests", 1), ("connects", 1), ("failures", 1), ("responses", STATUS_CLASSES),
)
# What a slot does not hand on when its worker dies: what was open, held or in force in that process.
cdef tuple WORKER_GAUGES = ("connections", "in_flight", "cache_entries", "cache_bytes", "keys", "keys_fetched_at")
cdef tuple NOT_SUMMED = ("keys", "keys_fetched_at", "state")


cdef dict layout(tuple fields, size_t size):
    cdef dict places = {}
    cdef size_t offset = 0
    for name, words in fields:
        places[name] = (offset, words)
        offset += 8 * <size_t>words
    if offset != size:
        raise ImportError("the table of counters does not match their struct")
    return places


cdef dict WORKER_PLACES = layout(WORKER_FIELDS, sizeof(WorkerCounters))
cdef dict ENDPOINT_PLACES = layout(ENDPOINT_FIELDS, sizeof(EndpointCounters))


cdef size_t place(dict places, str name, Py_ssize_t index) except *:
    offset, words = places[name]
    if not 0 <= index < words:
        raise IndexError(f"{name} has no index {index}")
    return <size_t>offset + 8 * <size_t>index


cdef class Board:

    def __cinit__(self, Py_ssize_t workers, Py_ssize_t endpoints):
        if workers < 1 or endpoints < 0:
            raise ValueError("a board has at least one worker and no negative number of endpoints")
        self.workers = workers
        self.endpoints = endpoints
        self._stride = (sizeof(WorkerCounters) + 127) & ~<size_t>127
        self._stride = (self._stride + <size_t>endpoints * ENDPOINT_STRIDE + PAGE - 1) & ~(PAGE - 1)
        self._size = PAGE + <size_t>workers * self._stride
        cdef void *memory = mmap(NULL, self._size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        if memory == MAP_FAILED:
            raise MemoryError(f"no {self._size} bytes of shared memory for the counters")
        self._base = <char *>memory
        self.header().started_at = time()
        self.slot = 0
        self.mine = self.worker(0)

    def __dealloc__(self):
        if self._base != NULL:
            munmap(self._base, self._size)

    cdef Header *header(self) noexcept:
        return <Header *>self._base

    cdef WorkerCounters *worker(self, Py_ssize_t slot) noexcept:
        return <WorkerCounters *>(self._base + PAGE + <size_t>slot * self._stride)

    cdef EndpointCounters *endpoint(self, Py_ssize_t slot, Py_ssize_t index) noexcept:
        return <EndpointCounters *>(
            self._base + PAGE + <size_t>slot * self._stride
            + ((sizeof(WorkerCounters) + 127) & ~<size_t>127) + <size_t>index * ENDPOINT_STRIDE
        )

    cdef int64_t in_flight(self, Py_ssize_t index) noexcept:
        cdef char *at = <char *>self.endpoint(0, index)
        cdef int64_t count = 0
        cdef Py_ssize_t _slot
        for _slot in range(self.workers):
            count += (<EndpointCounters *>at).in_flight
            at += self._stride
        return count

    cdef int64_t _sum(self, size_t offset) noexcept:
        """Over all slots, of the word at `offset` from the start of a slot."""
        cdef char *at = self._base + PAGE + offset
        cdef int64_t count = 0
        cdef Py_ssize_t _slot
        for _slot in range(self.workers):
            count += (<int64_t *>at)[0]
            at += self._stride
        return count

    cdef int check_slot(self, Py_ssize_t slot) except -1:
        if not 0 <= slot < self.workers:
            raise IndexError(f"no worker slot {slot}")
        return 0

    cdef int check_endpoint(self, Py_ssize_t index) except -1:
        if not 0 <= index < self.endpoints:
            raise IndexError(f"no endpoint {index}")
        return 0

    cdef object words(self, size_t base, tuple where):
        offset, count = where
        if count == 1:
            return self._sum(base + <size_t>offset)
        return [self._sum(base + <size_t>offset + 8 * <size_t>index) for index in range(count)]

    # --- for the process that writes

    def attach(self, Py_ssize_t slot):
        self.check_slot(slot)
        self.slot = slot
        self.mine = self.worker(slot)

    def add(self, str name, int64_t amount=1, Py_ssize_t index=0):
        (<int64_t *>(<char *>self.mine + place(WORKER_PLACES, name, index)))[0] += amount

    def add_endpoint(self, Py_ssize_t endpoint, str name, int64_t amount=1, Py_ssize_t index=0):
        self.check_endpoint(endpoint)
        (<int64_t *>(<char *>self.endpoint(self.slot, endpoint) + place(ENDPOINT_PLACES, name, index)))[0] += amount

    def set_cache(self, int64_t entries, int64_t size):
        self.mine.cache_entries = entries
        self.mine.cache_bytes = size

    def set_keys(self, int64_t count, double fetched_at):
        self.mine.keys = count
        self.mine.keys_fetched_at = fetched_at

    def set_state(self, int64_t state, slot=None):
        if not WORKER_STARTING <= state <= WORKER_STOPPED:
            raise ValueError(f"no worker state {state}")
        cdef Py_ssize_t at = self.slot if slot is None else slot
        self.check_slot(at)
        self.worker(at).state = state

    def start_draining(self):
        self.header().draining = 1

    # --- for the supervisor

    def clear_gauges(self, Py_ssize_t slot):
        self.check_slot(slot)
        cdef WorkerCounters *counters = self.worker(slot)
        cdef Py_ssize_t index
        for name in WORKER_GAUGES:
            memset(<char *>counters + place(WORKER_PLACES, name, 0), 0, 8)
        counters.state = WORKER_STOPPED
        for index in range(self.endpoints):
            self.endpoint(slot, index).in_flight = 0
            self.endpoint(slot, index).idle_connections = 0

    def count_restart(self):
        self.header().restarts += 1

    # --- for readers

    @property
    def draining(self):
        return self.header().draining != 0

    @property
    def started_at(self):
        return self.header().started_at

    @property
    def restarts(self):
        return self.header().restarts

    @property
    def ready(self):
        cdef Py_ssize_t slot
        if self.header().draining:
            return False
        for slot in range(self.workers):
            if self.worker(slot).state == WORKER_READY and self.worker(slot).keys > 0:
                return True
        return False

    def state(self, Py_ssize_t slot):
        self.check_slot(slot)
        return self.worker(slot).state

    def totals(self):
        cdef dict totals = {
            name: self.words(0, where) for name, where in WORKER_PLACES.items() if name not in NOT_SUMMED
        }
        cdef WorkerCounters *counters
        cdef int64_t keys = -1
        cdef double fetched_at = 0
        cdef Py_ssize_t slot
        for slot in range(self.workers):
            counters = self.worker(slot)
            if counters.state == WORKER_READY or counters.state == WORKER_DRAINING:
                if keys < 0 or counters.keys < keys:
                    keys = counters.keys
                if fetched_at == 0 or 0 < counters.keys_fetched_at < fetched_at:
                    fetched_at = counters.keys_fetched_at
        totals["keys"] = keys if keys > 0 else 0
        totals["keys_fetched_at"] = fetched_at
        return totals

    def endpoint_totals(self, Py_ssize_t index):
        self.check_endpoint(index)
        cdef size_t base = <char *>self.endpoint(0, index) - <char *>self.worker(0)
        return {name: self.words(base, where) for name, where in ENDPOINT_PLACES.items()}
