"""
Doors into the objects that serve, for whoever tells what they decide.

Decides nothing: each function asks one part of an admission what it would say, or shows what it is made of. What is explained through these is
explained by the very rules that requests meet, not by a copy of them.
"""

from lbjwt._compact cimport Parts, decoded, split
from lbjwt._error_reason cimport error_status
from lbjwt._fastverify cimport DenyReason, Gate, Verification
from lbjwt._grants cimport Grant
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport RequestHead
from lbjwt.proxy._admission cimport Admission
from lbjwt.proxy._answer cimport Answer
from lbjwt.proxy._health cimport Health
from lbjwt.proxy._route cimport Demand, Route

from lbjwt._fastverify import DenyReason as Reasons

from lbjwt.explain.model import Decision, Judge

cdef object _Decision = Decision
cdef object _Judge = Judge


def decide(Admission admission not None, RequestHead head not None, double now):
    cdef Slice nobody = Slice(NULL, 0)
    admission.judge(head, None, nobody, False, now)
    return _Decision(
        route=admission.route, document=admission.document, status=error_status(admission.error), reason=Reasons(<int>admission.reason),
        reported=Reasons(<int>admission.reported), issuer=admission.issuer, identity=admission.identity,
    )


def health_answer(str path not None, RequestHead head not None):
    cdef Health health = Health(path)
    return health.answer(head, True) if health.is_for(head.target, Buffer()) else None


def router_of(Admission admission not None):
    return admission.router


def routes_of(Admission admission not None):
    return admission.routes


def refusal(Route route not None, DenyReason reason, RequestHead head not None, bint https):
    cdef Answer answer = route.refusal(reason, head, https)
    return answer


def find_token(Demand demand not None, RequestHead head not None):
    cdef const char *token = NULL
    cdef Py_ssize_t size = 0
    cdef unsigned found = 0
    cdef DenyReason reason = demand.find(head, &token, &size, &found)
    if reason != DenyReason.NONE:
        return Reasons(<int>reason), None, 0
    return Reasons.NONE, token[:size], found


def may_stand(Demand demand not None, Py_ssize_t issuer, unsigned found):
    return demand.may_stand(Grant(b"", issuer_index=issuer), found)


def rules_of(Demand demand not None):
    return demand._rules


def selection_of(Gate gate not None):
    return gate._select


def allows_padding(Gate gate not None):
    return gate._allow_padding


def judge_of(Gate gate not None, Py_ssize_t issuer):
    cdef Verification verification = gate._issuers[issuer]
    return _Judge(
        resolve=verification._resolve, rules=verification._rules, identity=verification._identity, revoked=verification._revoked,
        allow_padding=verification._allow_padding,
    )


def segments_of(bytes token not None):
    cdef Parts parts
    cdef const char *text = token
    if not split(text, len(token), &parts):
        return None
    return (
        token[:parts.header_size], token[parts.payload_at:parts.payload_at + parts.payload_size],
        token[parts.signature_at:parts.signature_at + parts.signature_size],
    )


def decode(bytes segment not None, bint padding):
    return decoded(segment, len(segment), padding)
