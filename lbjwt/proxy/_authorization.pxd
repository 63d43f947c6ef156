cimport cython

from lbjwt._error_reason cimport ErrorReason
from lbjwt._fastverify cimport DenyReason
from lbjwt._grants cimport Grant
from lbjwt.http1._answer cimport Answer
from lbjwt.proxy._route cimport Route


@cython.final
cdef class Authorization:
    """Whether one request may pass, and as whom: filled by `Admission.authorize`, kept by the exchange, used again with it."""
    cdef Route route                             # None: no route is for the request
    cdef Answer document                         # not None: this is the answer
    cdef ErrorReason error                       # why there is no route
    cdef Grant grant                             # of the first demand; None: none was needed or accepted
    cdef list other_grants                       # of further demands; None: there are none
    cdef bytes identity                          # header lines for the endpoint
    cdef bytes path                              # where the route rewrites it, its new beginning
    cdef DenyReason reason                       # NONE: let through
    cdef DenyReason reported                     # what would have refused it, were it not only reported
    cdef Py_ssize_t issuer                       # the index of the issuer it is about (let through: of `grant`); -1: none that is known
    cdef Py_ssize_t reported_issuer              # … and of the one that `reported` is about
    cdef int cluster                             # index in the choice of the route; -1: the route has no choice
    cdef Py_ssize_t waits_for                    # issuer whose keys might hold the answer in a moment; -1: decided

    cdef void clear(self) noexcept
    # Let go of what it refers to; what the log names stays.
    cdef void release(self) noexcept
