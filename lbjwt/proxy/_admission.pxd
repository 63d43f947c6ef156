cimport cython

from lbjwt._error_reason cimport ErrorReason
from lbjwt._fastverify cimport DenyReason, Gate
from lbjwt._grants cimport Grant
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport RequestHead
from lbjwt.observe._offenders cimport Offenders
from lbjwt.http1._answer cimport Answer
from lbjwt.proxy._route cimport Demand, Route
from lbjwt.routing._router cimport Router


@cython.final
cdef class Admission:
    """What was decided of one request head. One object serves all requests of a worker: it holds until the next head is judged."""
    cdef Gate gate
    cdef readonly Router router                  # None: there is one route, and it is for every request
    cdef readonly tuple routes                   # of Route, by index
    cdef tuple documents                         # of Answer: what is served without a token (RFC 9728), by index
    cdef Offenders offenders                     # None: nobody counts failures
    cdef object trusts                           # (address: str) -> bool: a proxy of ours; None when there is none
    cdef Slice _peer
    cdef bint _trusted
    cdef Buffer path                             # of the canonical target
    cdef list trace                              # what each step came to, for `decide`; None when serving

    cdef Route route                             # None: no route is for the request
    cdef Answer document                         # not None: this is the answer
    cdef ErrorReason error                       # why there is no route
    cdef Grant grant                             # of the first demand; None without one
    cdef list others                             # further grants; None: none
    cdef bytes identity                          # header lines for the endpoint
    cdef DenyReason reason                       # NONE: let through
    cdef DenyReason reported                     # what would have refused it, were it not only reported
    cdef Py_ssize_t issuer                       # the index of the issuer it is about (let through: of `grant`); -1: none that is known
    cdef Py_ssize_t reported_issuer              # … and of the one that `reported` is about
    cdef Py_ssize_t waits_for                    # issuer whose keys might hold the answer in a moment; -1: decided

    # hint: the Grant that its connection used last. now: seconds since the epoch.
    # peer: the client's address as text; trusted: it is a proxy of ours.
    cdef void judge(self, RequestHead head, Grant hint, Slice peer, bint trusted, double now)
    # The client's address: behind proxies of ours, the one that they name, else `peer`. Failures are counted under it and the log names it.
    cdef Slice source(self, RequestHead head, Slice peer, bint trusted)
    cdef void _find_route(self, RequestHead head)
    cdef DenyReason _meet(self, Demand demand, RequestHead head, Grant hint, double now)
    cdef Grant _first_seen(self, Demand demand, unsigned found, RequestHead head, bytes token, double now, DenyReason *reason)
    cdef void _forget(self) noexcept


# True when a refusal says something about who sent the token: not when there was none, as any page can make a browser ask without, not when the
# token was good and did not suffice, and not when it was not judged.
cdef bint is_suspicious(DenyReason reason) noexcept
