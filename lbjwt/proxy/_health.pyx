"""Health checks on the traffic port: which requests are some, and their responses."""

from libc.string cimport memcmp

from lbjwt.http1._grammar cimport before_query
from lbjwt.http1._request cimport GET, HEAD
from lbjwt.routing._path cimport is_plain, put_canonical

cdef Answer _answer(int status, bytes body, bytes further=b""):
    # The answer of a moment: a cache in between must not keep it.
    return Answer(status, further + b"Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n", body)


cdef class Health:

    def __init__(self, str path not None):
        self.path = path.encode("ascii")
        self._ready = _answer(200, b"ready\n")
        self._unready = _answer(503, b"not ready\n", b"Retry-After: 1\r\n")
        self._other_method = _answer(405, b"method not allowed\n", b"Allow: GET, HEAD\r\n")

    cdef bint is_for(self, Slice target, Buffer scratch) except -1:
        target = before_query(target)
        if target.size < len(self.path):
            return False                         # the one spelling of a path is never longer than another
        if not is_plain(target):
            scratch.clear()
            scratch.reserve(target.size)
            target.size = put_canonical(scratch.data, target)
            target.at = scratch.data
        return target.size == len(self.path) and memcmp(target.at, <const char *>self.path, target.size) == 0

    def answer_to(self, RequestHead head not None):
        """The answer while the service is ready; None when the request is no health check."""
        return self.answer(head, True) if self.is_for(head.target, Buffer()) else None

    cdef Answer answer(self, RequestHead head, bint ready):
        if head.method != GET and head.method != HEAD:
            return self._other_method
        return self._ready if ready else self._unready
