from libc.stdint cimport uint64_t

from lbjwt._grants cimport Grant, GrantCache


cpdef enum DenyReason:
    # The closed list of reasons: metrics, access log and answers know no other. The numbers index counters and never change.
    NONE = 0
    MISSING = 1                  # no token came: 401, plain challenge
    MULTIPLE_TOKENS = 2          # two tokens: 400 invalid_request
    MALFORMED_CREDENTIALS = 3    # a Bearer field that is not RFC 6750 grammar: 400 invalid_request
    MALFORMED = 4                # not a compact JWS within the limits
    ALGORITHM_REFUSED = 5
    UNKNOWN_KEY = 6
    BAD_SIGNATURE = 7
    EXPIRED = 8
    NOT_YET_VALID = 9
    ISSUED_IN_FUTURE = 10
    WRONG_ISSUER = 11
    WRONG_AUDIENCE = 12
    MISSING_CLAIM = 13
    INVALID_CLAIM = 14           # a registered claim of the wrong type or range
    LIFETIME_TOO_LONG = 15
    INSUFFICIENT_SCOPE = 16      # 403
    KEYS_UNAVAILABLE = 17        # 503 with Retry-After: no key could ever be had
    UNREPRESENTABLE_CLAIM = 18   # a claim meant for a header that cannot be one: 401
    INTERNAL = 19                # a fault of ours: refused, never passed
    REVOKED = 20                 # the token, its subject, its key or all older ones of its issuer
    CLAIM_REFUSED = 21           # a claim rule of the route: 403
    SUBJECT_REFUSED = 22         # a subject that is not among those named: 403
    CLIENT_REFUSED = 23          # a client (azp, client_id) that is not among those named: 403
    TOO_OLD = 24                 # issued longer ago than max_age
    WRONG_TYPE = 25              # the typ header, or what a profile asks of it
    RATE_LIMITED = 26            # too many failures from this address: 429, before any cryptography
    NO_CLUSTER = 27              # the claim that chooses the cluster is missing or names none: 403
    HEADER_REFUSED = 28          # a member of the JOSE header that is not as `required_headers` asks
    DECRYPTION_FAILED = 29       # an encrypted token that no key of ours opens: one reason, whatever failed
    ENCRYPTION_REFUSED = 30      # a JWE whose header asks for what is not accepted: alg, enc, zip, cty
    NOT_ENCRYPTED = 31           # a token of an issuer whose tokens must be encrypted


cdef inline int record(list trace, str step, int reason, object value) except -1:
    """
    Append one step to a trace: its name, the DenyReason it comes to (NONE: met) and what it is about.

    A trace is None when serving. With one, what is checked goes on after the first refusal as far as it can; the verdict stays the first one.
    """
    if trace is not None:
        trace.append((step, reason, value))
    return 0


cdef class SignatureCheck:
    """One key with one of its algorithms, ready to judge signatures."""
    cdef readonly object key
    cdef readonly str key_id
    cdef readonly str algorithm
    cdef readonly Py_ssize_t signature_size      # bytes of every signature it can accept
    cdef Py_ssize_t _encoded_size                # the same in base64url characters
    cdef object _verify
    cdef tuple _arguments
    cdef bint _raw_ecdsa

    cdef bint passes(self, bytes signature, bytes signed) except -1


cdef class ClaimRules:
    """What a policy asks of the claims. Abstract: `auth` compiles one per policy."""
    # Sets issuer, valid_from and valid_until of the grant. Returns a DenyReason (NONE: the rules are met).
    cdef int judge(self, dict claims, double now, Grant grant, list trace) except -1


cdef class Verification:
    """Keys and rules of one issuer, fixed for life: other keys are another Verification."""
    cdef readonly Py_ssize_t index         # row of the issuer
    cdef readonly uint64_t policy          # number of its rules, which no other rules in this process have
    cdef frozenset _keys                   # in force, by identity
    cdef object _resolve                   # (header: dict) -> SignatureCheck | tuple of them | DenyReason; None: no keys at all
    cdef ClaimRules _rules
    cdef object _identity                  # (claims: dict) -> bytes | None; None here: no identity headers
    cdef object _logged                    # (claims: dict) -> bytes | None: for the access log; None here: nothing is logged
    cdef object _revoked                   # (issuer index: int, key id: str, claims, now: float) -> bool; None: nothing is revoked
    cdef bint _allow_padding
    cdef Py_ssize_t _max_header            # characters of the encoded JOSE header
    cdef bint _only_encrypted              # its tokens must come as JWE
    cdef dict _known_headers               # header segment -> SignatureCheck or tuple of them, of tokens whose signature passed

    # claims: those of the payload when they were read already, to find the issuer; trusted no more than the token is
    cdef Grant run(self, bytes token, double now, dict claims, DenyReason *reason, list trace)
    cdef Grant _refuse(
        self, DenyReason why, str step, object value, bytes token, double now, dict claims, DenyReason *reason, list trace
    )
    cdef int _vouch(self, dict claims, double now, Grant grant, list trace) except -1
    cdef object _check_of(self, bytes segment, list trace)


cdef class Gate:
    """The admission of tokens of all issuers: token in, Grant or reason out. What a route asks beyond that is asked of the Grant."""
    cdef readonly GrantCache cache
    cdef readonly uint64_t epoch           # moves when a key, a token or a policy was withdrawn: every grant is then looked at once more
    cdef readonly Py_ssize_t max_token     # bytes
    cdef readonly Py_ssize_t max_header    # characters of an encoded JOSE header, for any issuer
    cdef readonly uint64_t faults          # of ours, each refused as INTERNAL
    cdef readonly str last_fault           # class name of the last one
    cdef list _issuers                     # of Verification, by row; None where no issuer has the row
    cdef object _select                    # (iss: str) -> row of the issuer, -1, or (claims) -> row where several have it; None: there is one issuer
    cdef Py_ssize_t _only                  # its row
    cdef bint _allow_padding               # of any issuer
    cdef object _decrypt                   # (token: bytes) -> (signed token inside, rows that have the key) or DenyReason; None: no issuer has keys

    # The Grant this connection used last, if this very token is it and it still stands: a keep-alive client sends the same token again, and
    # one memcmp replaces hashing and lookup. A hint is trusted no further than a cache entry.
    cdef bint recognises(self, Grant hint, const char *token, Py_ssize_t size, double now)
    # token: within max_token. None when it has to be judged.
    cdef Grant recall(self, bytes token, double now)
    # issuer: set to the row of the issuer that the token named, -1 when it named none that is known. A token outside its alphabet is
    # MALFORMED_CREDENTIALS. Never raises: a fault of ours is INTERNAL.
    cdef Grant judge(self, bytes token, double now, DenyReason *reason, Py_ssize_t *issuer, list trace)
    # True while neither the issuer nor the key nor the token was withdrawn; its times are the caller's to compare. This is what a response under
    # way needs: it keeps the policy under which it began. For another request `recall` asks for the policy in force, too.
    cdef bint stands(self, Grant grant, double now) except? False
    cdef bint _outdated(self, Grant grant, double now)
    cdef bint _may_pad(self, Grant grant) noexcept
    cdef int _use(self, object verifications, object select, Py_ssize_t max_token, object decrypt) except -1
    cdef dict _claims_of(self, bytes token, list trace)
    cdef bytes _unpadded(self, bytes token)
    cdef void note(self, object fault)
