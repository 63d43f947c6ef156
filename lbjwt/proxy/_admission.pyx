"""
May this request pass? The route is found, each token it asks for is found, recognised or verified, and held against the route.

It changes nothing but the head, from which tokens are removed where the configuration says so. It sends no response, counts nothing and does
not wait: `waits_for` names the issuer whose keys, once fetched, may change the verdict.
"""

from lbjwt._error_reason cimport ErrorReason
from lbjwt._fastverify cimport (
    CLAIM_REFUSED, CLIENT_REFUSED, INSUFFICIENT_SCOPE, INTERNAL, KEYS_UNAVAILABLE, MALFORMED, MISSING, NONE, NO_CLUSTER,
    RATE_LIMITED, SUBJECT_REFUSED, UNKNOWN_KEY, WRONG_ISSUER, record,
)
from lbjwt._grants cimport REASON_BITS, REPORTED
from lbjwt.http1._answer cimport Answer
from lbjwt.http1._forwarded cimport forwarded_for
from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.proxy._cluster_choice cimport NO_CHOICE, ClusterChoice
from lbjwt.proxy._route cimport Route
from lbjwt.routing._router cimport NO_ROUTE, OWN

cdef enum:
    FORWARDED = 8                # newest entries of X-Forwarded-For that are looked at: no site has more proxies in a row
    ADDRESS = 64                 # characters; no address is longer


cdef bint is_suspicious(DenyReason reason) noexcept:
    return reason not in (
        MISSING, INSUFFICIENT_SCOPE, CLAIM_REFUSED, SUBJECT_REFUSED, CLIENT_REFUSED, NO_CLUSTER, KEYS_UNAVAILABLE, RATE_LIMITED, INTERNAL)


cdef Slice bare_address(Slice entry) noexcept:
    """An entry of X-Forwarded-For without the port that some proxies write: `192.0.2.1:4711`, `[2001:db8::1]:443`, `[2001:db8::1]`."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t colons = 0
    cdef Py_ssize_t first = 0
    if entry.size > 1 and entry.at[0] == c"[":
        while at < entry.size and entry.at[at] != c"]":
            at += 1
        return Slice(entry.at + 1, at - 1)
    for at in range(entry.size):
        if entry.at[at] == c":":
            colons += 1
            if colons == 1:
                first = at
    return Slice(entry.at, first) if colons == 1 else entry


cdef class Admission:

    def __init__(self, Gate gate not None, routes, *, Router router=None, documents=(), Offenders offenders=None,
                 trusts=None):
        self.gate = gate
        self.router = router
        self.routes = tuple(routes)
        self.documents = tuple(documents)
        self.offenders = offenders
        self.trusts = trusts
        self.path = Buffer.__new__(Buffer)
        if not self.routes or (router is None and len(self.routes) > 1):
            raise ValueError("there is one route, or a router to choose among several")

    cdef void authorize(self, RequestHead head, Grant hint, Slice peer, bint trusted, double now, Authorization decided):
        cdef Demand demand
        cdef DenyReason reason = NONE
        cdef DenyReason verdict
        decided.clear()
        if head.recalled is not None:
            hint = head.recalled
        self._peer = peer
        self._trusted = trusted
        try:
            self._find_route(head, decided)
            if decided.route is None:
                return
            for demand in decided.route.demands:
                verdict = self._meet(demand, head, hint, now, decided)
                if verdict != NONE:
                    reason = reason if reason != NONE else verdict
                    if self.trace is None:
                        break
                hint = None                          # it is of the first demand
            if reason == UNKNOWN_KEY:
                decided.waits_for = decided.issuer
            if decided.route.choice is not None and (reason == NONE or decided.route.report_only):
                verdict = self._choose(head, decided.grant if reason == NONE else None, decided)
                reason = reason if reason != NONE else verdict
            if decided.route.rewrite is not None and (reason == NONE or decided.route.report_only):
                verdict = self._rewrite(decided)
                reason = reason if reason != NONE else verdict
            if reason == NONE or decided.route.report_only:
                decided.route.strip(head)
        except BaseException as fault:
            reason = INTERNAL
            self.gate.note(fault)
            if decided.route is None:
                decided.error = ErrorReason.INTERNAL_ERROR      # which route it was for is not known
        if reason != NONE:
            decided.grant = None                        # not verified: the endpoint gets no identity
            decided.other_grants = None
            decided.identity = b""
            decided.reported = NONE                     # the refusal counts, not what a rule would have refused
            if decided.route is not None and decided.route.report_only and reason != INTERNAL:
                decided.reported = reason
                decided.reported_issuer = decided.issuer
                reason = NONE
        elif decided.grant is not None:
            decided.issuer = decided.grant.issuer_index
        if decided.reported != NONE:
            decided.identity = decided.identity + decided.route.would_refuse(decided.reported)
        decided.reason = reason

    cdef void _find_route(self, RequestHead head, Authorization decided):
        cdef int index = 0
        if self.router is not None:
            index = self.router.match(head, self.path)
        if index >= 0:
            decided.route = <Route>self.routes[index]
        elif index <= OWN:
            decided.document = <Answer>self.documents[OWN - index]
        else:
            decided.error = ErrorReason.NO_ROUTE if index == NO_ROUTE else ErrorReason.AMBIGUOUS_PATH

    cdef DenyReason _choose(self, RequestHead head, Grant grant, Authorization decided):
        cdef ClusterChoice choice = decided.route.choice
        cdef Slice address = Slice(NULL, 0)
        if choice.by_address:
            address = self.source(head, self._peer, self._trusted)
        decided.cluster = choice.choose(grant, address)
        cdef DenyReason reason = NO_CLUSTER if decided.cluster == NO_CHOICE else NONE
        record(self.trace, "cluster", reason, None if reason != NONE or choice.drawn else choice.names[decided.cluster])
        return reason

    cdef DenyReason _rewrite(self, Authorization decided):
        decided.path = decided.route.rewrite.beginning_for(decided.grant, self.gate.cache)
        cdef DenyReason reason = CLAIM_REFUSED if decided.path is None else NONE
        record(self.trace, "path", reason, decided.path)
        return reason

    cdef DenyReason _meet(self, Demand demand, RequestHead head, Grant hint, double now, Authorization decided):
        cdef const char *token = NULL
        cdef Py_ssize_t size = 0
        cdef unsigned found = 0
        cdef int verdict
        cdef bytes text
        cdef Grant grant
        cdef DenyReason reason = demand.find(head, &token, &size, &found)
        if reason != NONE:
            decided.issuer = -1
            record(self.trace, "place", reason, None)
            return NONE if reason == MISSING and decided.route.allow_missing else reason
        if size > self.gate.max_token:
            decided.issuer = -1
            if self.trace is not None:
                record(self.trace, "place", NONE, token[:size])
                record(self.trace, "token.size", MALFORMED, None)
            return MALFORMED
        if self.gate.recognises(hint, token, size, now):
            grant = hint
        else:
            text = token[:size]
            grant = self.gate.recall(text, now)
            if grant is None:
                grant = self._first_seen(demand, found, head, text, now, &reason, decided)
                if grant is None:
                    return reason if reason != NONE else INTERNAL
        decided.issuer = grant.issuer_index
        if not demand.may_stand(grant, found):
            return WRONG_ISSUER
        verdict = demand.verdict(grant)
        reason = <DenyReason>(verdict & REASON_BITS)
        if verdict & REPORTED:
            if decided.reported == NONE:
                decided.reported = reason
                decided.reported_issuer = decided.issuer
        elif reason != NONE:
            return reason
        if decided.grant is None:
            decided.grant = grant
            decided.identity = grant.identity_headers
        else:
            decided.other_grants = [grant] if decided.other_grants is None else [*decided.other_grants, grant]
            decided.identity = decided.identity + grant.identity_headers
        return NONE

    cdef Grant _first_seen(self, Demand demand, unsigned found, RequestHead head, bytes token, double now, DenyReason *reason, Authorization decided):
        cdef Grant grant
        cdef Slice source
        if self.offenders is not None:
            source = self.source(head, self._peer, self._trusted)
            if self.offenders.over(source.at, source.size, coarse_monotonic()):
                decided.issuer = -1
                reason[0] = RATE_LIMITED             # tokens known to be good still pass: others may share the address
                return None
        record(self.trace, "place", NONE, token)
        record(self.trace, "token.size", NONE, None)
        grant = self.gate.judge(token, now, reason, &decided.issuer, self.trace)
        if self.trace is not None and decided.issuer >= 0:
            demand.tell(self.trace, decided.issuer, found)
        return grant

    cdef Slice source(self, RequestHead head, Slice peer, bint trusted):
        cdef Slice entries[FORWARDED]
        cdef Slice element
        cdef Py_ssize_t count, number
        if not trusted:
            return peer
        count = forwarded_for(head._fields, head._fields + head._count, entries, FORWARDED)
        for number in range(count - 1, max(-1, count - FORWARDED - 1), -1):
            element = bare_address(entries[number % FORWARDED])
            if element.size > ADDRESS or self.trusts is None or not self.trusts(element.at[:element.size].decode("latin-1")):
                return element                       # the newest entry that is no proxy of ours
        return peer

    def with_router(self, Router router not None):
        """The same routes and gate with another router, and no documents of our own."""
        return Admission(self.gate, self.routes, router=router, offenders=self.offenders, trusts=self.trusts)

    def decide(self, RequestHead head not None, double now, bytes peer=b"", list trace=None):
        """
        `authorize` for Python: route, DenyReason, what is only reported, the first token's grant, identity header lines. The head of a request that
        passes gets the path that endpoints see.

        trace: gets (step, DenyReason, value) for each step, NONE for one that was met. `place` begins each token that the route asks for; the last
        step, `answer`, has the ErrorReason when there is no route, and the document that is the answer. Only tokens that no cache knows are told.
        """
        cdef Authorization decided = Authorization.__new__(Authorization)
        self.trace = trace
        self.authorize(head, None, Slice(peer, len(peer)), False, now, decided)
        if decided.path is not None and decided.reason == NONE:
            decided.route.rewrite.apply(head, decided.path)
        if trace is not None:
            record(trace, "answer", 0, (decided.error, decided.document))
            self.trace = None
        return decided.route, decided.reason, decided.reported, decided.grant, decided.identity
