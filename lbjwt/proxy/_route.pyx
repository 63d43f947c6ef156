"""
One route: where the tokens of its requests are found, what they must satisfy, and how they are refused.

The verdict of a route on a token is kept in its Grant. The router decides which request belongs to which route.
"""

from libc.string cimport memcmp

from lbjwt._fastverify cimport MISSING, MULTIPLE_TOKENS, NONE, WRONG_ISSUER, record
from lbjwt._grants cimport JUDGED, MEMOS, REPORTED
from lbjwt.auth._callers cimport Caller, caller_of, is_browser

from lbjwt.proxy.answers import redirect_answer

cdef object _redirect_answer = redirect_answer

cdef enum:
    MAX_GROUPS = 32              # groups of places: one bit each


cdef inline DenyReason _search(TokenPlaces places, RequestHead head, const char **token, Py_ssize_t *size) noexcept:
    """As `TokenPlaces.find`, which resets the two marks of the head: marks set by an earlier search of the same head stay."""
    cdef bint in_query = head.token_in_query
    cdef bint subprotocol = head.subprotocol_answer
    cdef DenyReason reason = places.find(head, token, size)
    head.token_in_query = head.token_in_query or in_query
    head.subprotocol_answer = head.subprotocol_answer or subprotocol
    return reason


cdef class Demand:

    def __init__(self, places, issuers, RouteRules rules=None):
        self.places = tuple(places)
        self.issuers = tuple(issuers)
        if not 0 < len(self.places) <= MAX_GROUPS or len(self.places) != len(self.issuers):
            raise ValueError("a demand has 1 to 32 groups of places, each with its issuers")
        if rules is not None and rules.asks_nothing:
            raise ValueError("rules that ask nothing are None")
        self._only = self.places[0] if len(self.places) == 1 else None
        self.rules = rules
        self.number = 0 if rules is None else rules.number

    cdef DenyReason find(self, RequestHead head, const char **token, Py_ssize_t *size, unsigned *found):
        cdef TokenPlaces places
        cdef DenyReason reason
        cdef const char *at
        cdef Py_ssize_t length
        cdef Py_ssize_t index
        found[0] = 1
        if self._only is not None:
            return _search(self._only, head, token, size)
        found[0] = 0
        for index in range(len(self.places)):
            places = <TokenPlaces>self.places[index]
            reason = _search(places, head, &at, &length)
            if reason == MISSING:
                continue
            if reason != NONE:
                return reason
            if found[0] and (length != size[0] or memcmp(at, token[0], length) != 0):
                return MULTIPLE_TOKENS
            token[0] = at
            size[0] = length
            found[0] |= 1 << index
        return NONE if found[0] else MISSING

    cdef bint may_stand(self, Grant grant, unsigned found):
        cdef Py_ssize_t index
        if self._only is not None:
            return True
        for index in range(len(self.places)):
            if found >> index & 1 and (self.issuers[index] is None or grant.issuer_index in self.issuers[index]):
                return True
        return False

    cdef int tell(self, list trace, Py_ssize_t issuer, unsigned found) except -1:
        cdef dict claims = None
        for step, _, value in trace:
            if step == "place":
                claims = None                    # those of the token of another demand
            elif step == "token.payload":
                claims = value
        if self._only is None:
            record(trace, "rules.place", NONE if self.may_stand(Grant(b"", issuer_index=issuer), found) else WRONG_ISSUER, None)
        if self.rules is not None and claims is not None:
            self.rules.tell(claims, <int>issuer, trace)
        return 0

    cdef uint8_t verdict(self, Grant grant) except 0:
        cdef Py_ssize_t place
        cdef DenyReason reported = NONE
        cdef int reason
        if self.rules is None:
            return JUDGED
        place = self.number % MEMOS
        if grant.memo_rules[place] == self.number:
            return grant.memo_verdict[place]
        reason = self.rules.judge(dict(grant.claims), <int>grant.issuer_index, &reported)
        grant.memo_rules[place] = self.number
        grant.memo_verdict[place] = <uint8_t>(JUDGED | reason if reason != NONE else JUDGED | REPORTED | reported if reported != NONE else JUDGED)
        return grant.memo_verdict[place]


cdef class Route:

    def __init__(self, demands, answers, *, strips=(), secret_places=(), str name="", bint allow_missing=False, bint report_only=False,
                 bint end_streams=True, double stream_grace=0.0, bint expose_reason=False,
                 Py_ssize_t index=-1, Cluster cluster=None, ClusterChoice choice=None, PathRewrite rewrite=None, RetryRule retry=None):
        self.name = name
        self.index = index
        self.cluster = cluster
        self.choice = choice
        self.rewrite = rewrite
        self.retry = RetryRule() if retry is None else retry
        self.label = name.encode()
        self.demands = tuple(demands)
        self.strips = tuple(strips)
        self.allow_missing = allow_missing
        self.report_only = report_only
        self.end_streams = end_streams
        self.stream_grace = stream_grace
        self.expose_reason = expose_reason
        self._plain, self._grpc, self._redirects, self._would_refuse = answers
        self._secret_places = tuple(secret_places)

    cdef int strip(self, RequestHead head) except -1:
        cdef TokenPlaces places
        cdef Py_ssize_t size = head.target.size
        for places in self.strips:
            places.strip(head)
        if head.target.size != size:
            head.token_in_query = True           # also where something else had ended the search before it came there
        return 0

    cdef bytes would_refuse(self, DenyReason reason):
        return <bytes>self._would_refuse[<int>reason]

    cpdef Answer refusal(self, DenyReason reason, RequestHead head, bint https):
        cdef Caller caller = caller_of(head)
        if caller != Caller.NO_GRPC:
            return <Answer>(<tuple>self._grpc[<int>caller - 1])[<int>reason]
        return self.http_refusal(reason, head, https, True)

    cpdef Answer http_refusal(self, DenyReason reason, RequestHead head, bint https, bint redirects):
        template = self._redirects[<int>reason]
        if template is not None and redirects and is_browser(head):
            for places in self._secret_places:
                (<TokenPlaces>places).strip(head)    # a token in the query would end in the logs of the login page
            return <Answer?>_redirect_answer(
                template, b"https" if https else b"http", head.host.at[:head.host.size], head.target.at[:head.target.size])
        return <Answer>self._plain[<int>reason]
