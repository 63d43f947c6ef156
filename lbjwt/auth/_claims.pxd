from lbjwt._fastverify cimport ClaimRules, Grant


cdef class PolicyRules(ClaimRules):
    """The claim rules of one IssuerPolicy, with every constant in a C field."""
    cdef str _issuer                       # None: any
    cdef frozenset _audiences              # None: any
    cdef tuple _required_claims
    cdef frozenset _required_scopes        # None: none
    cdef double _clock_skew
    cdef double _max_lifetime              # infinity: no limit
    cdef bint _require_expiration

    cdef int judge(self, dict claims, double now, Grant grant) except -1
