from libc.stdint cimport int64_t, uint32_t, uint64_t

cimport cython

cdef enum:
    PARTS = 8                                    # of the window: a failure counts for seven to eight of them
    WAYS = 8                                     # entries of a set: their keys fill one cache line
    SETS = 512                                   # of a slot: 4096 entries, 224 KiB when all are in use


cdef struct Offence:
    int64_t newest                               # number of the part that was counted in last
    uint32_t counts[PARTS]                       # by number of the part, modulo PARTS
    double last_at                               # monotonic seconds


cdef struct OffenceSet:
    uint64_t keys[WAYS]                          # 0: empty
    Offence offences[WAYS]


@cython.final
cdef class Offenders:
    cdef readonly Py_ssize_t slots
    cdef readonly Py_ssize_t slot                # of this process
    cdef readonly int64_t limit                  # failures within the window; 0: nobody is ever over
    cdef readonly double window                  # seconds
    cdef double _part                            # seconds
    cdef uint64_t _secret
    cdef uint64_t _factor
    cdef char *_base
    cdef size_t _size
    cdef size_t _stride                          # bytes from one slot to the next

    # peer: text of an address. now: monotonic seconds. An address that cannot be read is never blamed and never over.
    cdef void blame(self, const char *peer, Py_ssize_t size, double now) noexcept
    cdef bint over(self, const char *peer, Py_ssize_t size, double now) noexcept

    cdef OffenceSet *_set(self, Py_ssize_t slot, uint64_t key) noexcept
    cdef int64_t _failures(self, uint64_t key, double now) noexcept
    cdef int64_t _part_of(self, double now) noexcept
