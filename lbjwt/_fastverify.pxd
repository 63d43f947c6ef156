from libc.stdint cimport uint64_t


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


cdef class Grant:
    """A verified token. Immutable after construction. Its claims are read from the token anew each time they are asked for."""
    cdef readonly bytes token              # the whole compact token: the cache key
    cdef readonly str issuer               # "" when it has none
    cdef readonly str key_id               # of the key that signed ("" when it has none)
    cdef readonly str algorithm
    cdef readonly double valid_from        # seconds since the epoch, clock skew taken into account
    cdef readonly double valid_until       # seconds since the epoch, clock skew taken into account; exclusive
    cdef readonly uint64_t epoch           # of the verifier that granted it: a grant of another epoch is dead
    cdef readonly bytes identity_headers   # ready-made "Name: value\r\n" lines for the backend
    cdef readonly object key               # the verification key (identity): dies with it
    cdef bint alive                        # True exactly while its cache holds it: one that left is no hint any more
    # intrusive list of GrantCache; borrowed, since the dictionary of the cache owns its grants
    cdef void *_newer
    cdef void *_older
    cdef bint _visited
    cdef size_t _cost


cdef class GrantCache:
    """Verified tokens by whole token, bounded in bytes and entries; second chance for what was used."""
    cdef dict _entries
    cdef void *_newest
    cdef void *_oldest
    cdef void *_hand
    cdef size_t _table_bytes               # of the dictionary itself; part of bytes_used
    cdef readonly size_t max_bytes
    cdef readonly size_t max_entries
    cdef readonly size_t bytes_used
    cdef readonly uint64_t hits
    cdef readonly uint64_t misses
    cdef readonly uint64_t evictions

    cpdef Grant lookup(self, bytes token, double now, uint64_t epoch)
    cpdef bint insert(self, Grant grant) except -1
    cdef int _remove(self, Grant grant) except -1
    cdef int _evict(self) except -1
    cdef int _weigh_table(self) except -1


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
    cdef int judge(self, dict claims, double now, Grant grant) except -1


cdef class Verification:
    """Keys and rules of one issuer, fixed for life: other keys are another Verification."""
    cdef object _resolve                   # (header: dict) -> SignatureCheck | DenyReason; None: no keys at all
    cdef ClaimRules _rules
    cdef object _identity                  # (claims: dict) -> bytes | None; None here: no identity headers
    cdef bint _allow_padding
    cdef dict _known_headers               # header segment -> SignatureCheck, of tokens whose signature passed

    cdef Grant run(self, bytes token, double now, DenyReason *reason)
    cdef object _check_of(self, bytes segment)


cdef class Gate:
    """The admission of one route: header value in, Grant or reason out."""
    cdef readonly GrantCache cache
    cdef readonly uint64_t epoch           # grants of another epoch are dead
    cdef readonly Py_ssize_t max_token     # bytes
    cdef readonly uint64_t faults          # of ours, each refused as INTERNAL
    cdef readonly str last_fault           # class name of the last one
    cdef Verification _verification
    cdef bint _allow_padding

    # value/size: the one Authorization field value (NULL, 0 when none came).
    # hint: the Grant this connection used last, or None: a keep-alive client sends the same token again, and one memcmp
    #       then replaces hashing and lookup. It is trusted no further than a cache entry: alive, epoch and times are checked.
    # now: seconds since the epoch. reason: set to NONE or the DenyReason. Never raises: a fault of ours is INTERNAL.
    cdef Grant admit(self, const char *value, Py_ssize_t size, Grant hint, double now, DenyReason *reason)
    cdef Py_ssize_t _unpadded(self, const char *token, Py_ssize_t size) noexcept
    cdef Grant _judge(self, const char *token, Py_ssize_t size, double now, DenyReason outside_alphabet, DenyReason *reason)
