"""
Envoy's `ext_authz` filter by gRPC: one unary call, `envoy.service.auth.v3.Authorization/Check`, whose message describes a request.

The stream of the call is that of the exchange: here is what is read from its message, and what its answer says. Beside what every profile answers,
Envoy takes dynamic metadata, removes parameters of the query, and replaces the `Cookie` header by one without tokens.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.string cimport memcmp

from lbjwt.ext_authz._check_request cimport Check, is_https, read_check, write_head
from lbjwt.ext_authz._check_response cimport allowed, denied
from lbjwt.ext_authz._check_response import struct_of
from lbjwt.http1._buffer cimport Field
from lbjwt.http1._names cimport DROPPED
from lbjwt.http1._request cimport POST
from lbjwt.http1._scan cimport equals

cdef enum:
    PREFIX = 5                   # bytes before a message: whether it is compressed, and its length
    MAX_MESSAGE = 262144         # bytes: a request head of the largest limit, twice, and attributes; Envoy is not to send bodies of requests

cdef char *PATH = b"/envoy.service.auth.v3.Authorization/Check"
cdef object _struct_of = struct_of


cdef class CheckSettings:

    def __init__(self, *, claims=(), parameters=(), bint cookies=False):
        self.claims = tuple(claims)
        self.parameters = [name.encode() for name in parameters]
        self.cookies = cookies


cdef class CheckCall:

    def __cinit__(self):
        self.message = bytearray()

    cdef bint take(self, bytes data):
        if len(self.message) + len(data) > MAX_MESSAGE:
            return False
        self.message += data
        return True

    cdef ErrorReason read(self, Buffer out) except *:
        cdef Check check
        cdef bytes head = bytes(self.message[:PREFIX])
        cdef Py_ssize_t size = len(self.message) - PREFIX
        self.client = None
        if size < 0 or head[0] != 0 or int.from_bytes(head[1:], "big") != size:
            return ErrorReason.NOT_DESCRIBED
        if not read_check(Slice(PyByteArray_AS_STRING(self.message) + PREFIX, size), &check) or not write_head(out, &check):
            return ErrorReason.NOT_DESCRIBED
        self.client = check.client.at[:check.client.size] if check.client.size else b"unix"
        self.https = is_https(&check)
        self.message = None
        return ErrorReason.NO_ERROR


cdef bint is_check(RequestHead head) noexcept:
    cdef Field *field = head._fields
    cdef Field *end = field + head._count
    if head.method != POST or head.target.size != 42 or memcmp(head.target.at, PATH, 42) != 0:
        return False
    while field < end:
        if equals(field.name, b"content-type", 12):
            return field.value.size >= 16 and memcmp(field.value.at, b"application/grpc", 16) == 0
        field += 1
    return False


cdef bytes answer_message(object decision, CheckSettings settings, RequestHead head, Authorization authorization):
    cdef bytes message
    if decision.allowed and authorization is not None:
        message = _allowed(decision, settings, head, authorization)
    elif decision.allowed:
        message = denied(503, [], b"")           # a fault of ours: nothing was decided
    else:
        message = denied(decision.status, list(decision.headers), decision.body)
    return b"\0" + len(message).to_bytes(PREFIX - 1, "big") + message


cdef bytes _allowed(object decision, CheckSettings settings, RequestHead head, Authorization authorization):
    cdef Field *field = head._fields
    cdef Field *end = field + head._count
    cdef list put = []
    cdef list removed = list(decision.remove)
    cdef list cookies = []
    cdef bint cut = False
    cdef bytes metadata = b""
    cdef dict claims
    for name, value in decision.headers:
        if value:
            put.append((name, value))
        else:
            removed.append(name)
    while field < end:
        if settings.cookies and equals(field.name, b"cookie", 6):
            cut = True
            if field.kind != DROPPED:
                cookies.append(field.value.at[:field.value.size])
        field += 1
    if cookies:
        put.append((b"cookie", b"; ".join(cookies)))
    elif cut:
        removed.append(b"cookie")
    if settings.claims and authorization.grant is not None:
        claims = dict(authorization.grant.claims)
        metadata = _struct_of({name: claims[name] for name in settings.claims if name in claims})
    return allowed(put, removed, settings.parameters, metadata)
