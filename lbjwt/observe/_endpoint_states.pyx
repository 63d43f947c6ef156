"""
What all processes know of each endpoint: its load over all workers, whether it is healthy, ejected or drained. In one anonymous mapping, made before
the fork.

A word has eight bytes on an eight-byte boundary, so that a reader sees the old or the new value, never half of one. Loads are added to atomically
by every worker. Each other word has one kind of writer: workers eject, the control process checks, the admin API drains and weighs. The exception is
`serving_since`: every process that puts the endpoint into rotation writes the time, and the last one is right.
"""

from libc.stddef cimport size_t
from libc.string cimport memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap


cdef extern from *:
    """
    static inline int64_t lbjwt_add(int64_t *word, int64_t amount) { return __atomic_add_fetch(word, amount, __ATOMIC_RELAXED); }
    static inline int lbjwt_swap(double *word, double before, double after) {
        return __atomic_compare_exchange(word, &before, &after, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
    static inline int lbjwt_swap_word(int64_t *word, int64_t before, int64_t after) {
        return __atomic_compare_exchange_n(word, &before, after, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
    static inline void lbjwt_publish(double *word, double value) { __atomic_store(word, &value, __ATOMIC_SEQ_CST); }
    """
    int64_t lbjwt_add(int64_t *word, int64_t amount) nogil
    int lbjwt_swap(double *word, double before, double after) nogil
    int lbjwt_swap_word(int64_t *word, int64_t before, int64_t after) nogil
    void lbjwt_publish(double *word, double value) nogil


cdef size_t STRIDE = 192         # three cache lines
cdef EndpointState no_state

CAUSE_NAMES = ("server_errors", "connect_failures", "timeouts", "resets", "success_rate")
CHECK_NAMES = ("unchecked", "passing", "failing")
SERVICE_NAMES = ("in service", "drained", "disabled")


cdef dict layout():
    """Where each field begins, in words of eight bytes."""
    cdef dict places = {}
    cdef size_t at = 0
    for name, value in no_state.items():
        places[name] = at
        at += len(value) if isinstance(value, list) else 1
    if at * 8 != sizeof(EndpointState) or sizeof(EndpointState) > STRIDE:
        raise ImportError("the state of an endpoint does not fit")
    return places


cdef dict PLACES = layout()
cdef frozenset TIMES = frozenset(name for name, value in no_state.items() if isinstance(value, float))

cdef int64_t add_to(int64_t *word, int64_t amount) noexcept nogil:
    return lbjwt_add(word, amount)


cdef bint swap(double *word, double before, double after) noexcept nogil:
    return lbjwt_swap(word, before, after) != 0


cdef bint swap_word(int64_t *word, int64_t before, int64_t after) noexcept nogil:
    return lbjwt_swap_word(word, before, after) != 0


cdef void publish(double *word, double value) noexcept nogil:
    lbjwt_publish(word, value)


cdef class EndpointStates:
    """
    One row for each endpoint; the numbers of the rows are those of the Board.

    Raises:
        MemoryError: The kernel gave no shared memory.
    """

    def __cinit__(self, Py_ssize_t rows):
        self.rows = rows
        self._size = max(rows, 1) * STRIDE
        cdef void *memory = mmap(NULL, self._size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        if memory == MAP_FAILED:
            raise MemoryError(f"cannot allocate {self._size} bytes of shared memory for the states of endpoints")
        self._base = <char *>memory

    def __dealloc__(self):
        if self._base != NULL:
            munmap(self._base, self._size)

    cdef EndpointState *at(self, Py_ssize_t row) noexcept:
        return <EndpointState *>(self._base + <size_t>row * STRIDE)

    def _check(self, Py_ssize_t row):
        if not 0 <= row < self.rows:
            raise IndexError(f"no endpoint {row}")

    def read(self, Py_ssize_t row):
        """All fields of one endpoint, by name."""
        self._check(row)
        return self.at(row)[0]

    def set(self, Py_ssize_t row, str name, value, Py_ssize_t index=0):
        """Set a field by its name; for code that runs at most once a second."""
        self._check(row)
        cdef size_t place = PLACES[name]
        if name in TIMES:
            (<double *>self.at(row))[place + <size_t>index] = value
        else:
            (<int64_t *>self.at(row))[place + <size_t>index] = value

    def add(self, Py_ssize_t row, str name, int64_t amount=1, Py_ssize_t index=0):
        """Add to a field that is no time, atomically."""
        self._check(row)
        if name in TIMES:
            raise KeyError(name)
        add_to(<int64_t *>self.at(row) + <size_t>PLACES[name] + index, amount)

    def clear(self, Py_ssize_t row):
        """Make a row that no process uses any more ready for another endpoint."""
        self._check(row)
        memset(self.at(row), 0, sizeof(EndpointState))
