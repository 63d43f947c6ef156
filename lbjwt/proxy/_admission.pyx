"""
May this request pass? The route is found, each token it asks for is found, recognised or verified, and held against the route.

Knows the order of decisions. Changes nothing but the head: what is let through has its tokens taken out where the configuration says so.
Answers nobody, counts nothing, waits for nothing: it only says that a moment's waiting for keys could help.
"""

from lbjwt._fastverify cimport (
    INTERNAL, MALFORMED, MALFORMED_CREDENTIALS, MISSING, NONE, RATE_LIMITED, REASON_BITS, REPORTED, UNKNOWN_KEY, WRONG_ISSUER,
)
from lbjwt.net._wire cimport coarse_monotonic
from lbjwt.routing._router cimport NO_ROUTE, OWN


cdef class Admission:

    def __init__(self, Gate gate not None, routes, *, Router router=None, documents=(), Offenders offenders=None):
        self.gate = gate
        self.router = router
        self.routes = tuple(routes)
        self.documents = tuple(documents)
        self.offenders = offenders
        self.path = Buffer.__new__(Buffer)
        if not self.routes or (router is None and len(self.routes) > 1):
            raise ValueError("there is one route, or a router to choose among several")

    cdef void judge(self, RequestHead head, Grant hint, Slice client, double now):
        cdef Demand demand
        cdef DenyReason reason = NONE
        self._forget()
        self.client = client
        try:
            self._find_route(head)
            if self.route is None:
                return
            for demand in self.route.demands:
                reason = self._meet(demand, head, hint, now)
                if reason != NONE:
                    break
                hint = None                          # it is of the first demand
            if reason == UNKNOWN_KEY:
                self.waits_for = self.issuer
            if reason == NONE or self.route.report_only:
                for demand in self.route.demands:
                    demand.strip(head)
        except BaseException as fault:
            reason = INTERNAL
            self.gate.note(fault)
            if self.route is None:
                self.status = 503                    # which route it was for is not known
        if reason != NONE:
            self.grant = None                        # nobody vouches for it: the endpoint gets no identity
            self.others = None
            self.identity = b""
            self.reported = NONE                     # a rule that only reports has let nobody through
            if self.route is not None and self.route.report_only and reason != INTERNAL:
                self.reported = reason
                self.reported_issuer = self.issuer
                reason = NONE
        elif self.grant is not None:
            self.issuer = self.grant.issuer_index
        self.reason = reason

    cdef void _find_route(self, RequestHead head):
        cdef int index = 0
        if self.router is not None:
            index = self.router.match(head, self.path)
        if index >= 0:
            self.route = <Route>self.routes[index]
        elif index <= OWN:
            self.document = <Answer>self.documents[OWN - index]
        else:
            self.status = 404 if index == NO_ROUTE else 400

    cdef DenyReason _meet(self, Demand demand, RequestHead head, Grant hint, double now):
        cdef const char *token = NULL
        cdef Py_ssize_t size = 0
        cdef unsigned found = 0
        cdef int verdict
        cdef Grant grant
        cdef DenyReason reason = demand.find(head, &token, &size, &found)
        if reason != NONE:
            self.issuer = -1
            return NONE if reason == MISSING and self.route.allow_missing else reason
        if size > self.gate.max_token:
            self.issuer = -1
            return MALFORMED
        grant = self._admit(token, size, hint, now, &reason)
        if grant is None:
            return reason if reason != NONE else INTERNAL
        self.issuer = grant.issuer_index
        if not demand.may_stand(grant, found):
            return WRONG_ISSUER
        verdict = demand.verdict(grant)
        reason = <DenyReason>(verdict & REASON_BITS)
        if verdict & REPORTED:
            if self.reported == NONE:
                self.reported = reason
                self.reported_issuer = self.issuer
        elif reason != NONE:
            return reason
        if self.grant is None:
            self.grant = grant
            self.identity = grant.identity_headers
        else:
            self.others = [grant] if self.others is None else [*self.others, grant]
            self.identity = self.identity + grant.identity_headers
        return NONE

    cdef Grant _admit(self, const char *token, Py_ssize_t size, Grant hint, double now, DenyReason *reason):
        cdef Grant grant
        cdef bytes text
        reason[0] = NONE
        if self.gate.recognises(hint, token, size, now):
            return hint
        text = token[:size]
        grant = self.gate.recall(text, now)
        if grant is not None:
            return grant
        if self.offenders is not None and self.offenders.over(self.client.at, self.client.size, coarse_monotonic()):
            self.issuer = -1
            reason[0] = RATE_LIMITED                 # tokens known to be good still pass: others may share the address
            return None
        return self.gate.judge(text, now, MALFORMED_CREDENTIALS, reason, &self.issuer)

    cdef void _forget(self) noexcept:
        self.route = None
        self.document = None
        self.status = 0
        self.grant = None
        self.others = None
        self.identity = b""
        self.reason = self.reported = NONE
        self.issuer = self.reported_issuer = self.waits_for = -1

    def decide(self, RequestHead head not None, double now, bytes peer=b""):
        self.judge(head, None, Slice(peer, len(peer)), now)
        return self.route, self.reason, self.reported, self.grant, self.identity
