cimport cython

from lbjwt._fastverify cimport DenyReason, Gate
from lbjwt._grants cimport Grant
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport RequestHead
from lbjwt.observe._offenders cimport Offenders
from lbjwt.proxy._authorization cimport Authorization
from lbjwt.proxy._route cimport Demand
from lbjwt.routing._router cimport Router


@cython.final
cdef class Admission:
    """Decides of request heads, one after another, and keeps nothing of them."""
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

    # hint: the Grant that its connection used last. now: seconds since the epoch.
    # peer: the client's address as text; trusted: it is a proxy of ours.
    # decided: is filled.
    cdef void authorize(self, RequestHead head, Grant hint, Slice peer, bint trusted, double now, Authorization decided)
    # The client's address: behind proxies of ours, the one that they name, else `peer`. Failures are counted under it and the log names it.
    cdef Slice source(self, RequestHead head, Slice peer, bint trusted)
    cdef void _find_route(self, RequestHead head, Authorization decided)
    # The cluster, where the route has a choice. NO_CLUSTER: the claims name none. grant: whose claims count; None: no token was accepted.
    cdef DenyReason _choose(self, RequestHead head, Grant grant, Authorization decided)
    # The new beginning of the path, where the route rewrites it. CLAIM_REFUSED: a claim that belongs in it is missing or cannot be a segment.
    cdef DenyReason _rewrite(self, Authorization decided)
    cdef DenyReason _meet(self, Demand demand, RequestHead head, Grant hint, double now, Authorization decided)
    cdef Grant _first_seen(self, Demand demand, unsigned found, RequestHead head, bytes token, double now, DenyReason *reason, Authorization decided)


# True when a refusal says something about who sent the token: not when there was none, as any page can make a browser ask without, not when the
# token was good and did not suffice, and not when it was not judged.
cdef bint is_suspicious(DenyReason reason) noexcept
