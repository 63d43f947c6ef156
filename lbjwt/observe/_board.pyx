"""
The counters of all processes, and the few words they say to each other, in one anonymous mapping that the supervisor makes before it forks.

Every field has one writer, the process of its slot (of a source: the one that fetches), and is eight bytes on an eight-byte boundary: readers in
other processes see the old or the new value, never half of one, and no lock is needed. The supervisor writes a slot only when nobody lives in it.
A slot begins on its own page and each endpoint of a slot on its own cache lines, so that one worker's counting does not take the
lines of another away. Nothing here knows what the numbers mean to Prometheus; `lbjwt.observe.metrics` does.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from time import time

cdef size_t PAGE = 4096
cdef size_t WORKER_STRIDE = (sizeof(WorkerCounters) + 127) & ~<size_t>127       # 128: the neighbour line is prefetched too
cdef size_t ENDPOINT_STRIDE = (sizeof(EndpointCounters) + 127) & ~<size_t>127
cdef size_t SOURCE_STRIDE = (sizeof(SourceWords) + 63) & ~<size_t>63

STARTING = WORKER_STARTING
READY = WORKER_READY
DRAINING = WORKER_DRAINING
STOPPED = WORKER_STOPPED
STATE_NAMES = ("starting", "ready", "draining", "stopped")

# Field names in the order of the structs, with the number of eight-byte words; checked against sizeof below.
cdef tuple WORKER_FIELDS = (
    ("requests", STATUS_CLASSES), ("bad_requests", 1), ("errors", ERROR_REASONS), ("connections_total", 1), ("connections", 1),
    ("in_flight", 1), ("retries", 1), ("dropped_header_names", 1), ("access_log_dropped", 1), ("cache_hits", 1), ("cache_misses", 1),
    ("cache_evictions", 1), ("cache_entries", 1), ("cache_bytes", 1), ("revocations", 1), ("pending", 1),
    ("endpoints_full", 1), ("waiting", 1), ("no_descriptors", 1), ("waited", 1), ("streams_ended", 1), ("state", 1),
)
cdef tuple ENDPOINT_FIELDS = (
    ("in_flight", 1), ("connections", 1), ("idle_connections", 1), ("requests", 1), ("connects", 1), ("failures", 1), ("responses", STATUS_CLASSES),
)
cdef tuple ISSUER_FIELDS = (
    ("accepted", 1), ("refusals", REASONS), ("reported", REASONS), ("keys", 1), ("keys_fetched_at", 1), ("key_fetches", 1),
    ("key_fetch_failures", 1),
)
cdef tuple SOURCE_FIELDS = (("begun", 1), ("attempts", 1), ("not_before", 1), ("last_success", 1), ("fetches", 1), ("failures", 1))
cdef tuple SOURCE_TIMES = ("not_before", "last_success")
# What a slot does not hand on when its worker dies: what was open, held or in force in that process.
cdef tuple WORKER_GAUGES = ("connections", "in_flight", "cache_entries", "cache_bytes", "revocations", "pending", "waiting", "no_descriptors")
# Every worker holds the same: the one that is behind is told, not a sum.
cdef tuple NOT_SUMMED = ("revocations", "keys", "keys_fetched_at", "state")


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
cdef dict ISSUER_PLACES = layout(ISSUER_FIELDS, sizeof(IssuerCounters))
cdef dict SOURCE_PLACES = layout(SOURCE_FIELDS, sizeof(SourceWords))


cdef size_t place(dict places, str name, Py_ssize_t index) except *:
    offset, words = places[name]
    if not 0 <= index < words:
        raise IndexError(f"{name} has no index {index}")
    return <size_t>offset + 8 * <size_t>index


cdef inline size_t pages(size_t size) noexcept:
    return (size + PAGE - 1) & ~(PAGE - 1)


cdef class Board:

    def __cinit__(self, Py_ssize_t workers, Py_ssize_t endpoints, Py_ssize_t issuers=1, Py_ssize_t routes=0):
        if workers < 1 or endpoints < 0 or issuers < 0 or routes < 0:
            raise ValueError("a board has at least one worker and no negative number of endpoints, issuers or routes")
        self.workers = workers
        self.endpoints = endpoints
        self.issuers = issuers
        self.routes = routes
        self._issuer_rows = WORKER_STRIDE + <size_t>endpoints * ENDPOINT_STRIDE
        self._wishes = self._issuer_rows + <size_t>(issuers + 1) * sizeof(IssuerCounters)
        self._route_rows = self._wishes + <size_t>issuers * sizeof(uint64_t)
        self._stride = pages(self._route_rows + <size_t>routes * sizeof(RouteCounters))
        self._slots = PAGE + pages(<size_t>issuers * SOURCE_STRIDE)
        self._size = self._slots + <size_t>(workers + 1) * self._stride
        cdef void *memory = mmap(NULL, self._size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        if memory == MAP_FAILED:
            raise MemoryError(f"no {self._size} bytes of shared memory for the counters")
        self._base = <char *>memory
        self.header().started_at = time()
        self.attach(0)

    def __dealloc__(self):
        if self._base != NULL:
            munmap(self._base, self._size)

    @property
    def keeper(self):
        return self.workers

    cdef Header *header(self) noexcept:
        return <Header *>self._base

    cdef WorkerCounters *worker(self, Py_ssize_t slot) noexcept:
        return <WorkerCounters *>(self._base + self._slots + <size_t>slot * self._stride)

    cdef EndpointCounters *endpoint(self, Py_ssize_t slot, Py_ssize_t index) noexcept:
        return <EndpointCounters *>(<char *>self.worker(slot) + WORKER_STRIDE + <size_t>index * ENDPOINT_STRIDE)

    cdef IssuerCounters *issuer_rows(self, Py_ssize_t slot) noexcept:
        return <IssuerCounters *>(<char *>self.worker(slot) + self._issuer_rows)

    cdef SourceWords *source(self, Py_ssize_t index) noexcept:
        return <SourceWords *>(self._base + PAGE + <size_t>index * SOURCE_STRIDE)

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
        cdef char *at = self._base + self._slots + offset
        cdef int64_t count = 0
        cdef Py_ssize_t _slot
        for _slot in range(self.workers + 1):
            count += (<int64_t *>at)[0]
            at += self._stride
        return count

    cdef bint _serves(self, Py_ssize_t slot) noexcept:
        return self.worker(slot).state == WORKER_READY or self.worker(slot).state == WORKER_DRAINING

    cdef int check_slot(self, Py_ssize_t slot) except -1:
        if not 0 <= slot <= self.workers:
            raise IndexError(f"no slot {slot}")
        return 0

    cdef int check_endpoint(self, Py_ssize_t index) except -1:
        if not 0 <= index < self.endpoints:
            raise IndexError(f"no endpoint {index}")
        return 0

    cdef int check_issuer(self, Py_ssize_t index) except -1:
        if not 0 <= index < self.issuers:
            raise IndexError(f"no issuer {index}")
        return 0

    cdef int check_route(self, Py_ssize_t index) except -1:
        if not 0 <= index < self.routes:
            raise IndexError(f"no route {index}")
        return 0

    cdef object words(self, size_t base, tuple where):
        offset, count = where
        if count == 1:
            return self._sum(base + <size_t>offset)
        return [self._sum(base + <size_t>offset + 8 * <size_t>index) for index in range(count)]

    cdef char *_word(self, str name, Py_ssize_t index, Py_ssize_t issuer) except NULL:
        """The own word of that name."""
        if name in WORKER_PLACES:
            return <char *>self.mine + place(WORKER_PLACES, name, index)
        if issuer != -1:
            self.check_issuer(issuer)
        return <char *>(self.my_issuers + issuer + 1) + place(ISSUER_PLACES, name, index)

    # --- for the process that writes

    def attach(self, Py_ssize_t slot):
        self.check_slot(slot)
        self.slot = slot
        self.mine = self.worker(slot)
        self.my_issuers = self.issuer_rows(slot)
        self.my_wishes = <uint64_t *>(<char *>self.mine + self._wishes)
        self.my_routes = <RouteCounters *>(<char *>self.mine + self._route_rows)

    def add(self, str name, int64_t amount=1, Py_ssize_t index=0, *, Py_ssize_t issuer=0):
        (<int64_t *>self._word(name, index, issuer))[0] += amount

    def add_endpoint(self, Py_ssize_t endpoint, str name, int64_t amount=1, Py_ssize_t index=0):
        self.check_endpoint(endpoint)
        (<int64_t *>(<char *>self.endpoint(self.slot, endpoint) + place(ENDPOINT_PLACES, name, index)))[0] += amount

    def add_route(self, Py_ssize_t route, Py_ssize_t status_class, int64_t amount=1):
        self.check_route(route)
        if not 0 <= status_class < STATUS_CLASSES:
            raise IndexError(f"no status class {status_class}")
        self.my_routes[route].requests[status_class] += amount

    def set_cache(self, int64_t entries, int64_t size):
        self.mine.cache_entries = entries
        self.mine.cache_bytes = size

    def set_keys(self, int64_t count, double fetched_at, *, Py_ssize_t issuer=0):
        self.check_issuer(issuer)
        self.my_issuers[issuer + 1].keys = count
        self.my_issuers[issuer + 1].keys_fetched_at = fetched_at

    def set_revocations(self, int64_t count):
        self.mine.revocations = count

    def set_no_descriptors(self, bint short):
        self.mine.no_descriptors = short

    def set_state(self, int64_t state, slot=None):
        if not WORKER_STARTING <= state <= WORKER_STOPPED:
            raise ValueError(f"no worker state {state}")
        cdef Py_ssize_t at = self.slot if slot is None else slot
        self.check_slot(at)
        self.worker(at).state = state

    def start_draining(self):
        self.header().draining = 1

    # --- between the process that fetches keys and those that use them

    def want(self, Py_ssize_t source):
        self.check_issuer(source)
        self.my_wishes[source] += 1

    def wanted(self, Py_ssize_t source):
        self.check_issuer(source)
        return self._sum(self._wishes + <size_t>source * sizeof(uint64_t))

    def add_source(self, Py_ssize_t source, str name, int64_t amount=1):
        self.check_issuer(source)
        if name in SOURCE_TIMES:
            raise KeyError(name)
        (<int64_t *>(<char *>self.source(source) + place(SOURCE_PLACES, name, 0)))[0] += amount

    def set_source_time(self, Py_ssize_t source, str name, double seconds):
        self.check_issuer(source)
        if name not in SOURCE_TIMES:
            raise KeyError(name)
        (<double *>(<char *>self.source(source) + place(SOURCE_PLACES, name, 0)))[0] = seconds

    def source_words(self, Py_ssize_t source):
        self.check_issuer(source)
        return self.source(source)[0]

    # --- for the supervisor

    def clear_gauges(self, Py_ssize_t slot):
        self.check_slot(slot)
        cdef WorkerCounters *counters = self.worker(slot)
        cdef IssuerCounters *issuers = self.issuer_rows(slot)
        cdef Py_ssize_t index
        for name in WORKER_GAUGES:
            memset(<char *>counters + place(WORKER_PLACES, name, 0), 0, 8)
        counters.state = WORKER_STOPPED
        for index in range(self.endpoints):
            self.endpoint(slot, index).in_flight = 0
            self.endpoint(slot, index).idle_connections = 0
        for index in range(self.issuers + 1):
            issuers[index].keys = 0
            issuers[index].keys_fetched_at = 0

    def count_restart(self):
        self.header().restarts += 1

    def count_keeper_restart(self):
        self.header().keeper_restarts += 1

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
    def keeper_restarts(self):
        return self.header().keeper_restarts

    @property
    def ready(self):
        cdef Py_ssize_t slot, index
        if self.header().draining:
            return False
        for slot in range(self.workers):
            if self.worker(slot).state == WORKER_READY and not self.worker(slot).no_descriptors:
                if self.issuers == 0:
                    return True
                for index in range(self.issuers):
                    if self.issuer_rows(slot)[index + 1].keys > 0:
                        return True
        return False

    def state(self, Py_ssize_t slot):
        self.check_slot(slot)
        return self.worker(slot).state

    def totals(self):
        cdef dict totals = {
            name: self.words(0, where) for name, where in WORKER_PLACES.items() if name not in NOT_SUMMED
        }
        cdef list rows = [self.issuer_totals(index) for index in range(-1, self.issuers)]
        cdef int64_t revocations = -1
        cdef Py_ssize_t slot
        for slot in range(self.workers):
            if self._serves(slot) and (revocations < 0 or self.worker(slot).revocations < revocations):
                revocations = self.worker(slot).revocations
        totals["revocations"] = revocations if revocations > 0 else 0
        for name in ("accepted", "keys", "key_fetches", "key_fetch_failures"):
            totals[name] = sum([row[name] for row in rows])
        for name in ("refusals", "reported"):
            totals[name] = [sum(counts) for counts in zip(*[row[name] for row in rows], strict=True)]
        totals["keys_fetched_at"] = min([row["keys_fetched_at"] for row in rows if row["keys_fetched_at"] > 0], default=0.0)
        return totals

    def issuer_totals(self, Py_ssize_t issuer):
        cdef size_t base = self._issuer_rows + <size_t>(issuer + 1) * sizeof(IssuerCounters)
        cdef IssuerCounters *row
        cdef int64_t keys = -1
        cdef double fetched_at = 0
        cdef Py_ssize_t slot
        if issuer != -1:
            self.check_issuer(issuer)
        cdef dict totals = {
            name: self.words(base, where) for name, where in ISSUER_PLACES.items() if name not in NOT_SUMMED
        }
        for slot in range(self.workers):
            if self._serves(slot):
                row = self.issuer_rows(slot) + issuer + 1
                if keys < 0 or row.keys < keys:
                    keys = row.keys
                if fetched_at == 0 or 0 < row.keys_fetched_at < fetched_at:
                    fetched_at = row.keys_fetched_at
        totals["keys"] = keys if keys > 0 else 0
        totals["keys_fetched_at"] = fetched_at
        if issuer >= 0:
            totals["key_fetches"] += self.source(issuer).fetches
            totals["key_fetch_failures"] += self.source(issuer).failures
        return totals

    def route_totals(self, Py_ssize_t index):
        self.check_route(index)
        return self.words(self._route_rows + <size_t>index * sizeof(RouteCounters), (0, STATUS_CLASSES))

    def endpoint_totals(self, Py_ssize_t index):
        self.check_endpoint(index)
        cdef size_t base = <char *>self.endpoint(0, index) - <char *>self.worker(0)
        return {name: self.words(base, where) for name, where in ENDPOINT_PLACES.items()}
