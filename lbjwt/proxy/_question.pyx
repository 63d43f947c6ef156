"""
A question of a protocol that is not HTTP's own, such as ext_authz by gRPC or SPOE: judged, counted and logged like a request on a listener with
`mode: authorize`.
"""

from lbjwt._error_reason cimport ErrorReason
from lbjwt.auth._callers cimport Caller
from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._request cimport COMPLETE, RequestHead
from lbjwt.net._clock cimport coarse_monotonic, wall_clock
from lbjwt.proxy._admission cimport Admission
from lbjwt.proxy._authorization cimport Authorization
from lbjwt.proxy._exchange cimport REQUEST_ID_SIZE, new_exchange


cdef class Question(ClientStream):

    def __cinit__(self):
        self.waits_for = -1

    cdef void ask(self, bytes text):
        self._ask(text, False)

    cdef void _ask(self, bytes text, bint again):
        cdef ProxyContext context = self.context
        cdef RequestHead head = context.request_head
        cdef Admission admission = context.snapshot.asked
        cdef Authorization authorization = context.authorization
        cdef char request_id[REQUEST_ID_SIZE]
        cdef ErrorReason problem
        if head.parse(text, len(text), 0, self.policy, None if self.hint is None else self.hint.token) != COMPLETE or head.size != len(text):
            problem = head.problem or ErrorReason.GRAMMAR
            context.board.mine.bad_requests += 1
            context.board.mine.errors[<int>problem] += 1
            context.next_request_id(request_id)
            self.answer(self.authorizer.adapted(context.answer(problem, False, Caller.NO_GRPC)), Slice(&request_id[0], REQUEST_ID_SIZE))
            self.released()
            return
        admission.authorize(head, self.hint, self.peer(), True, wall_clock(), authorization)
        if authorization.waits_for >= 0 and not again and self._wait_for_keys(authorization.waits_for):
            self.text = text
            return
        if authorization.grant is not None:
            self.hint = authorization.grant
        self.text = None
        self.exchange = new_exchange(context, self)
        self.exchange.begin(head, self.policy, self.peer(), True, NULL, 0, True)

    cdef bint _wait_for_keys(self, Py_ssize_t issuer):
        cdef ProxyContext context = self.context
        try:
            if not context.key_wait.enter(self, issuer):
                return False
        except Exception as fault:               # the question does not wait, its token is refused
            context.snapshot.gate.note(fault)
            return False
        self.waits_for = issuer
        self.deadline = coarse_monotonic() + context.key_wait.max_wait
        context.watched.add(self)
        return True

    cdef void _end_key_wait(self):
        if self.waits_for >= 0:
            self.context.key_wait.leave(self, self.waits_for)
            self.context.watched.discard(self)
            self.waits_for = -1
            self.deadline = 0.0

    cdef void authorize_again(self):
        if self.waits_for >= 0:
            self._end_key_wait()
            self._ask(self.text, True)

    cdef void expired(self):
        self.authorize_again()

    cdef void give_up(self):
        self._end_key_wait()
        self.text = None

    cdef void end(self):
        self.give_up()

    cdef Slice peer(self):
        return Slice(<const char *>self.peer_text, len(self.peer_text))

    cdef void released(self):
        self.exchange = None
