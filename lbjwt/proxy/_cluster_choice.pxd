cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from lbjwt._grants cimport Grant
from lbjwt.http1._buffer cimport Slice

cdef enum:
    NO_CHOICE = -1


cdef class ClusterChoice:
    """Which of several clusters serves a request of one route. Abstract."""
    cdef readonly tuple names                    # of the clusters, by index
    cdef readonly tuple clusters                 # of Cluster, by index; of None where nothing is forwarded, as in explain
    cdef readonly bint by_address                # the client's address decides, so it must be known
    cdef readonly bint drawn                     # the last request had no key: it was shared out
    cdef uint32_t _number                        # under which a Grant remembers the index; 0: nothing of it decides

    # An index, or NO_CHOICE: no cluster serves such a request. grant: of the first demand; None: there is none. Raises for a fault of ours.
    cdef int choose(self, Grant grant, Slice address) except -2
    cdef int _of_grant(self, Grant grant) except -2
    # What the claims of a verified token decide, asked once per token.
    cdef int _of_claims(self, dict claims) except -2


@cython.final
cdef class Split(ClusterChoice):
    """By weight, over many requests or over many keys."""
    cdef uint64_t *_ends                         # of the interval of each cluster before `_last`, exclusive
    cdef int _last                               # the cluster whose interval ends at 2**64
    cdef uint64_t _point
    cdef readonly tuple path                     # of the claim that is the key; None: none is

    cdef int _at(self, uint64_t point) noexcept


@cython.final
cdef class ByClaim(ClusterChoice):
    """By the text of a verified claim."""
    cdef readonly tuple path
    cdef dict _indexes                           # by text
    cdef int _default                            # or NO_CHOICE
