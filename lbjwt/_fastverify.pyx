"""
The gate, at the speed of requests: find the bearer token, recognise it or verify it, remember the verdict.

Knows: the grammar of RFC 6750 credentials, the order in which a token is judged, and the cache of verified tokens. Does not know: where
keys come from, which algorithms exist, what a policy asks (`jose` and `auth` hand those in), sockets, or the clock (time comes in).

Only a token whose signature and claims passed enters the cache, so garbage evicts nothing. There is no memory of refusals: a token
refused today may be good tomorrow (a key arrives, its time begins), and one changed byte would make a forged one new again.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcmp

cdef extern from "<strings.h>" nogil:
    int strncasecmp(const char *one, const char *other, size_t size)

from lbjwt._compact cimport Parts, decoded, der_signature, object_of, split

import os
import sys
from sys import getsizeof
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature

cdef enum:
    MAX_HEADER = 2048            # characters of the encoded JOSE header: room for x5c-free headers with a long kid
    MAX_KNOWN_HEADERS = 256      # an issuer has a handful; the bound is for one that varies them

cdef object _InvalidSignature = InvalidSignature
cdef uint64_t _epochs = 0
cdef unsigned char TOKEN68[256]  # RFC 6750 section 2.1, b64token without its "="
cdef unsigned char TCHAR[256]    # RFC 9110 section 5.6.2


cdef void _fill_tables() noexcept:
    cdef int c
    for c in range(256):
        TOKEN68[c] = 48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122 or c in b"-._~+/"
        TCHAR[c] = 48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122 or c in b"!#$%&'*+-.^_`|~"


_fill_tables()


def hash_is_randomised():
    return bool(sys.flags.hash_randomization) and (
        bool(sys.flags.ignore_environment) or os.environ.get("PYTHONHASHSEED", "random") in ("", "random")
    )


cdef DenyReason _find_bearer(const char *value, Py_ssize_t size, const char **token, Py_ssize_t *length) noexcept:
    """
    Cut the token out of an Authorization value: `Bearer` in any case, one or more spaces, the rest (THREATS P7).

    Another scheme is no bearer token (MISSING); a Bearer scheme followed by anything but spaces and text is MALFORMED_CREDENTIALS.
    """
    cdef Py_ssize_t at = 6
    if value == NULL or size == 0:
        return DenyReason.MISSING
    if size < 6 or strncasecmp(value, "bearer", 6) != 0 or (size > 6 and TCHAR[<unsigned char>value[6]]):
        return DenyReason.MISSING
    while at < size and value[at] == c" ":
        at += 1
    if at == 6 or at == size:
        return DenyReason.MALFORMED_CREDENTIALS
    token[0] = value + at
    length[0] = size - at
    return DenyReason.NONE


cdef bint _is_token68(const char *token, Py_ssize_t size, bint allow_padding) noexcept:
    """True for the characters of a b64token. allow_padding: `=` may also end the inner segments of a JWS."""
    cdef Py_ssize_t at
    cdef bint padded = False
    for at in range(size):
        if token[at] == c"=":
            padded = True
        elif not TOKEN68[<unsigned char>token[at]]:
            return False
        elif padded:
            if not (allow_padding and token[at] == c"."):
                return False
            padded = False
    return True


@cython.no_gc                    # refers to its token, some text and a key, and none of them to a grant: no cycle, no traversal
@cython.final
cdef class Grant:
    def __init__(self, bytes token not None, *, double valid_from=0.0, double valid_until=float("inf"), uint64_t epoch=0,
                 bytes identity_headers=b"", str issuer="", str key_id="", str algorithm="", object key=None):
        self.token = token
        self.valid_from = valid_from
        self.valid_until = valid_until
        self.epoch = epoch
        self.identity_headers = identity_headers
        self.issuer = issuer
        self.key_id = key_id
        self.algorithm = algorithm
        self.key = key

    @property
    def claims(self):
        cdef Parts parts
        cdef const char *text = PyBytes_AS_STRING(self.token)
        cdef bytes payload
        if not split(text, PyBytes_GET_SIZE(self.token), &parts):
            return MappingProxyType({})
        payload = decoded(text + parts.payload_at, parts.payload_size, True)
        return MappingProxyType((object_of(payload) if payload is not None else None) or {})

    def __repr__(self):
        return f"<Grant by {self.algorithm} until {self.valid_until:.0f}>"


cdef size_t _allocated(size_t size) noexcept:
    """What the allocators of CPython and glibc take for an object of this size: steps of 16, and 8 bytes of malloc's own past 512."""
    return (size + 15) & ~<size_t>15 if size <= 512 else (size + 8 + 15) & ~<size_t>15


cdef size_t GRANT_BYTES = _allocated(Grant.__basicsize__)


@cython.final
cdef class GrantCache:
    # Eviction is SIEVE: a hand moves from the oldest entry to the newest, forgives each entry used since its last visit, and
    # takes the first that was not. One pass of tokens seen once cannot push out the tokens in use (THREATS D6).

    def __init__(self, size_t max_bytes=64 << 20, size_t max_entries=1_000_000):
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self._entries = {}
        self._weigh_table()

    def __len__(self):
        return len(self._entries)

    def __contains__(self, bytes token):
        return token in self._entries

    cpdef Grant lookup(self, bytes token, double now, uint64_t epoch):
        found = self._entries.get(token)
        if found is not None:
            if (<Grant>found).epoch == epoch and (<Grant>found).valid_from <= now < (<Grant>found).valid_until:
                (<Grant>found)._visited = True
                self.hits += 1
                return <Grant>found
            self._remove(<Grant>found)
        self.misses += 1
        return None

    cpdef bint insert(self, Grant grant) except -1:
        cdef size_t cost
        if grant.alive:
            return True
        cost = (GRANT_BYTES + _allocated(getsizeof(grant.token))
                + (_allocated(getsizeof(grant.identity_headers)) if grant.identity_headers else 0))
        if self.max_entries == 0 or cost + self._table_bytes > self.max_bytes:
            return False
        known = self._entries.get(grant.token)
        if known is not None:
            self._remove(<Grant>known)
        while <size_t>len(self._entries) >= self.max_entries or self.bytes_used + cost > self.max_bytes:
            self._evict()
        self._entries[grant.token] = grant
        grant.alive = True
        grant._visited = False
        grant._cost = cost
        grant._newer = NULL
        grant._older = self._newest
        if self._newest != NULL:
            (<Grant>self._newest)._newer = <void *>grant
        else:
            self._oldest = <void *>grant
        self._newest = <void *>grant
        self.bytes_used += cost
        self._weigh_table()
        while self.bytes_used > self.max_bytes and self._oldest != NULL:   # the table grew
            self._evict()
        return grant.alive

    def discard_key(self, object key):
        cdef Grant grant
        cdef Py_ssize_t count = 0
        for grant in list(self._entries.values()):
            if grant.key is key:
                self._remove(grant)
                count += 1
        return count

    def discard(self, doomed):
        cdef Grant grant
        cdef Py_ssize_t count = 0
        for grant in list(self._entries.values()):
            if doomed(grant) and grant.alive:    # doomed may have dropped it itself
                self._remove(grant)
                count += 1
        return count

    def clear(self):
        self.discard(lambda grant: True)
        self._entries = {}
        self._weigh_table()

    cdef int _remove(self, Grant grant) except -1:
        if self._hand == <void *>grant:
            self._hand = grant._newer
        if grant._newer != NULL:
            (<Grant>grant._newer)._older = grant._older
        else:
            self._newest = grant._older
        if grant._older != NULL:
            (<Grant>grant._older)._newer = grant._newer
        else:
            self._oldest = grant._newer
        grant._newer = grant._older = NULL
        grant.alive = False
        self.bytes_used -= grant._cost
        del self._entries[grant.token]
        return 0

    cdef int _evict(self) except -1:
        cdef void *at = self._hand if self._hand != NULL else self._oldest
        while (<Grant>at)._visited:
            (<Grant>at)._visited = False
            at = (<Grant>at)._newer
            if at == NULL:
                at = self._oldest
        self._hand = (<Grant>at)._newer
        self.evictions += 1
        return self._remove(<Grant>at)

    cdef int _weigh_table(self) except -1:
        cdef size_t size = getsizeof(self._entries)
        self.bytes_used += size - self._table_bytes
        self._table_bytes = size
        return 0


@cython.final
cdef class SignatureCheck:
    def __init__(self, object key, *, str key_id not None, str algorithm not None, Py_ssize_t signature_size, object verify,
                 tuple arguments=(), bint raw_ecdsa=False):
        if raw_ecdsa and not 0 < signature_size <= 132:
            raise ValueError("an ECDSA signature has at most 132 bytes")
        self.key = key
        self.key_id = key_id
        self.algorithm = algorithm
        self.signature_size = signature_size
        self._encoded_size = (signature_size * 4 + 2) // 3
        self._verify = verify
        self._arguments = arguments
        self._raw_ecdsa = raw_ecdsa

    cdef bint passes(self, bytes signature, bytes signed) except -1:
        cdef unsigned char der[144]
        cdef Py_ssize_t size
        # RFC 7518 section 3.4: the length is part of the format. Checked before anything is converted (THREATS A10).
        if PyBytes_GET_SIZE(signature) != self.signature_size:
            return False
        if self._raw_ecdsa:
            size = der_signature(<const unsigned char *>PyBytes_AS_STRING(signature), self.signature_size, der)
            signature = PyBytes_FromStringAndSize(<const char *>der, size)
        try:
            self._verify(signature, signed, *self._arguments)
        except _InvalidSignature:
            return False
        return True

    def verify(self, bytes signature not None, bytes signed not None):
        return self.passes(signature, signed)


cdef class ClaimRules:
    cdef int judge(self, dict claims, double now, Grant grant) except -1:
        raise NotImplementedError


@cython.final
cdef class Verification:
    def __init__(self, object resolve, *, ClaimRules rules not None, object identity=None, bint allow_padding=False):
        self._resolve = resolve
        self._rules = rules
        self._identity = identity
        self._allow_padding = allow_padding
        self._known_headers = {}

    # Cheap before dear (THREATS S9): form, header, key, signature length; then the signature; then what it vouches for.
    cdef Grant run(self, bytes token, double now, DenyReason *reason):
        cdef const char *text = PyBytes_AS_STRING(token)
        cdef Parts parts
        cdef bytes segment, signature, payload
        cdef SignatureCheck check
        cdef Grant grant
        cdef dict claims
        cdef int verdict
        if self._resolve is None:
            reason[0] = DenyReason.KEYS_UNAVAILABLE
            return None
        reason[0] = DenyReason.MALFORMED
        if not split(text, PyBytes_GET_SIZE(token), &parts) or parts.header_size > MAX_HEADER:
            return None
        segment = PyBytes_FromStringAndSize(text, parts.header_size)
        found = self._known_headers.get(segment)
        if found is None:
            found = self._check_of(segment)
            if type(found) is not SignatureCheck:
                reason[0] = <DenyReason><int>found
                return None
        check = <SignatureCheck>found
        if parts.signature_size != check._encoded_size:
            reason[0] = DenyReason.BAD_SIGNATURE
            return None
        signature = decoded(text + parts.signature_at, parts.signature_size, False)
        payload = decoded(text + parts.payload_at, parts.payload_size, self._allow_padding)
        if signature is None or payload is None:
            return None
        if not check.passes(signature, PyBytes_FromStringAndSize(text, parts.signature_at - 1)):
            reason[0] = DenyReason.BAD_SIGNATURE
            return None
        if segment not in self._known_headers:     # only now: without a key nobody can crowd this memo
            if len(self._known_headers) >= MAX_KNOWN_HEADERS:
                self._known_headers.clear()
            self._known_headers[segment] = check
        claims = object_of(payload)
        if claims is None:
            return None
        grant = Grant.__new__(Grant)
        grant.token = token
        grant.key = check.key
        grant.key_id = check.key_id
        grant.algorithm = check.algorithm
        grant.issuer = ""
        grant.identity_headers = b""
        verdict = self._rules.judge(claims, now, grant)
        if verdict == DenyReason.NONE and self._identity is not None:
            headers = self._identity(claims)
            if headers is None:
                verdict = DenyReason.UNREPRESENTABLE_CLAIM
            else:
                grant.identity_headers = headers
        reason[0] = <DenyReason>verdict
        return grant if verdict == DenyReason.NONE else None

    cdef object _check_of(self, bytes segment):
        """The SignatureCheck a header asks for, or the DenyReason for which there is none."""
        cdef bytes text = decoded(PyBytes_AS_STRING(segment), PyBytes_GET_SIZE(segment), self._allow_padding)
        cdef dict header = object_of(text) if text is not None else None
        return DenyReason.MALFORMED if header is None else self._resolve(header)


@cython.final
cdef class Gate:
    def __init__(self, GrantCache cache not None, *, Verification verification not None, Py_ssize_t max_token=8192,
                 bint allow_padding=False):
        global _epochs
        _epochs += 1             # no other gate's grants mean anything here, even as a hint
        self.epoch = _epochs
        self.cache = cache
        self.max_token = max_token
        self.last_fault = ""
        self._verification = verification
        self._allow_padding = allow_padding

    def replace(self, Verification verification not None):
        self._verification = verification

    def authorize(self, bytes value, double now, Grant hint=None):
        cdef DenyReason reason = DenyReason.INTERNAL
        cdef Grant grant
        if value is None:
            grant = self.admit(NULL, 0, hint, now, &reason)
        else:
            grant = self.admit(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), hint, now, &reason)
        return grant, reason

    def verify(self, bytes token not None, double now):
        cdef DenyReason reason = DenyReason.INTERNAL
        cdef const char *text = PyBytes_AS_STRING(token)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(token)
        cdef Grant grant
        if size == 0:
            return None, DenyReason.MISSING
        if size > self.max_token:
            return None, DenyReason.MALFORMED
        grant = self._judge(text, self._unpadded(text, size), now, DenyReason.MALFORMED, &reason)
        return grant, reason

    cdef Py_ssize_t _unpadded(self, const char *token, Py_ssize_t size) noexcept:
        # The signature does not cover its own padding: drop it, so that a token has one spelling as a cache key.
        cdef int pads = 0
        if self._allow_padding:
            while pads < 2 and size > 1 and token[size - 1] == c"=":
                size -= 1
                pads += 1
        return size

    cdef Grant admit(self, const char *value, Py_ssize_t size, Grant hint, double now, DenyReason *reason):
        cdef const char *token = NULL
        cdef Py_ssize_t length = 0
        reason[0] = _find_bearer(value, size, &token, &length)
        if reason[0] != DenyReason.NONE:
            return None
        if length > self.max_token:
            reason[0] = DenyReason.MALFORMED
            return None
        length = self._unpadded(token, length)
        if (
            hint is not None
            and PyBytes_GET_SIZE(hint.token) == length
            and memcmp(PyBytes_AS_STRING(hint.token), token, length) == 0
            and hint.alive
            and hint.epoch == self.epoch
            and hint.valid_from <= now < hint.valid_until
        ):
            hint._visited = True
            self.cache.hits += 1
            return hint
        return self._judge(token, length, now, DenyReason.MALFORMED_CREDENTIALS, reason)

    cdef Grant _judge(self, const char *token, Py_ssize_t size, double now, DenyReason outside_alphabet, DenyReason *reason):
        cdef Verification verification
        cdef Grant grant
        cdef bytes key
        try:
            key = PyBytes_FromStringAndSize(token, size)
            grant = self.cache.lookup(key, now, self.epoch)
            if grant is not None:
                reason[0] = DenyReason.NONE
                return grant
            if not _is_token68(token, size, self._allow_padding):
                reason[0] = outside_alphabet
                return None
            while True:
                verification = self._verification
                grant = verification.run(key, now, reason)
                if verification is self._verification:
                    break        # else keys were replaced meanwhile by another thread: its verdict counts
            if grant is not None:
                grant.epoch = self.epoch
                self.cache.insert(grant)
            return grant
        except BaseException as fault:   # a panic in a Rust extension is no Exception
            self.faults += 1
            self.last_fault = type(fault).__name__
            reason[0] = DenyReason.INTERNAL
            return None
