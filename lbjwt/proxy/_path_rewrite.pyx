"""
The path that endpoints get, for routes with `rewrite`. The router has made the client's path canonical; `routing.rewrite` has the rules.

What claims make of the path is remembered with the token, so a further request of the token reads no claim.
"""

from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._grammar cimport before_query

cdef uint64_t _numbers = 0


cdef class PathRewrite:

    def __init__(self, template, *, Py_ssize_t replaced=-1):
        """
        template: PathTemplate. replaced: bytes of the route's prefix without a slash at its end; -1 for the whole path.
        """
        global _numbers
        _numbers += 1
        self.template = template
        self.by_claims = bool(template.claims)
        self._replaced = replaced
        self._number = _numbers
        self._room = Buffer.__new__(Buffer)
        self._fixed = None if self.by_claims else self._beginning_of(template.path_for({}))

    cdef bytes _beginning_of(self, bytes path):
        return path if path is None or self._replaced < 0 else path.rstrip(b"/")

    cdef bytes beginning_for(self, Grant grant, GrantCache cache):
        cdef bytes made
        if not self.by_claims:
            return self._fixed
        if grant is None:
            raise LookupError("a path with claims needs a token")
        if grant.path_number != self._number:
            made = self._beginning_of(self.template.path_for(grant.claims))
            cache.reweigh(grant, _size(made) - _size(grant.path_beginning))
            grant.path_beginning = made
            grant.path_number = self._number
        return grant.path_beginning

    cdef int apply(self, RequestHead head, bytes beginning) except -1:
        cdef Slice path = before_query(head.target)
        cdef Py_ssize_t kept = path.size if self._replaced < 0 else self._replaced
        cdef Buffer room = self._room
        room.clear()
        room.reserve(len(beginning) + head.target.size + 1)
        room.put(beginning, len(beginning))
        if beginning == b"" and kept == path.size:
            room.put(b"/", 1)
        room.put(head.target.at + kept, head.target.size - kept)
        head.target = Slice(room.data, room.size)
        return 0


cdef Py_ssize_t _size(bytes text) noexcept:
    return 0 if text is None else len(text) + 48      # the object has 33 bytes beside its text, and the allocator rounds up
