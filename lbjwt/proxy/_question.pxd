from lbjwt._grants cimport Grant
from lbjwt.http1._request cimport RequestPolicy
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._exchange cimport Exchange
from lbjwt.proxy._stream cimport ClientStream


cdef class Question(ClientStream):
    """
    One question of a protocol that is not HTTP's own: the head of an original request in, a decision out.

    A subclass sets `context`, `policy`, `peer_text` and `authorizer`, calls `ask`, and gets `answer(answer, request_id)`, at once or when keys have
    come; `decision_of` in `auth/decision.py` takes an answer apart. Then `released` is called, after which nothing more comes.
    """
    cdef ProxyContext context
    cdef RequestPolicy policy
    cdef bytes peer_text         # of who asks; the client is whom X-Forwarded-For names
    cdef Grant hint              # of the token that this peer's last question had, or None
    cdef Exchange exchange       # None: there is none yet, or it is over
    cdef bytes text              # of a question that waits for keys
    cdef Py_ssize_t waits_for    # the issuer of those keys; -1: it does not wait

    # text: the whole head as HTTP/1, as `http2/_fields.write_request` writes it.
    cdef void ask(self, bytes text)
    cdef void _ask(self, bytes text, bint again)
    cdef bint _wait_for_keys(self, Py_ssize_t issuer)
    cdef void _end_key_wait(self)
    # Who asked is gone: no answer is wanted.
    cdef void give_up(self)
