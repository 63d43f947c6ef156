"""
What one route requires of a verified token: issuer, audience, scopes, claim rules.

Runs once per token and route; the exchange keeps the verdict with the grant. Nothing here depends on the time: the issuer's policy does.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from lbjwt._fastverify cimport DenyReason, record
from lbjwt._grants cimport MEMOS
from lbjwt.auth._membership cimport judge_audience, judge_scopes
from lbjwt.auth._rules cimport TRUE, Rule

from hashlib import sha256
from weakref import WeakValueDictionary

from lbjwt.auth._rules import compile_rule
from lbjwt.errors import ConfigurationError

cdef enum Step:
    ISSUER
    AUDIENCE
    SCOPES_ALL
    SCOPES_ANY
    FIRST_RULE                   # and one step for each further rule

cdef tuple NAMES = ("rules.issuers", "rules.audience", "rules.scopes_all", "rules.scopes_any")
cdef uint64_t _numbers = 0
cdef object _in_use = WeakValueDictionary()      # SHA-256 of a policy's text -> its RouteRules, as long as some route has them


cdef uint32_t _next_number() except 0:
    """A token remembers verdicts under 32 bits (16 bytes less than 64 bits would take), so numbers run out after four billion changed rules."""
    global _numbers
    if _numbers == 0xffffffff:
        raise ConfigurationError("routes: the rules changed too often for one process; restart it")
    _numbers += 1
    return <uint32_t>_numbers


cdef uint32_t new_number(uint32_t avoid) except 0:
    cdef uint32_t number = _next_number()
    while avoid and number % MEMOS == avoid % MEMOS:
        number = _next_number()
    return number


def route_rules(policy):
    """
    The compiled rules of a RoutePolicy. Equal policies share them, so verdicts that a token remembers outlive a reload that left its route alone.

    Equal is what reads the same: to Python 1 and True are equal, and to a rule they are not.
    """
    cdef bytes text = sha256(repr(policy).encode("utf-8", "surrogatepass")).digest()
    rules = _in_use.get(text)
    if rules is None:
        rules = _in_use[text] = RouteRules(policy)
    return rules


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
        self.number = 0 if self.asks_nothing else _next_number()

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
        # UNKNOWN is refused like FALSE
        return DenyReason.NONE if (<Rule>self._rules[step - FIRST_RULE]).judge(claims) == TRUE else DenyReason.CLAIM_REFUSED

    cdef bint _only_reports(self, int step):
        return step >= FIRST_RULE and self._report_only[step - FIRST_RULE]

    def decide(self, dict claims not None, int issuer):
        """The reason to refuse, and the first one that was only reported; at most one of them is not NONE."""
        cdef DenyReason reported = DenyReason.NONE
        cdef DenyReason verdict = <DenyReason>self.judge(claims, issuer, &reported)
        return verdict, reported

    cdef int tell(self, dict claims, int issuer, list trace) except -1:
        cdef int step
        cdef list tests
        cdef Rule rule
        for step in range(<int>FIRST_RULE):
            record(trace, NAMES[step], self._check(step, claims, issuer), None)
        for step in range(<int>FIRST_RULE, <int>FIRST_RULE + <int>len(self._rules)):
            rule = <Rule>self._rules[step - FIRST_RULE]
            tests = []
            rule.tell(claims, tests)
            record(trace, "rules.claims", self._check(step, claims, issuer), (self.policy.rules[step - FIRST_RULE], rule.judge(claims), tests))
        return 0
