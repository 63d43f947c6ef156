cdef enum:
    # what a rule says; only TRUE passes
    UNKNOWN = -1
    FALSE = 0
    TRUE = 1


cdef class Rule:
    """A claim rule, compiled. Abstract."""
    cdef readonly object source            # the rule it was compiled from
    cdef str _text                         # the same for the eye; None until somebody asks

    # TRUE, FALSE or UNKNOWN
    cpdef int judge(self, dict claims) except -2
    cdef int _explain(self, dict claims, list outcomes) except -1
