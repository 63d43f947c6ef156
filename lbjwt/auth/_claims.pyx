"""
The rules on claims (RFC 7519 section 4.1, RFC 8725 sections 3.8 and 3.9), compiled to C comparisons.

Knows claims, a policy's constants and the time it is told. What is not exactly right is refused: strings are compared whole, numbers
are numbers, nothing is converted. Remembers one thing, the tenants of an issuer pattern whose tokens were accepted.
"""

cimport cython

from lbjwt._fastverify cimport ClaimRules, DenyReason
from lbjwt._grants cimport Grant
from lbjwt.auth._membership cimport judge_audience, judge_scopes

from lbjwt._fastverify import DenyReason as ReasonNames
from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.outcome import Outcome, scopes_shown, shown
from lbjwt.auth.policy import PROFILE_CLAIMS as _PROFILE_CLAIMS

cdef enum Step:
    # in the order in which a token is judged: the first that is not met is the reason
    TYPES
    ISSUER
    AUDIENCE
    EXPIRY
    START
    ISSUE
    LIFETIME
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
cdef object _Outcome = Outcome


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


cdef int _read_times(dict claims, Times *times) except -1:
    times.exp = _numeric_date(claims, "exp")
    times.nbf = _numeric_date(claims, "nbf")
    times.iat = _numeric_date(claims, "iat")
    return 0


cdef bint _is_text_or_absent(dict claims, str name) except -1:
    return type(claims.get(name, "")) is str


@cython.final
cdef class PolicyRules(ClaimRules):
    """
    Types first (INVALID_CLAIM), then issuer, audience, times, lifetime, age, required claims, subject, client, binding and scopes. A token
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
        self._subjects = None if policy.subjects is None else frozenset(policy.subjects)
        self._clients = None if policy.clients is None else frozenset(policy.clients)
        self._client_is_text = policy.access_token_profile or policy.clients is not None
        self._refuse_bound = policy.refuse_sender_constrained
        self._clock_skew = policy.clock_skew
        self._max_lifetime = FOREVER if policy.max_lifetime is None else policy.max_lifetime
        self._max_age = FOREVER if policy.max_age is None else policy.max_age
        self._require_expiration = policy.require_expiration

    cdef int judge(self, dict claims, double now, Grant grant) except -1:
        cdef Times times
        cdef int step, verdict
        _read_times(claims, &times)
        grant.valid_from = 0.0
        grant.valid_until = FOREVER
        for step in range(<int>STEPS):
            verdict = self._check(step, claims, &times, now, grant)
            if verdict != DenyReason.NONE:
                return verdict
        if self._pattern is not None:
            self._issuers[grant.issuer] = grant.issuer     # only now: what is refused takes no tenant's place
        return DenyReason.NONE

    cdef int _check(self, int step, dict claims, const Times *times, double now, Grant grant) except -1:
        """
        One step's DenyReason; NONE also when the policy does not ask for it. Every step after TYPES relies on that one.

        The bounds of the grant are narrowed to what the step allows, so that a remembered token ends when judging it again would refuse it.
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
        elif step == AGE:
            return self._check_age(claims, times, now, grant)
        elif step == REQUIRED:
            for name in self._required_claims:
                if claims.get(name) is None:
                    return DenyReason.MISSING_CLAIM
        elif step == SUBJECT:
            if self._subjects is not None:
                subject = claims.get("sub")
                if subject is None:
                    return DenyReason.MISSING_CLAIM
                if subject not in self._subjects:
                    return DenyReason.SUBJECT_REFUSED
        elif step == CLIENT:
            return self._check_client(claims)
        elif step == BINDING:
            # A token of a key's holder, shown without a proof, is a stolen one for all that can be told (THREATS C18).
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

    cdef int _check_client(self, dict claims) except -1:
        """`azp` (OpenID Connect Core section 2) and `client_id` (RFC 8693 section 4.3) name one client. When both are there, both count."""
        cdef object party
        cdef object client
        if self._clients is None:
            return DenyReason.NONE
        party = claims.get("azp")
        client = claims.get("client_id")
        if party is None and client is None:
            return DenyReason.MISSING_CLAIM
        if (party is None or party in self._clients) and (client is None or client in self._clients):
            return DenyReason.NONE
        return DenyReason.CLIENT_REFUSED

    def explain(self, dict claims not None, double now):
        """Every check of the policy in order, also those after the first that refuses. Changes nothing: a tenant that is new stays new."""
        cdef list outcomes = []
        cdef Times times
        cdef Grant grant = Grant(b"")
        cdef int step, verdict
        cdef bint readable = True
        _read_times(claims, &times)
        for step in range(<int>STEPS):
            what = self._asked(step)
            if what is None:
                continue
            if not readable:
                outcomes.append(_Outcome(what, "unknown", "not judged, since a claim is of the wrong type"))
                continue
            verdict = self._check(step, claims, &times, now, grant)
            found = self._found(step, claims, &times, now)
            if verdict == DenyReason.NONE:
                outcomes.append(_Outcome(what, "met", found))
            else:
                name = ReasonNames(verdict).name.lower().replace("_", " ")
                outcomes.append(_Outcome(what, "refused", f"{name}: {found}" if found else name))
            readable = step != TYPES or verdict == DenyReason.NONE
        return outcomes

    def _asked(self, int step):
        """What the policy asks for in a step, for the eye; None for nothing."""
        skew = f", {self._clock_skew:g} s of clock skew"
        if step == TYPES:
            return "registered claims are of their types"
        if step == ISSUER:
            return None if self._issuers is None else f"issuer: {self._issuer_text()}"
        if step == AUDIENCE:
            return "audience: any" if self._audiences is None else f"audience: one of {', '.join(sorted(self._audiences))}"
        if step == EXPIRY:
            return f"before exp{skew}" if self._require_expiration else f"before exp, when there is one{skew}"
        if step == START:
            return f"not before nbf{skew}"
        if step == ISSUE:
            return f"not issued in the future{skew}"
        if step == LIFETIME:
            return None if self._max_lifetime == FOREVER else f"lives at most {self._max_lifetime:g} s"
        if step == AGE:
            return None if self._max_age == FOREVER else f"younger than {self._max_age:g} s{skew}"
        if step == REQUIRED:
            return f"required: {', '.join(self._required_claims)}" if self._required_claims else None
        if step == SUBJECT:
            return None if self._subjects is None else "one of the named subjects"
        if step == CLIENT:
            return None if self._clients is None else f"client: one of {', '.join(sorted(self._clients))}"
        if step == BINDING:
            return "not bound to a key" if self._refuse_bound else None
        return None if self._required_scopes is None else f"scopes: all of {' '.join(sorted(self._required_scopes))}"

    def _issuer_text(self):
        if self._pattern is not None:
            return f"{self._pattern.template}, tenant_class {self._pattern.tenant_class}, max_tenants {self._max_issuers}"
        return next(iter(self._issuers)) if len(self._issuers) == 1 else f"one of {len(self._issuers)} tenants"

    cdef str _found(self, int step, dict claims, const Times *times, double now):
        """What the token says about a step."""
        cdef str name
        if step == TYPES:
            names = ["exp", "nbf", "iat", "iss", "sub", "jti"] + (["azp", "client_id"] if self._client_is_text else [])
            return ", ".join([f"{name} is {shown(claims[name])}" for name in names if name in claims])
        if step == ISSUER:
            return f"iss is {shown(claims.get('iss'))}"
        if step == AUDIENCE:
            return f"aud is {shown(claims.get('aud'))}"
        if step == EXPIRY:
            return _time_text("exp", times.exp, now)
        if step == START:
            return _time_text("nbf", times.nbf, now)
        if step == ISSUE:
            return _time_text("iat", times.iat, now)
        if step == LIFETIME:
            return "exp or iat is missing" if times.exp < 0 or times.iat < 0 else f"exp - iat is {times.exp - times.iat:.15g} s"
        if step == AGE:
            name = "iat" if claims.get("auth_time") is None else "auth_time"
            return _time_text(name, _numeric_date(claims, name), now)
        if step == REQUIRED:
            missing = [name for name in self._required_claims if claims.get(name) is None]
            return f"without {', '.join(missing)}" if missing else ""
        if step == SUBJECT:
            return f"sub is {shown(claims.get('sub'))}"
        if step == CLIENT:
            return f"azp is {shown(claims.get('azp'))}, client_id is {shown(claims.get('client_id'))}"
        if step == BINDING:
            return "cnf is there" if "cnf" in claims else ""
        return scopes_shown(claims)


cdef str _time_text(str name, double at, double now):
    if at < 0:
        return f"{name} is missing" if at == ABSENT else f"{name} is no time"
    return f"{name} is {at:.15g}, {abs(at - now):.0f} s {'ahead' if at > now else 'ago'}"
