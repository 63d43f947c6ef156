cimport cython

from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport RequestHead
from lbjwt.http1._answer cimport Answer


@cython.final
cdef class Health:
    cdef readonly bytes path         # canonical
    cdef Answer _ready               # 200
    cdef Answer _unready             # 503
    cdef Answer _other_method        # 405

    # True when a request for this target, query included, is for the path: in any spelling that a route would be found by, whatever the method.
    # scratch: written over.
    cdef bint is_for(self, Slice target, Buffer scratch) except -1
    cdef Answer answer(self, RequestHead head, bint ready)
