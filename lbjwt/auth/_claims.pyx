"""
The rules on claims (RFC 7519 section 4.1, RFC 8725 sections 3.8 and 3.9), compiled to C comparisons.

Knows claims, a policy's constants and the time it is told. What is not exactly right is refused: strings are compared whole, numbers
are numbers, nothing is converted.
"""

cimport cython

from lbjwt._fastverify cimport ClaimRules, DenyReason, Grant

cdef double MAX_TIME = 9007199254740992.0    # 2^53: beyond, a double no longer counts seconds
cdef double FOREVER = float("inf")
cdef double ABSENT = -1.0
cdef double WRONG = -2.0


cdef double _numeric_date(dict claims, str name) except? -3.0:
    """A NumericDate claim, ABSENT, or WRONG: not a number, not finite, negative or past 2^53. Booleans are no numbers (THREATS C2)."""
    cdef object value = claims.get(name)
    cdef double seconds
    if value is None:
        return WRONG if name in claims else ABSENT
    if type(value) is not int and type(value) is not float:
        return WRONG
    seconds = value
    return seconds if 0.0 <= seconds <= MAX_TIME else WRONG


cdef int _is_text_or_absent(dict claims, str name) except -1:
    return type(claims.get(name, "")) is str


cdef int _judge_audience(object audience, frozenset wanted) except -1:
    """A string, or a list of strings only; whole members are compared (THREATS C9). wanted None: any audience will do."""
    cdef bint met = wanted is None
    if type(audience) is str:
        met = met or audience in wanted
    elif type(audience) is list:
        for member in <list>audience:
            if type(member) is not str:
                return DenyReason.INVALID_CLAIM
            met = met or member in wanted
    else:
        return DenyReason.INVALID_CLAIM
    return DenyReason.NONE if met else DenyReason.WRONG_AUDIENCE


cdef int _judge_scopes(dict claims, frozenset wanted) except -1:
    """`scope` (RFC 8693 section 4.2), else `scp`: a string with single spaces, or a list of strings; set membership (THREATS C11)."""
    cdef object granted = claims.get("scope")
    if granted is None:
        granted = claims.get("scp")
    if granted is None:
        return DenyReason.INSUFFICIENT_SCOPE
    if type(granted) is str:
        granted = (<str>granted).split(" ")
    elif type(granted) is not list:
        return DenyReason.INVALID_CLAIM
    for scope in <list>granted:
        if type(scope) is not str:
            return DenyReason.INVALID_CLAIM
    return DenyReason.NONE if wanted.issubset(granted) else DenyReason.INSUFFICIENT_SCOPE


@cython.final
cdef class PolicyRules(ClaimRules):
    def __init__(self, policy):
        self._issuer = policy.issuer
        self._audiences = None if policy.audiences is None else frozenset(policy.audiences)
        self._required_claims = tuple(policy.required_claims)
        self._required_scopes = frozenset(policy.required_scopes) or None
        self._clock_skew = policy.clock_skew
        self._max_lifetime = FOREVER if policy.max_lifetime is None else policy.max_lifetime
        self._require_expiration = policy.require_expiration

    cdef int judge(self, dict claims, double now, Grant grant) except -1:
        cdef double exp = _numeric_date(claims, "exp")
        cdef double nbf = _numeric_date(claims, "nbf")
        cdef double iat = _numeric_date(claims, "iat")
        cdef int verdict
        if exp == WRONG or nbf == WRONG or iat == WRONG:
            return DenyReason.INVALID_CLAIM
        if not (_is_text_or_absent(claims, "iss") and _is_text_or_absent(claims, "sub") and _is_text_or_absent(claims, "jti")):
            return DenyReason.INVALID_CLAIM

        issuer = claims.get("iss")
        if self._issuer is not None:
            if issuer is None:
                return DenyReason.MISSING_CLAIM
            if <str>issuer != self._issuer:
                return DenyReason.WRONG_ISSUER
            grant.issuer = self._issuer          # one object for all grants
        elif issuer is not None:
            grant.issuer = <str>issuer

        audience = claims.get("aud")
        if audience is not None or "aud" in claims:
            verdict = _judge_audience(audience, self._audiences)
            if verdict != DenyReason.NONE:
                return verdict
        elif self._audiences is not None:
            return DenyReason.MISSING_CLAIM

        # RFC 7519 section 4.1.4: on or after exp it must not be accepted; section 4.1.5: before nbf it must not (THREATS C3).
        grant.valid_from = 0.0
        grant.valid_until = FOREVER
        if exp != ABSENT:
            grant.valid_until = exp + self._clock_skew
            if not now < grant.valid_until:
                return DenyReason.EXPIRED
        elif self._require_expiration:
            return DenyReason.MISSING_CLAIM
        if nbf != ABSENT:
            grant.valid_from = nbf - self._clock_skew
            if not now >= grant.valid_from:
                return DenyReason.NOT_YET_VALID
        if iat != ABSENT:
            if not now >= iat - self._clock_skew:
                return DenyReason.ISSUED_IN_FUTURE
            grant.valid_from = max(grant.valid_from, iat - self._clock_skew)
        if self._max_lifetime != FOREVER:
            if exp == ABSENT or iat == ABSENT:
                return DenyReason.MISSING_CLAIM
            if not exp - iat <= self._max_lifetime:
                return DenyReason.LIFETIME_TOO_LONG

        for name in self._required_claims:
            if claims.get(name) is None:
                return DenyReason.MISSING_CLAIM
        if self._required_scopes is not None:
            return _judge_scopes(claims, self._required_scopes)
        return DenyReason.NONE
