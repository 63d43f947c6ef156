cdef enum:
    # what a rule says; only TRUE passes
    UNKNOWN = -1
    FALSE = 0
    TRUE = 1


cdef class Rule:
    """A claim rule, compiled. Abstract."""
    cdef readonly object source            # the rule it was compiled from

    # TRUE, FALSE or UNKNOWN
    cpdef int judge(self, dict claims) except -2
    # Append each test in the rule, in order and on its own: its source, what it says, and the value of its claim (... when it is in no object).
    cdef int tell(self, dict claims, list tests) except -1


# The value at a path of names from the claims inward: None when it is missing or null, `...` when something on the way to it is no object.
cdef object claim_at(dict claims, tuple path)
