from libc.stdint cimport int64_t, uint64_t


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


cdef class Grant:
    """A verified token. Immutable after construction."""
    cdef readonly bytes token              # the whole compact token: the cache key
    cdef readonly object claims            # Mapping, read-only
    cdef readonly str issuer
    cdef readonly str key_id               # of the key that signed ("" when it has none)
    cdef readonly str algorithm
    cdef readonly double valid_from        # seconds since the epoch, clock skew taken into account
    cdef readonly double valid_until       # seconds since the epoch, clock skew taken into account; exclusive
    cdef readonly uint64_t epoch           # of the verifier that granted it: a grant of another epoch is dead
    cdef readonly bytes identity_headers   # ready-made "Name: value\r\n" lines for the backend
    cdef readonly object key               # the verification key (identity): dies with it
    cdef bint alive                        # False once withdrawn from the cache for cause
    # intrusive list of GrantCache
    cdef Grant _newer
    cdef Grant _older
    cdef bint _visited
    cdef size_t _cost


cdef class GrantCache:
    """Verified tokens by whole token, bounded in bytes and entries; second chance for what was used."""
    cdef dict _entries
    cdef Grant _newest
    cdef Grant _oldest
    cdef Grant _hand
    cdef readonly size_t max_bytes
    cdef readonly size_t max_entries
    cdef readonly size_t bytes_used
    cdef readonly uint64_t hits
    cdef readonly uint64_t misses
    cdef readonly uint64_t evictions


cdef class Gate:
    """The admission of one route: header value in, Grant or reason out."""
    cdef readonly GrantCache cache
    cdef readonly uint64_t epoch           # grants of another epoch are dead
    cdef object _verify                    # (token: bytes, now: float) -> Grant; raises TokenRefused

    # value/size: the one Authorization field value (NULL, 0 when none came).
    # hint: the Grant this connection used last, or None: a keep-alive client sends the same token again, and one memcmp
    #       then replaces hashing and lookup. It is trusted no further than a cache entry: alive, epoch and times are checked.
    # now: seconds since the epoch. reason: set to NONE or the DenyReason. Never raises: a fault of ours is INTERNAL.
    cdef Grant admit(self, const char *value, Py_ssize_t size, Grant hint, double now, DenyReason *reason)
