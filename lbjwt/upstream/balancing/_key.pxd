cimport cython
from libc.stdint cimport uint64_t


cdef enum KeyKind:
    CLIENT_ADDRESS = 0
    HEADER = 1
    COOKIE = 2
    CLAIM = 3                    # of a verified token
    AFFINITY = 4                 # the cookie by which a client comes back to its endpoint


@cython.final
cdef class KeySource:
    """What a balancing rule looks at in a request. The exchange fills `UpstreamRequest.key` or, for AFFINITY, `.affinity` with it."""
    cdef KeyKind kind
    cdef readonly bytes name     # of the header (in lower case), cookie or claim
    cdef readonly str claim
    cdef uint64_t number         # of the claim, under which a verified token remembers its key; the same in every process


cdef uint64_t mixed(uint64_t value) noexcept nogil
# The same in every process and after each restart: clients keep their endpoints.
cdef uint64_t hash_of(const char *data, Py_ssize_t size) noexcept nogil
