cimport cython

from lbjwt.observe._board cimport Board
from lbjwt.proxy._stream cimport ClientStream


@cython.final
cdef class KeyWait:
    cdef readonly Py_ssize_t max_waiting         # for one issuer at once
    cdef readonly double max_wait                # seconds a request waits at most
    cdef Board _board
    cdef object _ask                             # (issuer index) -> True when its keys are being fetched now
    cdef dict _waiting                           # by issuer that anybody ever waited for: its clients as keys, who came first first

    # False: there is nothing to wait for, or no room. Raises for a fault of ours.
    cdef bint enter(self, ClientStream client, Py_ssize_t issuer)
    cdef void leave(self, ClientStream client, Py_ssize_t issuer)
