"""
The request that another proxy asks about, on a listener with `mode: authorize`.

nginx, Caddy and Traefik send a GET of their own and describe the original request in fields; Envoy sends the original request itself. A
description becomes the head of an HTTP/1 request and is read by `RequestHead` like every other, so every rule about requests holds for it.

Only trusted peers may ask: a description decides which rules apply, and X-Forwarded-For under which address failures are counted. What is missing,
doubled or malformed is refused, never guessed.
"""

from hmac import compare_digest

from lbjwt.http1._buffer cimport Field
from lbjwt.http1._names cimport AUTHORIZATION, FORWARD, FORWARDED_FOR, REQUEST_ID
from lbjwt.http1._request cimport COMPLETE, HEAD
from lbjwt.http1._scan cimport PLAIN, all_of, equals, same


cdef int _find(RequestHead head, const char *name, Py_ssize_t size, Slice *value) noexcept:
    """How often a field came; value: set to its last value. name: in lower case."""
    cdef Field *field = head._fields
    cdef Field *end = field + head._count
    cdef int count = 0
    while field < end:
        if equals(field.name, name, size):
            value[0] = field.value
            count += 1
        field += 1
    return count


cdef bint _once(RequestHead head, const char *name, Py_ssize_t size, Slice *value) noexcept:
    return _find(head, name, size, value) == 1 and value.size > 0


cdef bint _has_other_spelling(RequestHead question, RequestPolicy policy) noexcept:
    """
    A field whose name some applications take for that of an identity header (`X_Jwt_Sub`). lbjwt removes such a field from what it forwards itself;
    another proxy passes it on, next to the header that we answer.
    """
    cdef Field *field = question._fields
    cdef Field *end = field + question._count
    while field < end:
        if policy.is_identity(field.name) and not all_of(field.name.at, field.name.size, PLAIN):
            return True
        field += 1
    return False


cdef class OriginalRequest:

    def __init__(self, Description description, trusts, *, str secret_header="", secrets=()):
        """
        trusts: whether a peer with this address may ask. secrets: one of them must be the value of `secret_header`; empty: no secret is asked for.
        """
        self.description = description
        self._trusts = trusts
        self._secrets = tuple(secrets)
        self._secret_name = secret_header.lower().encode("ascii") if self._secrets else None
        self._head = RequestHead.__new__(RequestHead)
        self._text = Buffer.__new__(Buffer)

    cdef RequestHead read(self, RequestHead question, RequestPolicy policy, Slice peer, bytes known):
        cdef RequestHead head = self._head
        cdef Slice method, target, host
        self.by_head = question.method == HEAD
        self.https = policy.https
        if not self.is_trusted(question, peer):
            question.problem = ErrorReason.UNTRUSTED_PEER
        elif _has_other_spelling(question, policy):
            question.problem = ErrorReason.FIELD_NAME
        else:
            question.problem = ErrorReason.NOT_DESCRIBED if self.description >= CHECK else self._scheme(question)
        if question.problem or self.description == WIRE:
            return question
        if not self._describe(question, &method, &target, &host):
            question.problem = ErrorReason.NOT_DESCRIBED
            return question
        self._write(question, method, target, host)
        head.verified = question.verified
        if head.parse(self._text.data, self._text.size, 0, policy, known) != COMPLETE or head.size != self._text.size:
            head.problem = head.problem or ErrorReason.GRAMMAR
            return head
        head.size = question.size                # the connection goes by the question's own framing
        head.http10 = question.http10
        head.keep_alive = question.keep_alive
        head.content_length = question.content_length
        head.chunked = question.chunked
        head.expect_continue = question.expect_continue
        head.dropped_names = question.dropped_names
        return head

    cdef Slice text_of(self, RequestHead refused, const char *at, Py_ssize_t size) noexcept:
        return Slice(self._text.data, self._text.size) if refused is self._head else Slice(at, size)

    cdef ErrorReason read_text(self, RequestHead head, const char *at, Py_ssize_t size, RequestPolicy policy, bint https):
        self.https = https
        if head.parse(at, size, 0, policy, None) != COMPLETE or head.size != size:
            return head.problem or ErrorReason.GRAMMAR
        return ErrorReason.FIELD_NAME if _has_other_spelling(head, policy) else ErrorReason.NO_ERROR

    cdef bint believes(self, Slice peer) except -1:
        return self._trusts(peer.at[:peer.size].decode("latin-1"))

    cdef bint is_trusted(self, RequestHead question, Slice peer) except -1:
        cdef Slice value
        cdef bytes given
        if not self.believes(peer):
            return False
        if self._secret_name is None:
            return True
        if not _once(question, self._secret_name, len(self._secret_name), &value):
            return False
        given = value.at[:value.size]
        return any([compare_digest(given, secret) for secret in self._secrets])

    cdef ErrorReason _scheme(self, RequestHead question):
        """Learn the scheme, for redirects: that of X-Forwarded-Proto, else that of the listener."""
        cdef Slice value
        cdef int count = _find(question, b"x-forwarded-proto", 17, &value)
        if count == 0:
            return ErrorReason.NO_ERROR
        self.https = equals(value, b"https", 5) or equals(value, b"wss", 3)
        if count > 1 or not (self.https or equals(value, b"http", 4) or equals(value, b"ws", 2)):
            return ErrorReason.NOT_DESCRIBED
        return ErrorReason.NO_ERROR

    cdef bint _describe(self, RequestHead question, Slice *method, Slice *target, Slice *host) noexcept:
        """Find each part exactly once; False: one is missing or doubled."""
        cdef Slice url
        cdef int urls, others
        if self.description == X_FORWARDED:
            return (_once(question, b"x-forwarded-method", 18, method) and _once(question, b"x-forwarded-uri", 15, target)
                    and _once(question, b"x-forwarded-host", 16, host))
        if not _once(question, b"x-original-method", 17, method):
            return False
        urls = _find(question, b"x-original-url", 14, &url)
        others = _find(question, b"x-original-uri", 14, target) + _find(question, b"x-original-host", 15, host)
        if urls == 0:
            return _once(question, b"x-original-uri", 14, target) and _once(question, b"x-original-host", 15, host)
        return urls == 1 and others == 0 and self._split(url, target, host)

    cdef bint _split(self, Slice url, Slice *target, Slice *host) noexcept:
        """`https://api.example/path` into host and target, as ingress-nginx describes a request."""
        cdef const char *at = url.at
        cdef const char *end = url.at + url.size
        if url.size > 8 and same(at, b"https://", 8):
            at += 8
            self.https = True
        elif url.size > 7 and same(at, b"http://", 7):
            at += 7
            self.https = False
        else:
            return False
        host.at = at
        while at < end and at[0] != c"/":
            at += 1
        host.size = at - host.at
        target.at = at
        target.size = end - at
        return host.size > 0 and target.size > 0

    cdef int _write(self, RequestHead question, Slice method, Slice target, Slice host) except -1:
        """
        The described request as HTTP/1: what tokens, rules, log and limits look at, without the description. Nothing in a value ends a line, as the
        question was read by `RequestHead` too; a part with a space makes a request line that the next reading refuses.
        """
        cdef Buffer out = self._text
        cdef Field *field = question._fields
        cdef Field *end = field + question._count
        out.clear()
        out.put(method.at, method.size)
        out.put(b" ", 1)
        out.put(target.at, target.size)
        out.put(b" HTTP/1.1\r\nHost: ", 17)
        out.put(host.at, host.size)
        out.put(b"\r\n", 2)
        while field < end:
            if ((field.kind == FORWARD or field.kind == AUTHORIZATION or field.kind == FORWARDED_FOR or field.kind == REQUEST_ID)
                    and field.value.at != method.at and field.value.at != target.at and field.value.at != host.at):
                out.put(field.name.at, field.name.size)
                out.put(b": ", 2)
                out.put(field.value.at, field.value.size)
                out.put(b"\r\n", 2)
            field += 1
        out.put(b"\r\n", 2)
        return 0
