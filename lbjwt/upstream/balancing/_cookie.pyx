"""
Cookie affinity: a client comes back to the endpoint that served it first, by a cookie that lbjwt sets.

The value is a keyed hash of the endpoint's address: it tells nothing about addresses, and nobody can make one up. When its endpoint cannot be used,
or is no member any more, least requests picks another one, and the response renews the cookie.
"""

import hmac

from lbjwt.upstream._request cimport UpstreamRequest
from lbjwt.upstream.balancing._balancing cimport Balancing
from lbjwt.upstream.balancing._key cimport KeySource
from lbjwt.upstream.balancing._least_requests cimport LeastRequests
from lbjwt.upstream.balancing._members cimport Members

cdef enum:
    VALUE = 32                   # characters: 128 bits


cdef class Cookie(Balancing):
    cdef LeastRequests _otherwise
    cdef bytes _key
    cdef dict _positions                         # index of the member by the value of its cookie
    cdef list _values                            # the value, by index

    def __init__(self, str name not None, bytes key not None):
        """name: of the cookie. key: the same in all workers."""
        self.looks_at = KeySource("affinity", name)
        self._otherwise = LeastRequests()
        self._key = key
        self._positions = {}
        self._values = []

    cdef void use(self, Members members):
        self._values = [
            hmac.digest(self._key, endpoint.label, "sha256").hex()[:VALUE].encode() for endpoint in members.endpoints
        ]
        self._positions = {value: at for at, value in enumerate(self._values)}

    cdef Py_ssize_t pick(self, Members members, UpstreamRequest request):
        cdef object known = self._positions.get(request.affinity)
        if known is not None and members.is_usable(known):
            return known
        return self._otherwise.pick(members, request)

    cdef bytes response_line(self, UpstreamRequest request, Members members, Py_ssize_t at, bint https):
        cdef bytes value
        if at >= len(self._values):
            return None
        value = self._values[at]
        if value == request.affinity:
            return None
        return b"Set-Cookie: %b=%b; Path=/; HttpOnly%b\r\n" % (self.looks_at.name, value, b"; Secure" if https else b"")
