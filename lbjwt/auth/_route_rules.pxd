from libc.stdint cimport uint32_t

from lbjwt._fastverify cimport DenyReason


cdef class RouteRules:
    """The rules of one RoutePolicy, compiled."""
    cdef object __weakref__
    cdef readonly object policy
    cdef readonly uint32_t number          # no other rules in this process ever had it; 0 when they ask nothing
    cdef readonly bint asks_nothing        # every token passes: its claims need not be read
    cdef frozenset _issuers                # None: all
    cdef frozenset _audiences              # None: any
    cdef frozenset _scopes_all             # None: none asked for
    cdef frozenset _scopes_any             # None: none asked for
    cdef tuple _rules                      # of Rule
    cdef tuple _report_only                # of bool, one a rule

    # claims: of a verified token. issuer: its index, -1 when there is none. Returns the DenyReason, and sets reported to the first reason of
    # a report-only rule. At most one of the two is not NONE.
    cdef int judge(self, dict claims, int issuer, DenyReason *reported) except -1
    # Append every check of the route to a trace, also those after the first that refuses.
    cdef int tell(self, dict claims, int issuer, list trace) except -1
    cdef int _check(self, int step, dict claims, int issuer) except -1
    cdef bint _only_reports(self, int step)


# Another number under which a Grant remembers something, kept in another place than what stands under `avoid` (0: under nothing).
cdef uint32_t new_number(uint32_t avoid) except 0
