"""
The answers of a listener with `mode: authorize`, where other listeners forward: made once for each content, and kept.

`auth/decision.py` has the rules: what an answer says, and which statuses a proxy can take.
"""

from lbjwt.auth.decision import decision_of

cdef object _decision_of = decision_of

cdef enum:
    REMEMBERED = 512             # answers that are kept; when there are more, all are made anew


cdef class Authorizer:

    def __init__(self, OriginalRequest original not None, *, allow, adapt, bint redirects=True, CheckSettings check=None):
        self.original = original
        self.redirects = redirects
        self.check = check
        self._allow = allow
        self._adapt = adapt
        self._allowed = {}
        self._adapted = {}
        self._decisions = {}

    cdef Answer allowed(self, bytes identity):
        return <Answer?>_made(self._allowed, identity, self._allow)

    cdef Answer refusal(self, Route route, DenyReason reason, RequestHead head):
        return route.http_refusal(reason, head, self.original.https, self.redirects)

    cdef Answer adapted(self, Answer answer):
        if 300 <= answer.status < 400:           # each is another one
            return answer
        return <Answer?>_made(self._adapted, answer, self._adapt)

    cdef object decision(self, Answer answer):
        if 300 <= answer.status < 400:
            return _decision_of(answer)
        return _made(self._decisions, answer, _decision_of)


cdef object _made(dict kept, object content, object make):
    cdef object answer = kept.get(content)
    if answer is None:
        answer = make(content)
        if len(kept) >= REMEMBERED:
            kept.clear()
        kept[content] = answer
    return answer
