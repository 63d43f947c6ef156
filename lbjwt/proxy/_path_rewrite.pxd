cimport cython
from libc.stdint cimport uint64_t

from lbjwt._grants cimport Grant, GrantCache
from lbjwt.http1._buffer cimport Buffer
from lbjwt.http1._request cimport RequestHead


@cython.final
cdef class PathRewrite:
    """What endpoints get in place of the path of a route, or of its prefix."""
    cdef readonly object template                # PathTemplate
    cdef readonly bint by_claims                 # the token decides, so there must be one
    cdef Py_ssize_t _replaced                    # bytes of the canonical path that the new beginning replaces; -1: all
    cdef bytes _fixed                            # the beginning that no token decides
    cdef uint64_t _number                        # under which a Grant remembers its beginning
    cdef Buffer _room                            # holds the last target that was rewritten

    # What takes the place of the replaced part: behind a prefix another slash follows, or nothing.
    cdef bytes _beginning_of(self, bytes path)
    # The new beginning of the path; None: a claim is missing or cannot be in a path. grant: of the first demand; None where no claim is asked for.
    # cache: of the grant. Raises for a fault of ours.
    cdef bytes beginning_for(self, Grant grant, GrantCache cache)
    # Give the request this beginning; the query stays. The target is good until the next request of the route.
    cdef int apply(self, RequestHead head, bytes beginning) except -1
