cimport cython
from libc.stdint cimport uint64_t

from lbjwt._fastverify cimport DenyReason
from lbjwt._grants cimport Grant
from lbjwt.http1._answer cimport Answer
from lbjwt.http1._buffer cimport Buffer
from lbjwt.http1._request cimport RequestHead, RequestPolicy
from lbjwt.proxy._admission cimport Admission
from lbjwt.proxy._authorization cimport Authorization


@cython.final
cdef class Decision:
    """What was decided of one request. It passes if `status` is 0."""
    cdef readonly Grant grant            # its verified token; None if it needed none, and if it must not pass
    cdef readonly int status             # of the answer to a request that must not pass; 0: it may
    cdef readonly Answer answer          # that answer; None for an error that has none of its own
    cdef readonly int waits_for          # index of the issuer whose keys, once fetched, may change the decision; -1: none
    cdef readonly bint token_in_query    # the URL may have a token, so shared caches must not store the response (RFC 6750 section 2.3)
    cdef readonly list subprotocols      # those offered besides the token; None where no token can be among them
    cdef readonly bint names_bearer      # the token came behind the subprotocol "bearer", which the handshake then has to name
    cdef readonly double grace           # seconds for which a WebSocket outlives the expiry of its token; -1: for ever
    cdef readonly bint is_logged         # a token is refused, or would be if that were not only reported
    cdef DenyReason _reason
    cdef DenyReason _reported


@cython.final
cdef class Reader:
    """
    Reads the part of an application's requests that decides about their tokens, and decides. For any thread: they take turns.

    That part is written as the HTTP/1 head that the balancer reads, so token locations, doubled fields, quoted values and paths mean the same. Other
    fields are left out: the server that called the application has read them, and judged the message.
    """
    cdef Admission _admission
    cdef RequestPolicy _policy
    cdef RequestHead _head
    cdef Authorization _decided
    cdef Buffer _text
    cdef Grant _last                     # accepted last: a client sends the same token again
    cdef list _names                     # of fields that count, in lower case
    cdef uint64_t _sizes                 # bit n: one of them has n bytes (bit 63: 63 or more)
    cdef bint _routed                    # method, host and path count, too
    cdef bint _query                     # the query counts
    cdef bint _subprotocol               # a token can be a subprotocol

    cdef Decision _decide(self, str method, path, bytes query, fields, bint https)
    cdef int _write(self, str method, path, bytes query, fields) except -1
    cdef int _write_path(self, bytes path) except -1
    cdef bint _is_rewritten(self, const char *path, Py_ssize_t size) noexcept
    cdef Decision _refused(self, DenyReason reason, bint https)
