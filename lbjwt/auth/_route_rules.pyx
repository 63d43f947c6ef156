"""
What one route asks of a verified token: issuer, audience, scopes, claim rules.

Runs once per token and route; the exchange remembers the verdict with the grant. Knows claims and the number of the issuer. No time: a
grant ends by itself, and what the clock could change is the issuer's policy.
"""

cimport cython

from lbjwt._fastverify cimport DenyReason
from lbjwt.auth._membership cimport judge_audience, judge_scopes
from lbjwt.auth._rules cimport TRUE, UNKNOWN, Rule

from lbjwt.auth._rules import compile_rule
from lbjwt.auth.outcome import Outcome, scopes_shown, shown

cdef enum Step:
    ISSUER
    AUDIENCE
    SCOPES_ALL
    SCOPES_ANY
    FIRST_RULE                   # and one step for each further rule

cdef object _Outcome = Outcome


@cython.final
cdef class RouteRules:
    def __init__(self, policy):
        self.policy = policy
        self._issuers = policy.issuers
        self._audiences = None if policy.audiences is None else frozenset(policy.audiences)
        self._scopes_all = frozenset(policy.scopes_all) or None
        self._scopes_any = frozenset(policy.scopes_any) or None
        self._rules = tuple([compile_rule(entry.rule) for entry in policy.rules])
        self._report_only = tuple([bool(entry.report_only) for entry in policy.rules])
        self.asks_nothing = (self._issuers is None and self._audiences is None and self._scopes_all is None
                             and self._scopes_any is None and not self._rules)

    cdef int judge(self, dict claims, int issuer, DenyReason *reported) except -1:
        cdef int step, verdict
        reported[0] = DenyReason.NONE
        for step in range(<int>FIRST_RULE + <int>len(self._rules)):
            verdict = self._check(step, claims, issuer)
            if verdict == DenyReason.NONE:
                continue
            if not self._only_reports(step):
                reported[0] = DenyReason.NONE
                return verdict
            if reported[0] == DenyReason.NONE:
                reported[0] = <DenyReason>verdict
        return DenyReason.NONE

    cdef int _check(self, int step, dict claims, int issuer) except -1:
        """One step's DenyReason; NONE also when the policy does not ask for it."""
        if step == ISSUER:
            return DenyReason.NONE if self._issuers is None or issuer in self._issuers else DenyReason.WRONG_ISSUER
        if step == AUDIENCE:
            return DenyReason.NONE if self._audiences is None else judge_audience(claims, self._audiences)
        if step == SCOPES_ALL:
            return DenyReason.NONE if self._scopes_all is None else judge_scopes(claims, self._scopes_all, False)
        if step == SCOPES_ANY:
            return DenyReason.NONE if self._scopes_any is None else judge_scopes(claims, self._scopes_any, True)
        # unknown is refused like false: nothing passes for want of a claim or by its wrong type
        return DenyReason.NONE if (<Rule>self._rules[step - FIRST_RULE]).judge(claims) == TRUE else DenyReason.CLAIM_REFUSED

    cdef bint _only_reports(self, int step):
        return step >= FIRST_RULE and self._report_only[step - FIRST_RULE]

    def decide(self, dict claims not None, int issuer):
        """The reason to refuse, and the first one that was only reported; at most one of them is not NONE."""
        cdef DenyReason reported = DenyReason.NONE
        cdef DenyReason verdict = <DenyReason>self.judge(claims, issuer, &reported)
        return verdict, reported

    def explain(self, dict claims not None, int issuer):
        """Every check of the route in order, also those after the first that refuses."""
        cdef list outcomes = []
        cdef int step, verdict
        cdef Rule rule
        for step in range(<int>FIRST_RULE):
            what = self._asked(step)
            if what is None:
                continue
            verdict = self._check(step, claims, issuer)
            outcomes.append(_Outcome(what, self._word(step, verdict, False), self._found(step, claims)))
        for step in range(<int>FIRST_RULE, <int>FIRST_RULE + <int>len(self._rules)):
            rule = <Rule>self._rules[step - FIRST_RULE]
            verdict = self._check(step, claims, issuer)
            outcomes.append(_Outcome(
                self.policy.rules[step - FIRST_RULE].name or str(rule),
                self._word(step, verdict, rule.judge(claims) == UNKNOWN),
                "; ".join([f"{test.rule}: {test.outcome}, {test.detail}" for test in rule.explain(claims)]),
            ))
        return outcomes

    def _word(self, int step, int verdict, bint unknown):
        if verdict == DenyReason.NONE:
            return "met"
        if self._only_reports(step):
            return "reported"
        return "unknown" if unknown else "refused"

    def _asked(self, int step):
        """What the policy asks for in a step, for the eye; None for nothing."""
        if step == ISSUER and self._issuers is not None:
            return "one of the route's issuers"
        if step == AUDIENCE and self._audiences is not None:
            return f"audience: one of {', '.join(self.policy.audiences)}"
        if step == SCOPES_ALL and self._scopes_all is not None:
            return f"scopes: all of {' '.join(self.policy.scopes_all)}"
        if step == SCOPES_ANY and self._scopes_any is not None:
            return f"scopes: one of {' '.join(self.policy.scopes_any)}"
        return None

    def _found(self, int step, dict claims):
        if step == ISSUER:
            return f"iss is {shown(claims.get('iss'))}"
        if step == AUDIENCE:
            return f"aud is {shown(claims.get('aud'))}"
        return scopes_shown(claims)
