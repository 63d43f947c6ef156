from lbjwt._fastverify cimport ClaimRules
from lbjwt._grants cimport Grant


cdef struct Times:
    # NumericDates of a token; negative when it has none, or none that is a time
    double exp
    double nbf
    double iat


cdef class PolicyRules(ClaimRules):
    """The claim rules of one IssuerPolicy, with every constant in a C field."""
    cdef dict _issuers                     # issuer -> the same text, one object for all grants; None: any
    cdef object _pattern                   # of issuers that are not among them yet; None: there are no others
    cdef Py_ssize_t _max_issuers           # with a pattern: how many of them may become known
    cdef frozenset _audiences              # None: any
    cdef tuple _required_claims
    cdef frozenset _required_scopes        # None: none
    cdef frozenset _subjects               # named whole
    cdef tuple _subject_prefixes
    cdef tuple _subject_suffixes
    cdef bint _any_subject
    cdef frozenset _clients                # None: any
    cdef double _clock_skew
    cdef double _max_lifetime              # infinity: no limit
    cdef double _max_remaining             # infinity: no limit
    cdef double _max_age                   # infinity: no limit
    cdef bint _require_expiration
    cdef bint _client_is_text              # azp and client_id are looked at, so they must be text
    cdef bint _refuse_bound

    cdef int judge(self, dict claims, double now, Grant grant, list trace) except -1
    cdef int _check(self, int step, dict claims, const Times *times, double now, Grant grant) except -1
    cdef int _check_issuer(self, dict claims, Grant grant) except -1
    cdef int _check_age(self, dict claims, const Times *times, double now, Grant grant) except -1
    cdef int _check_subject(self, str subject) except -1
    cdef int _check_client(self, dict claims) except -1
