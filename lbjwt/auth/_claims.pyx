"""
The rules on claims (RFC 7519 section 4.1, RFC 8725 sections 3.8 and 3.9), compiled to C comparisons.

Strings are compared whole, and nothing is converted. The only state is the set of tenants of an issuer pattern whose tokens were accepted.
"""

cimport cython

from lbjwt._fastverify cimport ClaimRules, DenyReason, record
from lbjwt._grants cimport Grant
from lbjwt.auth._membership cimport judge_audience, judge_scopes

from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.policy import PROFILE_CLAIMS as _PROFILE_CLAIMS

cdef enum Step:
    # in this order; the first that is not met is the reason
    TYPES
    ISSUER
    AUDIENCE
    EXPIRY
    START
    ISSUE
    LIFETIME
    REMAINING
    AGE
    REQUIRED
    SUBJECT
    CLIENT
    BINDING
    SCOPES
    STEPS                        # how many there are

cdef double MAX_TIME = 9007199254740992.0    # 2^53: beyond, a double no longer counts seconds
cdef double FOREVER = float("inf")
cdef double ABSENT = -1.0
cdef double WRONG = -2.0
cdef tuple NAMES = (
    "claims.types", "claims.issuer", "claims.audience", "claims.expiry", "claims.start", "claims.issue", "claims.lifetime", "claims.remaining",
    "claims.age", "claims.required", "claims.subject", "claims.client", "claims.binding", "claims.scopes",
)


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


cdef bint _is_text_or_absent(dict claims, str name) except -1:
    return type(claims.get(name, "")) is str


@cython.final
cdef class PolicyRules(ClaimRules):
    """
    Types first (INVALID_CLAIM), then issuer, audience, times, lifetime, time left, age, required claims, subject, client, binding and scopes. A token
    is valid when `nbf - skew <= now < exp + skew`, its `iat` is no later than `now + skew`, and `now` is before its age limit + skew.
    """

    def __init__(self, policy):
        self._issuers = self._pattern = None
        self._max_issuers = 0
        if isinstance(policy.issuer, IssuerPattern):
            if policy.issuer.tenants is None:
                self._pattern = policy.issuer
                self._max_issuers = policy.issuer.max_tenants
            self._issuers = {issuer: issuer for issuer in map(policy.issuer.issuer_of, policy.issuer.tenants or ())}
        elif policy.issuer is not None:
            self._issuers = {policy.issuer: policy.issuer}
        self._audiences = None if policy.audiences is None else frozenset(policy.audiences)
        self._required_claims = tuple(policy.required_claims)
        if policy.access_token_profile:
            self._required_claims += tuple([name for name in _PROFILE_CLAIMS if name not in self._required_claims])
        self._required_scopes = frozenset(policy.required_scopes) or None
        self._subjects = frozenset(policy.subjects or ())
        self._subject_prefixes = tuple(policy.subject_prefixes)
        self._subject_suffixes = tuple(policy.subject_suffixes)
        self._any_subject = policy.any_subject
        self._clients = None if policy.clients is None else frozenset(policy.clients)
        self._client_is_text = policy.access_token_profile or policy.clients is not None
        self._refuse_bound = policy.refuse_sender_constrained
        self._clock_skew = policy.clock_skew
        self._max_lifetime = FOREVER if policy.max_lifetime is None else policy.max_lifetime
        self._max_remaining = FOREVER if policy.max_remaining is None else policy.max_remaining
        self._max_age = FOREVER if policy.max_age is None else policy.max_age
        self._require_expiration = policy.require_expiration

    cdef int judge(self, dict claims, double now, Grant grant, list trace) except -1:
        cdef Times times
        cdef int step, verdict
        cdef int first = DenyReason.NONE
        times.exp = _numeric_date(claims, "exp")
        times.nbf = _numeric_date(claims, "nbf")
        times.iat = _numeric_date(claims, "iat")
        grant.valid_from = 0.0
        grant.valid_until = FOREVER
        for step in range(<int>STEPS):
            verdict = self._check(step, claims, &times, now, grant)
            if trace is not None:
                record(trace, NAMES[step], verdict, None)
            if verdict != DenyReason.NONE:
                if trace is None or step == TYPES:
                    return verdict
                first = first or verdict
        if first != DenyReason.NONE:
            return first
        if self._pattern is not None and trace is None:
            self._issuers[grant.issuer] = grant.issuer     # only accepted tokens count toward max_tenants
        return DenyReason.NONE

    cdef int _check(self, int step, dict claims, const Times *times, double now, Grant grant) except -1:
        """
        One step's DenyReason; NONE also when the policy does not ask for it. Every step relies on TYPES.

        Narrows the grant's period of validity, so that a cached token ends when a new check would refuse it.
        """
        if step == TYPES:
            if times.exp == WRONG or times.nbf == WRONG or times.iat == WRONG:
                return DenyReason.INVALID_CLAIM
            for name in ("iss", "sub", "jti"):
                if not _is_text_or_absent(claims, name):
                    return DenyReason.INVALID_CLAIM
            if self._client_is_text and not (_is_text_or_absent(claims, "azp") and _is_text_or_absent(claims, "client_id")):
                return DenyReason.INVALID_CLAIM
        elif step == ISSUER:
            return self._check_issuer(claims, grant)
        elif step == AUDIENCE:
            return judge_audience(claims, self._audiences)
        elif step == EXPIRY:
            # RFC 7519 section 4.1.4: on or after exp it must not be accepted; section 4.1.5: before nbf it must not (THREATS C3).
            if times.exp == ABSENT:
                return DenyReason.MISSING_CLAIM if self._require_expiration else DenyReason.NONE
            grant.valid_until = times.exp + self._clock_skew
            if not now < grant.valid_until:
                return DenyReason.EXPIRED
        elif step == START:
            if times.nbf != ABSENT:
                grant.valid_from = max(grant.valid_from, times.nbf - self._clock_skew)
                if not now >= times.nbf - self._clock_skew:
                    return DenyReason.NOT_YET_VALID
        elif step == ISSUE:
            if times.iat != ABSENT:
                grant.valid_from = max(grant.valid_from, times.iat - self._clock_skew)
                if not now >= times.iat - self._clock_skew:
                    return DenyReason.ISSUED_IN_FUTURE
        elif step == LIFETIME:
            if self._max_lifetime != FOREVER:
                if times.exp == ABSENT or times.iat == ABSENT:
                    return DenyReason.MISSING_CLAIM
                if not times.exp - times.iat <= self._max_lifetime:
                    return DenyReason.LIFETIME_TOO_LONG
        elif step == REMAINING:
            if self._max_remaining != FOREVER:
                if times.exp == ABSENT:
                    return DenyReason.MISSING_CLAIM
                grant.valid_from = max(grant.valid_from, times.exp - self._max_remaining - self._clock_skew)
                if not now >= times.exp - self._max_remaining - self._clock_skew:
                    return DenyReason.LIFETIME_TOO_LONG
        elif step == AGE:
            return self._check_age(claims, times, now, grant)
        elif step == REQUIRED:
            for name in self._required_claims:
                if claims.get(name) is None:
                    return DenyReason.MISSING_CLAIM
        elif step == SUBJECT:
            if not self._any_subject:
                return self._check_subject(claims.get("sub"))
        elif step == CLIENT:
            return self._check_client(claims)
        elif step == BINDING:
            # Without a proof of possession, a stolen token looks the same (THREATS C18).
            if self._refuse_bound and "cnf" in claims:
                return DenyReason.WRONG_TYPE
        elif step == SCOPES:
            if self._required_scopes is not None:
                return judge_scopes(claims, self._required_scopes, False)
        return DenyReason.NONE

    cdef int _check_issuer(self, dict claims, Grant grant) except -1:
        cdef object issuer = claims.get("iss")
        if self._issuers is None:
            if issuer is not None:
                grant.issuer = <str>issuer
            return DenyReason.NONE
        if issuer is None:
            return DenyReason.MISSING_CLAIM
        known = self._issuers.get(issuer)        # equal as a whole, or not at all (THREATS C7)
        if known is None:
            if self._pattern is None or self._pattern.tenant_of(issuer) is None or len(self._issuers) >= self._max_issuers:
                return DenyReason.WRONG_ISSUER
            known = issuer
        grant.issuer = <str>known
        return DenyReason.NONE

    cdef int _check_age(self, dict claims, const Times *times, double now, Grant grant) except -1:
        """max_age counts from the login when the token tells it (OpenID Connect Core section 2), else from the issue of the token."""
        cdef double since
        if self._max_age == FOREVER:
            return DenyReason.NONE
        since = _numeric_date(claims, "auth_time")
        if since == WRONG:
            return DenyReason.INVALID_CLAIM
        if since == ABSENT:
            since = times.iat
        if since == ABSENT:
            return DenyReason.MISSING_CLAIM
        grant.valid_from = max(grant.valid_from, since - self._clock_skew)
        grant.valid_until = min(grant.valid_until, since + self._max_age + self._clock_skew)
        if not now >= since - self._clock_skew:
            return DenyReason.ISSUED_IN_FUTURE   # a login to come would be young for ever
        return DenyReason.NONE if now < since + self._max_age + self._clock_skew else DenyReason.TOO_OLD

    cdef int _check_subject(self, str subject) except -1:
        """One of the subjects, or one with one of the prefixes or suffixes."""
        if subject is None:
            return DenyReason.MISSING_CLAIM
        if subject in self._subjects or subject.startswith(self._subject_prefixes) or subject.endswith(self._subject_suffixes):
            return DenyReason.NONE
        return DenyReason.SUBJECT_REFUSED

    cdef int _check_client(self, dict claims) except -1:
        """`azp` (OpenID Connect Core section 2) and `client_id` (RFC 8693 section 4.3) name one client. When both are there, both count."""
        if self._clients is None:
            return DenyReason.NONE
        party = claims.get("azp")
        client = claims.get("client_id")
        if party is None and client is None:
            return DenyReason.MISSING_CLAIM
        if (party is None or party in self._clients) and (client is None or client in self._clients):
            return DenyReason.NONE
        return DenyReason.CLIENT_REFUSED
