"""
The core of the verifier: find a token in the cache, or verify it and keep it there.

The order of the checks and the epochs of the cache are here; `jose` and `auth` pass in algorithms, keys and policies, the caller the time.

Only a token whose signature and claims passed enters the cache, so garbage evicts nothing. Refusals are not kept: a refused token may
become valid (a key arrives, its time begins), and one changed byte would make a forged one new again.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcmp

from lbjwt._compact cimport Parts, decoded, der_signature, is_encrypted, is_token68, object_of, split

from cryptography.exceptions import InvalidSignature

cdef enum:
    MAX_KNOWN_HEADERS = 256      # an issuer has a handful; the bound is for one that varies them. Each is at most max_header long

cdef object _InvalidSignature = InvalidSignature
cdef uint64_t _numbers = 0


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


cdef bint _has_length(object found, Py_ssize_t encoded_size) except -1:
    """True when a signature of so many characters can be good: for the one check, or for any of several."""
    cdef SignatureCheck check
    if type(found) is SignatureCheck:
        return encoded_size == (<SignatureCheck>found)._encoded_size
    for check in <tuple>found:
        if encoded_size == check._encoded_size:
            return True
    return False


cdef SignatureCheck _passed(object found, bytes signature, bytes signed):
    """The check that the signature passes: the one there is, or the first of several. None when it passes none."""
    cdef SignatureCheck check
    if type(found) is SignatureCheck:
        return <SignatureCheck>found if (<SignatureCheck>found).passes(signature, signed) else None
    for check in <tuple>found:
        if check.passes(signature, signed):
            return check
    return None


cdef dict _payload_of(const char *text, Parts *parts, bint allow_padding, list trace):
    cdef bytes payload = decoded(text + parts.payload_at, parts.payload_size, allow_padding)
    cdef dict claims = None if payload is None else object_of(payload)
    record(trace, "token.payload", DenyReason.NONE if claims is not None else DenyReason.MALFORMED, claims)
    return claims


cdef class ClaimRules:
    cdef int judge(self, dict claims, double now, Grant grant, list trace) except -1:
        raise NotImplementedError


@cython.final
cdef class Verification:
    def __init__(self, object resolve, *, ClaimRules rules not None, keys=(), object identity=None, object logged=None,
                 object revoked=None, bint allow_padding=False, Py_ssize_t max_header=8192, bint only_encrypted=False, Py_ssize_t index=0,
                 uint64_t policy=0):
        if index < 0:
            raise ValueError("rows begin at 0")
        self._resolve = resolve
        self._rules = rules
        self._keys = frozenset(keys)
        self._identity = identity
        self._logged = logged
        self._revoked = revoked
        self._allow_padding = allow_padding
        self._max_header = max_header
        self._only_encrypted = only_encrypted
        self._known_headers = {}
        self.index = index
        self.policy = policy or _next_number()

    # Cheap before dear (THREATS S9): form, header, key, signature length; then the signature; then what it vouches for.
    cdef Grant run(self, bytes token, double now, dict claims, DenyReason *reason, list trace):
        cdef const char *text = PyBytes_AS_STRING(token)
        cdef Parts parts
        cdef bytes segment, signature, payload
        cdef SignatureCheck check
        cdef Grant grant
        if self._resolve is None:
            return self._refuse(DenyReason.KEYS_UNAVAILABLE, "issuer.keys", None, token, now, claims, reason, trace)
        record(trace, "issuer.keys", DenyReason.NONE, None)
        if not split(text, PyBytes_GET_SIZE(token), &parts) or parts.header_size > self._max_header:
            return self._refuse(DenyReason.MALFORMED, "token.parts", None, token, now, claims, reason, trace)
        reason[0] = DenyReason.MALFORMED
        if claims is None:
            record(trace, "token.parts", DenyReason.NONE, None)
        segment = PyBytes_FromStringAndSize(text, parts.header_size)
        found = self._known_headers.get(segment)
        if found is None:
            found = self._check_of(segment, trace)
            if type(found) is not SignatureCheck and type(found) is not tuple:
                return self._refuse(<DenyReason><int>found, None, None, token, now, claims, reason, trace)
        if not _has_length(found, parts.signature_size):
            return self._refuse(DenyReason.BAD_SIGNATURE, "signature.length", found, token, now, claims, reason, trace)
        record(trace, "signature.length", DenyReason.NONE, found)
        signature = decoded(text + parts.signature_at, parts.signature_size, False)
        if signature is None:
            return self._refuse(DenyReason.MALFORMED, "signature.text", None, token, now, claims, reason, trace)
        record(trace, "signature.text", DenyReason.NONE, None)
        if claims is None:
            payload = decoded(text + parts.payload_at, parts.payload_size, self._allow_padding)
            if payload is None:
                record(trace, "token.payload", reason[0], None)
                return None
        elif not self._allow_padding and text[parts.payload_at + parts.payload_size - 1] == c"=":
            # another issuer's opt-in let it be read
            return self._refuse(DenyReason.MALFORMED, "token.padding", None, token, now, claims, reason, trace)
        check = _passed(found, signature, PyBytes_FromStringAndSize(text, parts.signature_at - 1))
        if check is None:
            return self._refuse(DenyReason.BAD_SIGNATURE, "signature.key", found, token, now, claims, reason, trace)
        record(trace, "signature.key", DenyReason.NONE, check)
        if segment not in self._known_headers:     # only now: filling this memo takes a valid signature
            if len(self._known_headers) >= MAX_KNOWN_HEADERS:
                self._known_headers.clear()
            self._known_headers[segment] = found     # all checks it may mean: another key may have signed the next token
        if claims is None:
            claims = object_of(payload)
            record(trace, "token.payload", DenyReason.NONE if claims is not None else DenyReason.MALFORMED, claims)
            if claims is None:
                return None
        grant = Grant.__new__(Grant)
        grant.token = token
        grant.key = check.key                        # the key that did verify it, which is withdrawn or revoked with it
        grant.key_id = check.key_id
        grant.algorithm = check.algorithm
        grant.issuer = ""
        grant.issuer_index = self.index
        grant.identity_headers = b""
        reason[0] = <DenyReason>self._vouch(claims, now, grant, trace)
        return grant if reason[0] == DenyReason.NONE else None

    cdef int _vouch(self, dict claims, double now, Grant grant, list trace) except -1:
        """Check verified claims against the policy and the revocations, then make the headers for the endpoint and the claims for the log."""
        cdef int verdict = self._rules.judge(claims, now, grant, trace)
        if verdict != DenyReason.NONE and (trace is None or verdict == DenyReason.INVALID_CLAIM):
            return verdict                         # with a trace, too, claims of a wrong type are compared with nothing
        if self._revoked is not None:
            revoked = bool(self._revoked(self.index, grant.key_id, claims, now))
            record(trace, "revocation", DenyReason.REVOKED if revoked else DenyReason.NONE, grant.key_id)
            if revoked and verdict == DenyReason.NONE:
                verdict = DenyReason.REVOKED
        if self._identity is not None and (verdict == DenyReason.NONE or trace is not None):
            headers = self._identity(claims) if trace is None else self._identity(claims, trace)
            if headers is not None:
                grant.identity_headers = headers
            elif verdict == DenyReason.NONE:
                verdict = DenyReason.UNREPRESENTABLE_CLAIM
        if self._logged is not None and verdict == DenyReason.NONE:
            grant.logged_claims = self._logged(claims)
        return verdict

    cdef Grant _refuse(
        self, DenyReason why, str step, object value, bytes token, double now, dict claims, DenyReason *reason, list trace
    ):
        """Refuse the token before its claims are checked. With a trace, check the unverified claims too, so that one run shows every mistake."""
        cdef const char *text = PyBytes_AS_STRING(token)
        cdef Parts parts
        reason[0] = why
        if trace is None:
            return None
        if step is not None:
            record(trace, step, why, value)
        if claims is None and split(text, PyBytes_GET_SIZE(token), &parts):
            claims = _payload_of(text, &parts, self._allow_padding, trace)
        if claims is not None:
            self._vouch(claims, now, Grant(b""), trace)
        return None

    cdef object _check_of(self, bytes segment, list trace):
        """The SignatureCheck a header asks for, a tuple of those it may mean, or the DenyReason for which there is none."""
        cdef bytes text = decoded(PyBytes_AS_STRING(segment), PyBytes_GET_SIZE(segment), self._allow_padding)
        cdef dict header = object_of(text) if text is not None else None
        record(trace, "header.json", DenyReason.NONE if header is not None else DenyReason.MALFORMED, None)
        if header is None:
            return DenyReason.MALFORMED
        return self._resolve(header) if trace is None else self._resolve(header, trace)


cdef inline uint64_t _next_number() noexcept:
    """Numbers of policies and of epochs of gates, from 1 on: no two are alike in one process."""
    global _numbers
    _numbers += 1
    return _numbers


cdef inline Verification _in_row(list issuers, Py_ssize_t row):
    """The issuer of a row; None when no issuer has it, or has it any more."""
    return <Verification>issuers[row] if 0 <= row < PyList_GET_SIZE(issuers) else None


@cython.final
cdef class Gate:
    def __init__(self, GrantCache cache not None, *, verifications, object select=None, Py_ssize_t max_token=8192, object decrypt=None):
        self.cache = cache
        self.last_fault = ""
        self._use(verifications, select, max_token, decrypt)

    def reload(self, verifications, *, object select=None, Py_ssize_t max_token=8192, object decrypt=None):
        self._use(verifications, select, max_token, decrypt)

    cdef int _use(self, object verifications, object select, Py_ssize_t max_token, object decrypt) except -1:
        cdef list given = list(verifications)
        cdef list issuers
        cdef Verification verification
        cdef bint allow_padding = False
        cdef Py_ssize_t max_header = 0
        if not given or (select is None and len(given) > 1):
            raise ValueError("a gate has one issuer, or a way to choose among several")
        issuers = [None] * (1 + max([(<Verification?>one).index for one in given]))
        for verification in given:
            if issuers[verification.index] is not None:
                raise ValueError("two issuers have one row")
            issuers[verification.index] = verification
            allow_padding = allow_padding or verification._allow_padding
            max_header = max(max_header, verification._max_header)
        # From here on nothing runs that could let another thread in, so each sees all of it or nothing. What was there ends after the last line.
        _previous = (self._issuers, self._select, self._decrypt)
        self._issuers = issuers
        self._select = select
        self._decrypt = decrypt
        self._only = (<Verification>given[0]).index
        self._allow_padding = allow_padding
        self.max_header = max_header
        self.max_token = max_token
        self.epoch = _next_number()
        return 0

    def replace(self, Verification verification not None):
        cdef Verification previous = _in_row(self._issuers, verification.index)
        if previous is None:
            raise LookupError(f"no issuer has the row {verification.index}")
        self._issuers[verification.index] = verification     # first: nothing new is granted by a key or a rule about to go
        if previous.policy != verification.policy or not previous._keys <= verification._keys:
            self.renew()

    def renew(self):
        self.epoch = _next_number()

    def verify(self, bytes token not None, double now, Grant hint=None):
        cdef DenyReason reason = DenyReason.NONE
        cdef Py_ssize_t issuer
        cdef Grant grant
        if not token:
            return None, DenyReason.MISSING
        if PyBytes_GET_SIZE(token) > self.max_token:
            return None, DenyReason.MALFORMED
        if self.recognises(hint, PyBytes_AS_STRING(token), PyBytes_GET_SIZE(token), now):
            return hint, reason
        grant = self.recall(token, now)
        if grant is None:
            grant = self.judge(token, now, &reason, &issuer, None)
        return grant, reason

    def trace(self, bytes token not None, double now):
        cdef list steps = []
        cdef DenyReason reason
        cdef Py_ssize_t issuer
        self.judge(token, now, &reason, &issuer, steps)
        return steps

    cdef bint recognises(self, Grant hint, const char *token, Py_ssize_t size, double now):
        if (
            hint is not None
            and PyBytes_GET_SIZE(hint.token) == size
            and memcmp(PyBytes_AS_STRING(hint.token), token, size) == 0
            and hint.alive
            and hint.epoch == self.epoch
            and hint.valid_from <= now < hint.valid_until
        ):
            hint._visited = True
            self.cache.hits += 1
            return True
        return False

    cdef Grant recall(self, bytes token, double now):
        cdef Grant grant
        if self._allow_padding and PyBytes_AS_STRING(token)[PyBytes_GET_SIZE(token) - 1] == c"=":
            grant = self.cache.lookup(self._unpadded(token), now)
            if grant is not None and not self._may_pad(grant):
                return None                        # its issuer did not opt in: this spelling is not that token
        else:
            grant = self.cache.lookup(token, now)
        if grant is None or grant.epoch == self.epoch or not self._outdated(grant, now):
            return grant
        self.cache.hits -= 1                       # it was found, but is not valid any more
        self.cache.misses += 1
        return None

    cdef bint _may_pad(self, Grant grant) noexcept:
        cdef Verification verification = _in_row(self._issuers, grant.issuer_index)
        return verification is not None and verification._allow_padding and grant.signed is None

    cdef bint _outdated(self, Grant grant, double now):
        """Look again at a grant of an earlier epoch; True when it is dead, and then it is in no cache any more."""
        cdef uint64_t epoch = self.epoch
        try:
            if self.stands(grant, now) and grant.epoch == epoch:   # else the policy in force did not judge it
                return False
        except BaseException as fault:
            self.note(fault)
        if grant.alive:
            self.cache._remove(grant)
        return True

    cdef bint stands(self, Grant grant, double now) except? False:
        cdef Verification verification
        cdef uint64_t epoch = self.epoch           # read first: what changes from now on, in another thread, is looked at next time
        if grant.epoch == epoch:
            return True
        select = self._select
        verification = _in_row(self._issuers, grant.issuer_index)
        if verification is None or grant.key not in verification._keys or (
            verification._revoked is not None and verification._revoked(grant.issuer_index, grant.key_id, grant.claims, now)
        ):
            return False
        # A token that today's policy did not judge keeps its earlier epoch, so it is good for no other request. Nor is one whose `iss` means
        # another issuer by now: an exact name takes over from a pattern.
        if grant.policy == verification.policy:
            found = grant.issuer_index if select is None else select(grant.issuer)
            if type(found) is not int:
                found = found(grant.claims)
            if found == grant.issuer_index:
                grant.epoch = epoch
        return True

    cdef Grant judge(self, bytes token, double now, DenyReason *reason, Py_ssize_t *issuer, list trace):
        cdef Verification verification
        cdef Grant grant = None
        cdef bytes signed
        cdef dict claims
        cdef list issuers
        cdef uint64_t epoch
        reason[0] = DenyReason.INTERNAL
        issuer[0] = -1
        try:
            if not is_token68(PyBytes_AS_STRING(token), PyBytes_GET_SIZE(token), self._allow_padding):
                reason[0] = DenyReason.MALFORMED_CREDENTIALS
                record(trace, "token.alphabet", reason[0], None)
                return None
            record(trace, "token.alphabet", DenyReason.NONE, None)
            while True:
                epoch = self.epoch
                issuers = self._issuers
                select = self._select
                claims = owners = None
                signed = token
                if self._decrypt is not None and is_encrypted(PyBytes_AS_STRING(token), PyBytes_GET_SIZE(token)):
                    opened = self._decrypt(token) if trace is None else self._decrypt(token, trace)
                    if type(opened) is not tuple:
                        reason[0] = <DenyReason><int>opened
                        return None
                    signed, owners = opened
                bare = signed
                if self._allow_padding and PyBytes_AS_STRING(signed)[PyBytes_GET_SIZE(signed) - 1] == c"=":
                    bare = self._unpadded(signed)  # the signature does not cover its own padding: a token has one spelling as a cache key
                if select is None:
                    issuer[0] = self._only
                else:
                    claims = self._claims_of(signed, trace)
                    named = None if claims is None else claims.get("iss")
                    found = select(named) if type(named) is str else -1
                    issuer[0] = found if type(found) is int else found(claims)
                    if issuer[0] < 0:
                        reason[0] = (
                            DenyReason.MALFORMED if claims is None
                            else DenyReason.WRONG_ISSUER if type(named) is str
                            else DenyReason.INVALID_CLAIM if "iss" in claims
                            else DenyReason.MISSING_CLAIM
                        )
                        if claims is not None:
                            record(trace, "issuer.name", reason[0], -1)
                        return None
                if trace is not None:
                    record(trace, "issuer.name", DenyReason.NONE, issuer[0])
                verification = _in_row(issuers, issuer[0])
                if verification is None:
                    raise LookupError("a token was given to an issuer that is not there")
                if issuer[0] not in owners if owners is not None else verification._only_encrypted:
                    reason[0] = DenyReason.NOT_ENCRYPTED if owners is None else DenyReason.DECRYPTION_FAILED   # with the key of another issuer
                    record(trace, "encryption.issuer", reason[0], None)
                    return None
                grant = verification.run(bare if verification._allow_padding else signed, now, claims, reason, trace)
                if epoch == self.epoch and verification is issuers[issuer[0]]:
                    break        # else keys, policies or revocations changed meanwhile in another thread: the later verdict counts
            if grant is not None:
                grant.epoch = epoch
                grant.policy = verification.policy
                if owners is not None:
                    grant.token = token
                    grant.signed = signed
                self.cache.insert(grant)
            return grant
        except BaseException as fault:   # a panic in a Rust extension is no Exception
            self.note(fault)
            reason[0] = DenyReason.INTERNAL
            return None

    cdef dict _claims_of(self, bytes token, list trace):
        """The unverified payload, read for its issuer's name only; None when it is no JSON object within the limits."""
        cdef const char *text = PyBytes_AS_STRING(token)
        cdef Parts parts
        if not split(text, PyBytes_GET_SIZE(token), &parts) or parts.header_size > self.max_header:
            record(trace, "token.parts", DenyReason.MALFORMED, None)
            return None
        record(trace, "token.parts", DenyReason.NONE, None)
        return _payload_of(text, &parts, self._allow_padding, trace)

    cdef bytes _unpadded(self, bytes token):
        """The token without the padding of its signature, which the signature does not cover."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(token)
        cdef int pads = 0
        while pads < 2 and size > 1 and PyBytes_AS_STRING(token)[size - 1] == c"=":
            size -= 1
            pads += 1
        return token[:size]

    cdef void note(self, object fault):
        self.faults += 1
        self.last_fault = type(fault).__name__
