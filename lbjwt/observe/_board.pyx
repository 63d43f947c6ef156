"""
The counters of all processes, and the few words they say to each other, in one anonymous mapping that the supervisor makes before it forks.

Every field has one writer, the process of its slot (of a source: the one that fetches), and is eight bytes on an eight-byte boundary: readers in
other processes see the old or the new value, never half of one, and no lock is needed. The supervisor writes a slot only while it has no process.
Slots begin on their own page and endpoints on their own cache lines, so that workers which count do not take cache lines from each other.
`lbjwt.observe.rows` decides which name has which row. There are more rows than names, for later configurations; an unused row has no memory.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from lbjwt.observe._endpoint_states cimport EndpointState, add_to

import os
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

# What a slot does not hand on when its worker dies: what was open, held or in force in that process.
cdef tuple WORKER_GAUGES = (
    "connections", "in_flight", "cache_entries", "cache_bytes", "revocations", "pending", "waiting", "no_descriptors", "generation",
    "failed_generation", "finishing",
)
# What is no number of the whole service, so that a sum over the slots would mean nothing.
cdef tuple OF_ONE_PROCESS = ("state", "generation", "failed_generation", "finishing")

cdef WorkerCounters no_worker
cdef IssuerCounters no_issuer
cdef EndpointCounters no_endpoint
cdef SourceWords no_source


cdef dict layout(dict fields, size_t size):
    """Where the fields of a struct begin, in words of eight bytes, and how many words they have."""
    cdef dict places = {}
    cdef size_t at = 0
    for name, value in fields.items():
        places[name] = (at, len(value) if isinstance(value, list) else 1)
        at += <size_t>places[name][1]
    if at * 8 != size:
        raise ImportError("a counter is not eight bytes long")
    return places


cdef dict WORKER = layout(no_worker, sizeof(WorkerCounters))
cdef dict ISSUER = layout(no_issuer, sizeof(IssuerCounters))
cdef dict ENDPOINT = layout(no_endpoint, sizeof(EndpointCounters))
cdef dict SOURCE = layout(no_source, sizeof(SourceWords))


cdef dict summed(list rows):
    """The fields of several structs of one kind, added up."""
    cdef dict totals = {}
    for name, first in (<dict>rows[0]).items():
        counts = [row[name] for row in rows]
        totals[name] = [sum(words) for words in zip(*counts)] if isinstance(first, list) else sum(counts)
    return totals


cdef int check(Py_ssize_t index, Py_ssize_t count, str what) except -1:
    if not 0 <= index < count:
        raise IndexError(f"no {what} {index}")
    return 0


cdef inline size_t pages(size_t size) noexcept:
    return (size + PAGE - 1) & ~(PAGE - 1)


cdef class Board:
    """
    Counters only grow, also over the death of a worker. Gauges (in flight, connections, cache size, keys) belong to the process of the slot;
    when it dies, `clear_gauges` zeroes them.

    Issuers, endpoints and routes are named by their row; the issuer -1 is "no issuer known". The key source of an issuer has its row.

    endpoints, issuers, routes: Rows there is room for.

    Raises:
        MemoryError: The kernel gave no shared memory.
    """

    def __cinit__(self, Py_ssize_t workers, Py_ssize_t endpoints, Py_ssize_t issuers=1, Py_ssize_t routes=0):
        self.workers = workers
        self.endpoints = endpoints
        self.issuers = issuers
        self.routes = routes
        self.endpoint_states = EndpointStates(endpoints)
        self._issuer_rows = WORKER_STRIDE + <size_t>endpoints * ENDPOINT_STRIDE
        self._route_rows = self._issuer_rows + <size_t>(issuers + 1) * sizeof(IssuerCounters)
        self._stride = pages(self._route_rows + <size_t>routes * sizeof(RouteCounters))
        self._slots = PAGE + pages(<size_t>issuers * SOURCE_STRIDE)
        self._size = self._slots + <size_t>(workers + 1) * self._stride
        cdef void *memory = mmap(NULL, self._size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        if memory == MAP_FAILED:
            raise MemoryError(f"cannot allocate {self._size} bytes of shared memory for the counters")
        self._base = <char *>memory
        self.header().started_at = self.header().reload_success_at = time()
        self.header().reload_ok = 1
        cdef bytes secret = os.urandom(32)
        memcpy(self.header().affinity_key, <const char *>secret, 32)
        self.use_rows(endpoints, issuers, routes)
        self.worker(self.workers).state = WORKER_STOPPED        # until a control process is forked
        self.attach(0)

    def __dealloc__(self):
        if self._base != NULL:
            munmap(self._base, self._size)

    @property
    def affinity_key(self):
        """A secret that all workers share, drawn when the service started."""
        return (<char *>self.header().affinity_key)[:32]

    @property
    def keeper(self):
        """The slot of the control process, after those of the workers; readiness and the states of workers leave it out."""
        return self.workers

    cdef Header *header(self) noexcept:
        return <Header *>self._base

    cdef WorkerCounters *worker(self, Py_ssize_t slot) noexcept:
        return <WorkerCounters *>(self._base + self._slots + <size_t>slot * self._stride)

    cdef EndpointCounters *endpoint(self, Py_ssize_t slot, Py_ssize_t index) noexcept:
        return <EndpointCounters *>(<char *>self.worker(slot) + WORKER_STRIDE + <size_t>index * ENDPOINT_STRIDE)

    cdef IssuerCounters *issuer_rows(self, Py_ssize_t slot) noexcept:
        return <IssuerCounters *>(<char *>self.worker(slot) + self._issuer_rows)

    cdef RouteCounters *route_rows(self, Py_ssize_t slot) noexcept:
        return <RouteCounters *>(<char *>self.worker(slot) + self._route_rows)

    cdef SourceWords *source(self, Py_ssize_t index) noexcept:
        return <SourceWords *>(self._base + PAGE + <size_t>index * SOURCE_STRIDE)

    cdef bint _serves(self, Py_ssize_t slot) noexcept:
        return self.worker(slot).state == WORKER_READY or self.worker(slot).state == WORKER_DRAINING

    cdef int64_t *_word(self, str name, Py_ssize_t index, Py_ssize_t issuer, Py_ssize_t endpoint, Py_ssize_t route) except NULL:
        """A word of the own slot."""
        cdef int64_t *words
        cdef dict fields = WORKER
        if route >= 0:
            check(route, self.routes, "route")
            check(index, STATUS_CLASSES, "status class")
            return <int64_t *>&self.my_routes[route].requests[index]
        if endpoint >= 0:
            check(endpoint, self.endpoints, "endpoint")
            fields = ENDPOINT
            words = <int64_t *>self.endpoint(self.slot, endpoint)
        elif name in WORKER:
            words = <int64_t *>self.mine
        else:
            check(issuer + 1, self.issuers + 1, "issuer")
            fields = ISSUER
            words = <int64_t *>(self.my_issuers + issuer + 1)
        at, count = fields[name]
        check(index, count, name)
        return words + <size_t>at + index

    # --- for the process that writes

    def attach(self, Py_ssize_t slot):
        """Write to this slot from now on. Called by a worker or the keeper, once, right after fork."""
        check(slot, self.workers + 1, "slot")
        self.slot = slot
        self.mine = self.worker(slot)
        self.my_issuers = self.issuer_rows(slot)
        self.my_routes = self.route_rows(slot)

    def add(
        self, str name, int64_t amount=1, Py_ssize_t index=0, *, Py_ssize_t issuer=0, Py_ssize_t endpoint=-1, Py_ssize_t route=-1
    ):
        """
        Add to a counter of the own slot, by the name of its field in `WorkerCounters` or, for that issuer, in `IssuerCounters`; with an
        endpoint or route, in `EndpointCounters` or `RouteCounters`. For code that runs at most once a second.
        """
        self._word(name, index, issuer, endpoint, route)[0] += amount

    def set(self, str name, int64_t value):
        """Set a gauge of the own slot, by the name of its field in `WorkerCounters`."""
        self._word(name, 0, 0, -1, -1)[0] = value

    def set_keys(self, int64_t count, double fetched_at, *, Py_ssize_t issuer=0):
        """
        Verification keys in force in this worker and when they were last read (seconds since the epoch; 0: never). Ignored for an issuer that
        `keep_issuers` took away: a load that was under way then must not make the service ready.
        """
        check(issuer, self.issuers, "issuer")
        if self._kept is not None and issuer not in self._kept:
            return
        self.my_issuers[issuer + 1].keys = count
        self.my_issuers[issuer + 1].keys_fetched_at = fetched_at

    def keep_issuers(self, rows):
        """The issuers of the configuration that is in force in this process from now on: the keys of any other count no more."""
        cdef Py_ssize_t index
        self._kept = frozenset(rows)
        for index in range(self.header().issuers_used):
            if index not in self._kept:
                self.my_issuers[index + 1].keys = 0
                self.my_issuers[index + 1].keys_fetched_at = 0

    def set_generation(self, int64_t generation, slot=None):
        """This process has applied that configuration; with a slot, said by the supervisor of a process that it is about to fork with it."""
        cdef Py_ssize_t at = self.slot if slot is None else slot
        check(at, self.workers + 1, "slot")
        self.worker(at).generation = generation

    def set_failed_generation(self, int64_t generation):
        """This process could not apply that configuration and keeps the one before."""
        self.mine.failed_generation = generation

    def request_reload(self):
        """Count one more request of the control process for a reload; return its number, the first one 1."""
        self.header().reload_requests += 1
        return self.header().reload_requests

    def set_state(self, int64_t state, slot=None):
        """`STARTING`, `READY`, `DRAINING` or `STOPPED`, of the own slot or (by the supervisor) of another."""
        cdef Py_ssize_t at = self.slot if slot is None else slot
        check(at, self.workers + 1, "slot")
        self.worker(at).state = state

    def start_draining(self):
        """The whole service is on its way out: `ready` is False from now on in every process."""
        self.header().draining = 1

    def hand_over(self):
        """Another program serves in this one's place: health checks that still arrive here are answered for it, with `ready`."""
        self.header().handed_over = 1

    @property
    def usable(self):
        """Some cluster has an endpoint in service that does not fail its health check. True where nothing is checked."""
        return self.header().no_endpoint == 0

    def set_usable(self, bint usable):
        """Set `usable`; by the process that checks endpoints."""
        self.header().no_endpoint = not usable

    # --- between the process that fetches keys and those that use them

    def want(self, Py_ssize_t source):
        """A token with an unknown key id came. Wakes nobody."""
        check(source, self.issuers, "source")
        self.my_issuers[source + 1].wanted += 1

    def wanted(self, Py_ssize_t source):
        """How often `want` was called, in all slots since the start; also by workers that died."""
        check(source, self.issuers, "source")
        return sum([self.issuer_rows(slot)[source + 1].wanted for slot in range(self.workers + 1)])

    def add_source(self, Py_ssize_t source, str name, int64_t amount=1):
        """Add to `begun`, `attempts`, `fetches` or `failures`. Only in the process that fetches: a new keeper goes on from there."""
        check(source, self.issuers, "source")
        (<int64_t *>self.source(source))[<size_t>SOURCE[name][0]] += amount

    def set_source_time(self, Py_ssize_t source, str name, double seconds):
        """Set `not_before` or `last_success`. Only in the process that fetches."""
        check(source, self.issuers, "source")
        (<double *>self.source(source))[<size_t>SOURCE[name][0]] = seconds

    def source_words(self, Py_ssize_t source):
        check(source, self.issuers, "source")
        return self.source(source)[0]

    # --- for the supervisor

    def clear_gauges(self, Py_ssize_t slot):
        """The worker of the slot is dead: zero its gauges, keep its counters, set its state to `STOPPED`."""
        check(slot, self.workers + 1, "slot")
        cdef WorkerCounters *counters = self.worker(slot)
        cdef IssuerCounters *issuers = self.issuer_rows(slot)
        cdef EndpointState *state
        cdef Py_ssize_t index
        for name in WORKER_GAUGES:
            (<int64_t *>counters)[<size_t>WORKER[name][0]] = 0
        counters.state = WORKER_STOPPED
        for index in range(self.header().endpoints_used):
            state = self.endpoint_states.at(index)
            add_to(&state.in_flight, -self.endpoint(slot, index).in_flight)
            add_to(&state.retrying, -self.endpoint(slot, index).retrying)
            add_to(&state.connections, -self.endpoint(slot, index).connections)
            self.endpoint(slot, index).in_flight = 0
            self.endpoint(slot, index).retrying = 0
            self.endpoint(slot, index).connections = 0
            self.endpoint(slot, index).idle_connections = 0
        for index in range(self.header().issuers_used + 1):
            issuers[index].keys = 0
            issuers[index].keys_fetched_at = 0

    def use_rows(self, Py_ssize_t endpoints, Py_ssize_t issuers, Py_ssize_t routes):
        """So many rows of each kind have been given out; no one has to look at more."""
        check(endpoints, self.endpoints + 1, "row")
        check(issuers, self.issuers + 1, "row")
        check(routes, self.routes + 1, "row")
        self.header().endpoints_used = endpoints
        self.header().issuers_used = issuers
        self.header().routes_used = routes

    def is_endpoint_idle(self, Py_ssize_t index):
        """No process has a connection to it or a request for it."""
        check(index, self.endpoints, "endpoint")
        cdef EndpointCounters *row
        cdef Py_ssize_t slot
        for slot in range(self.workers + 1):
            row = self.endpoint(slot, index)
            if row.in_flight or row.connections or row.idle_connections:
                return False
        return True

    def is_issuer_idle(self, Py_ssize_t issuer):
        """No process has a key of it."""
        check(issuer, self.issuers, "issuer")
        cdef Py_ssize_t slot
        for slot in range(self.workers + 1):
            if self.issuer_rows(slot)[issuer + 1].keys:
                return False
        return True

    def clear_endpoint(self, Py_ssize_t index):
        """Zero a row that no process uses any more, for another endpoint."""
        check(index, self.endpoints, "endpoint")
        cdef Py_ssize_t slot
        for slot in range(self.workers + 1):
            memset(self.endpoint(slot, index), 0, sizeof(EndpointCounters))
        self.endpoint_states.clear(index)

    def clear_issuer(self, Py_ssize_t issuer):
        """As `clear_endpoint`, with the words about its key source."""
        check(issuer, self.issuers, "issuer")
        cdef Py_ssize_t slot
        for slot in range(self.workers + 1):
            memset(&self.issuer_rows(slot)[issuer + 1], 0, sizeof(IssuerCounters))
        memset(self.source(issuer), 0, sizeof(SourceWords))

    def clear_route(self, Py_ssize_t index):
        """As `clear_endpoint`."""
        check(index, self.routes, "route")
        cdef Py_ssize_t slot
        for slot in range(self.workers + 1):
            memset(&self.route_rows(slot)[index], 0, sizeof(RouteCounters))

    def set_reloaded(self, bint ok, double now=0.0):
        """How the last reload ended; `now`: seconds since the epoch, of one that was applied."""
        if ok:
            self.header().reload_success_at = now
        self.header().reload_ok = ok

    def count_failed_upgrade(self):
        self.header().upgrade_failed += 1

    def count_restart(self, *, bint keeper=False):
        if keeper:
            self.header().keeper_restarts += 1
        else:
            self.header().restarts += 1

    # --- for readers

    @property
    def draining(self):
        return self.header().draining != 0

    @property
    def handed_over(self):
        return self.header().handed_over != 0

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
    def reload_requests(self):
        return self.header().reload_requests

    @property
    def reload_ok(self):
        return self.header().reload_ok != 0

    @property
    def reload_success_at(self):
        return self.header().reload_success_at

    @property
    def upgrade_failed(self):
        return self.header().upgrade_failed

    @property
    def configuration_hash(self):
        """16 hex characters; the supervisor sets it, before it tells anyone of the configuration."""
        return f"{self.header().configuration_hash:016x}"

    @configuration_hash.setter
    def configuration_hash(self, str digits not None):
        self.header().configuration_hash = int(digits, 16)

    def generation(self, Py_ssize_t slot):
        """The configuration that the process of the slot has applied; 0: the one of the start."""
        check(slot, self.workers + 1, "slot")
        return self.worker(slot).generation

    def failed_generation(self, Py_ssize_t slot):
        """The last configuration that the process of the slot could not apply; 0: none."""
        check(slot, self.workers + 1, "slot")
        return self.worker(slot).failed_generation

    def is_finishing(self, Py_ssize_t slot):
        """No request will begin any more in the process of the slot."""
        check(slot, self.workers + 1, "slot")
        return self.worker(slot).finishing != 0

    def is_applied(self, int64_t generation):
        """Every process that lives has applied this configuration or a later one."""
        cdef Py_ssize_t slot
        for slot in range(self.workers + 1):
            if self.worker(slot).state != WORKER_STOPPED and self.worker(slot).generation < generation:
                return False
        return True

    @property
    def ready(self):
        """
        At least one worker is `READY` with a key of any issuer in force and room for a client, some cluster has a usable endpoint, and the service
        does not drain.
        """
        cdef Py_ssize_t slot, index
        if self.header().handed_over:
            return True
        if self.header().draining or self.header().no_endpoint:
            return False
        for slot in range(self.workers):
            if self.worker(slot).state == WORKER_READY and not self.worker(slot).no_descriptors:
                if self.issuers == 0:
                    return True
                for index in range(self.header().issuers_used):
                    if self.issuer_rows(slot)[index + 1].keys > 0:
                        return True
        return False

    def state(self, Py_ssize_t slot):
        check(slot, self.workers + 1, "slot")
        return self.worker(slot).state

    def totals(self):
        """
        Every `WorkerCounters` field that can be summed over the slots, and the fields of `issuer_totals` summed over the issuers, also over those
        that left the configuration.

        `revocations` is no sum: each worker holds the same, and the least is told. `keys_fetched_at` is the oldest of any issuer that has keys.
        """
        cdef list workers = [self.worker(slot)[0] for slot in range(self.workers + 1)]
        cdef list issuers = [self.issuer_totals(index) for index in range(-1, self.header().issuers_used)]
        cdef dict totals = {**summed(workers), **summed(issuers)}
        for name in OF_ONE_PROCESS:
            del totals[name]
        totals["revocations"] = min([workers[slot]["revocations"] for slot in range(self.workers) if self._serves(slot)], default=0)
        totals["keys_fetched_at"] = oldest(issuers)
        return totals

    def issuer_totals(self, Py_ssize_t issuer):
        """
        Every `IssuerCounters` field of one issuer (-1: none known) summed over the slots; fetches of the keeper are among `key_fetches`.

        `keys` and `keys_fetched_at` are not sums: each worker holds the same set, and the least and the oldest one is told. `last_success` is
        when keys were last fetched or read well.
        """
        check(issuer + 1, self.issuers + 1, "issuer")
        cdef list rows = [self.issuer_rows(slot)[issuer + 1] for slot in range(self.workers + 1)]
        cdef list serving = [rows[slot] for slot in range(self.workers) if self._serves(slot)]
        cdef dict totals = summed(rows)
        totals["keys"] = min([row["keys"] for row in serving], default=0)
        totals["keys_fetched_at"] = oldest(serving)
        if issuer >= 0:
            totals["key_fetches"] += self.source(issuer).fetches
            totals["key_fetch_failures"] += self.source(issuer).failures
            totals["last_success"] = self.source(issuer).last_success or totals["keys_fetched_at"]
        return totals

    def route_totals(self, Py_ssize_t index):
        """Requests of one route by status class."""
        check(index, self.routes, "route")
        return summed([self.route_rows(slot)[index] for slot in range(self.workers + 1)])["requests"]

    def endpoint_totals(self, Py_ssize_t index):
        check(index, self.endpoints, "endpoint")
        return summed([self.endpoint(slot, index)[0] for slot in range(self.workers + 1)])


cdef double oldest(list rows):
    """When the keys of these rows were fetched, the one that was first; 0 when none was."""
    return min([row["keys_fetched_at"] for row in rows if row["keys_fetched_at"] > 0], default=0.0)
