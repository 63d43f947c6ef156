"""
The rules of `rules`, compiled to comparisons of values of one kind.

Three-valued logic after Kleene: a test of a claim that is missing or of another kind is UNKNOWN, and `all`, `any` and `not` never make TRUE out of
that alone. So a rule that passes would pass with any value of those claims.
"""

cimport cython

from lbjwt.auth.rules import MAX_NUMBER as _MAX_NUMBER, AllOf, AnyOf, ClaimTest, Not
from lbjwt.errors import ConfigurationError

cdef enum Operator:
    AMONG                        # equals, one_of
    HOLDS_ANY                    # contains, contains_any
    HOLDS_ALL                    # contains_all
    ANY_WORD                     # contains_word, contains_any_word
    ALL_WORDS                    # contains_all_words
    LESS_THAN
    AT_MOST
    MORE_THAN
    AT_LEAST
    PREFIX
    EXISTS

cdef enum Kind:
    NO_KIND                      # null, object, list, a number nobody can count with
    TEXT
    NUMBER
    BOOLEAN

cdef dict OPERATOR_OF = {
    "equals": AMONG, "one_of": AMONG, "contains": HOLDS_ANY, "contains_any": HOLDS_ANY, "contains_all": HOLDS_ALL,
    "contains_word": ANY_WORD, "contains_any_word": ANY_WORD, "contains_all_words": ALL_WORDS,
    "less_than": LESS_THAN, "at_most": AT_MOST, "more_than": MORE_THAN, "at_least": AT_LEAST, "prefix": PREFIX, "exists": EXISTS,
}
cdef object MAX_NUMBER = _MAX_NUMBER
cdef object BROKEN = ...


cdef Kind _kind_of(object value) except *:
    """Values of one kind can be compared: True and 1, which Python takes for equal, are of two (THREATS C12)."""
    if type(value) is str:
        return TEXT
    if type(value) is bool:
        return BOOLEAN
    if (type(value) is int or type(value) is float) and -MAX_NUMBER <= value <= MAX_NUMBER:
        return NUMBER
    return NO_KIND


cdef object claim_at(dict claims, tuple path):
    cdef object value = claims
    for name in path:
        if type(value) is not dict:
            return BROKEN
        value = (<dict>value).get(name)
        if value is None:
            return None
    return value


cdef class Rule:
    cpdef int judge(self, dict claims) except -2:
        raise NotImplementedError

    cdef int tell(self, dict claims, list tests) except -1:
        raise NotImplementedError


@cython.final
cdef class _Test(Rule):
    cdef tuple _path
    cdef Operator _operator
    cdef Kind _kind              # of the operand, and so of the claim or its members
    cdef object _operand         # a number or a text to compare with
    cdef frozenset _words        # AMONG, HOLDS_*, *_WORD(S): values of one kind, so that equal means equal

    cpdef int judge(self, dict claims) except -2:
        cdef object value = claim_at(claims, self._path)
        if value is BROKEN:
            return UNKNOWN
        if value is None:
            return FALSE if self._operator == EXISTS else UNKNOWN
        if self._operator == EXISTS:
            return TRUE
        if self._operator == HOLDS_ANY or self._operator == HOLDS_ALL:
            if type(value) is not list:
                return UNKNOWN
            for member in <list>value:
                if _kind_of(member) != self._kind:
                    return UNKNOWN
            return self._words.issubset(value) if self._operator == HOLDS_ALL else not self._words.isdisjoint(value)
        if _kind_of(value) != self._kind:
            return UNKNOWN
        if self._operator == AMONG:
            return value in self._words
        if self._operator == ANY_WORD or self._operator == ALL_WORDS:
            # only U+0020 separates words (RFC 6749 section 3.3)
            members = (<str>value).split(" ")
            return self._words.issubset(members) if self._operator == ALL_WORDS else not self._words.isdisjoint(members)
        if self._operator == LESS_THAN:
            return value < self._operand
        if self._operator == AT_MOST:
            return value <= self._operand
        if self._operator == MORE_THAN:
            return value > self._operand
        if self._operator == AT_LEAST:
            return value >= self._operand
        return (<str>value).startswith(self._operand)

    cdef int tell(self, dict claims, list tests) except -1:
        tests.append((self.source, self.judge(claims), claim_at(claims, self._path)))
        return 0


@cython.final
cdef class _Group(Rule):
    cdef tuple _rules
    cdef int _decides            # what one member says that settles it: FALSE for all, TRUE for any

    cpdef int judge(self, dict claims) except -2:
        cdef Rule rule
        cdef int verdict
        cdef int result = TRUE if self._decides == FALSE else FALSE
        for rule in self._rules:
            verdict = rule.judge(claims)
            if verdict == self._decides:
                return verdict
            if verdict == UNKNOWN:
                result = UNKNOWN
        return result

    cdef int tell(self, dict claims, list tests) except -1:
        cdef Rule rule
        for rule in self._rules:
            rule.tell(claims, tests)
        return 0


@cython.final
cdef class _Denial(Rule):
    cdef Rule _rule

    cpdef int judge(self, dict claims) except -2:
        cdef int verdict = self._rule.judge(claims)
        return UNKNOWN if verdict == UNKNOWN else not verdict

    cdef int tell(self, dict claims, list tests) except -1:
        self._rule.tell(claims, tests)
        if self._rule.source is self.source:  # `exists: false` is one test, so it is told as one
            source, _, value = tests.pop()
            tests.append((source, self.judge(claims), value))
        return 0


def compile_rule(rule):
    cdef _Test test
    cdef _Group group
    cdef _Denial denial
    if type(rule) is ClaimTest:
        test = _Test.__new__(_Test)
        test.source = rule
        test._path = rule.path
        test._operator = <Operator><int>OPERATOR_OF[rule.operator]
        values = rule.operand if type(rule.operand) is tuple else (rule.operand,)
        test._operand = values[0]
        test._kind = _kind_of(values[0])
        test._words = frozenset(values)
        if test._operator != EXISTS or rule.operand is not False:
            return test
        denial = _Denial.__new__(_Denial)
        denial.source = rule
        denial._rule = test
        return denial
    if type(rule) is AllOf or type(rule) is AnyOf:
        group = _Group.__new__(_Group)
        group.source = rule
        group._rules = tuple([compile_rule(member) for member in rule.rules])
        group._decides = FALSE if type(rule) is AllOf else TRUE
        return group
    if type(rule) is Not:
        denial = _Denial.__new__(_Denial)
        denial.source = rule
        denial._rule = compile_rule(rule.rule)
        return denial
    raise ConfigurationError(f"a {type(rule).__name__} is not a claim rule")
