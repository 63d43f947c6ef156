cimport cython
from libc.stdint cimport uint64_t

from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport Method, RequestHead


cpdef enum Found:
    # What `match` answers beside the index of a route. OWN - n: the document n of our own.
    NO_ROUTE = -1                # 404, never forwarded
    BAD_TARGET = -2              # 400: a path that is refused or that some back end reads as that of a more specific route, or an empty label
    OWN = -10


cdef enum:
    OTHER_METHODS = 47           # methods that Method has no name for and some route names; HTTP parsers know about 40


cdef struct Rule:
    # One host pattern of one route. The slices borrow from Router._owned.
    Slice host                   # lower-case; size 0: any
    Slice path                   # canonical; of a prefix without its slash at the end
    Slice loose                  # its loose reading, see _path.pyx
    uint64_t methods             # bit per method
    int index                    # of the route
    int rank                     # 1 and up; rules of one rank exclude each other, or differ in spelling only
    bint wildcard                # host is the end of a name
    bint exact                   # path is the whole path


@cython.final
cdef class Router:
    """Which route a request belongs to, and the one path it is asked for. Immutable, shared by all connections of a worker."""
    cdef Rule *_rules            # our own documents first
    cdef Py_ssize_t _own         # how many of them
    cdef Py_ssize_t _count       # of all
    cdef bint _by_host           # some rule has a host
    cdef bint _as_sent           # another program forwards the path as it was sent
    cdef Slice _others[OTHER_METHODS]
    cdef int _other_count
    cdef list _owned             # the bytes that all slices borrow from

    # The index of the route for this head, or a Found. On a match, of a route or of a document of our own, head.target becomes the canonical path
    # with the client's query: the client's own bytes when nothing changed, else a slice of `scratch`, valid until it is written again.
    # Raises MemoryError only.
    cpdef int match(self, RequestHead head, Buffer scratch) except -3

    cdef int _find(self, uint64_t method, Slice host, Slice *target, Buffer scratch) except -3
    cdef Py_ssize_t _rule_for(self, uint64_t method, Slice host, Slice path, Slice loose, Py_ssize_t cut) noexcept nogil
    cdef int _route_as_sent(self, uint64_t method, Slice host, Slice path) noexcept nogil
    cdef uint64_t _bit_of(self, Method method, Slice name) noexcept
    cdef Slice _kept(self, bytes text)
