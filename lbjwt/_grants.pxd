from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    MEMOS = 8                    # routes whose verdict a Grant remembers; more are judged again when they come round
    JUDGED = 0x80                # a verdict byte: always set, so that 0 is "not judged" …
    REPORTED = 0x40              # … the reason in the low bits is only reported: the request passes …
    REASON_BITS = 0x3f           # … and a DenyReason


cdef class Grant:
    """A verified token. Immutable after construction. Its claims are read from the token anew each time they are asked for."""
    cdef readonly bytes token              # the whole compact token: the cache key
    cdef bytes signed                      # of a token that came encrypted: the signed token inside; else None
    cdef readonly str issuer               # "" when it has none
    cdef readonly str key_id               # of the key that signed ("" when it has none)
    cdef readonly str algorithm
    cdef readonly double valid_from        # seconds since the epoch, clock skew taken into account
    cdef readonly double valid_until       # seconds since the epoch, clock skew taken into account; exclusive
    cdef readonly Py_ssize_t issuer_index  # row of its issuer
    cdef readonly uint64_t epoch           # of the gate when it last looked: a grant of another epoch is looked at again
    cdef uint64_t policy                   # number of the issuer's policy that granted it: under any other it is dead. 0: of no policy
    cdef readonly bytes identity_headers   # ready-made "Name: value\r\n" lines for the backend
    cdef readonly bytes logged_claims      # ready-made members of the access log; None: nothing of it is logged
    cdef readonly object key               # the verification key (identity): dies with it
    cdef bint alive                        # True exactly while its cache holds it: one that left is no hint any more
    # What routes made of it: verdict bytes, each under the number of its rules. Numbers begin at 1; 0 is an empty place.
    cdef uint32_t memo_rules[MEMOS]
    cdef uint8_t memo_verdict[MEMOS]
    # What the balancing rule made of a claim, and the number of that claim; 0: nothing yet.
    cdef uint64_t balancing_claim
    cdef uint64_t balancing_key
    # The beginning of the path that a route made of its claims (None: they cannot be in a path), and the number of that route; 0: nothing yet.
    cdef bytes path_beginning
    cdef uint64_t path_number
    # intrusive list of GrantCache; borrowed, since the dictionary of the cache owns its grants
    cdef void *_newer
    cdef void *_older
    cdef bint _visited
    cdef size_t _cost


cdef class GrantCache:
    """Verified tokens by whole token: no hash collision can turn one token into another."""
    cdef dict _entries
    cdef void *_newest
    cdef void *_oldest
    cdef void *_hand
    cdef size_t _table_bytes               # of the dictionary itself; part of bytes_used
    cdef readonly size_t max_bytes
    cdef readonly size_t max_entries
    cdef readonly size_t bytes_used        # an estimate
    cdef readonly uint64_t hits            # hint hits of the gate included
    cdef readonly uint64_t misses          # nothing was found, or something dead
    cdef readonly uint64_t evictions       # for want of room

    # The entry, whether or not it is in its time; None when absent. Counts nothing.
    cdef Grant find(self, const char *token, Py_ssize_t size)
    cpdef Grant lookup(self, bytes token, double now)
    cpdef bint insert(self, Grant grant) except -1
    # A grant refers to so many bytes more (or less, below 0) than when it was inserted.
    cdef int reweigh(self, Grant grant, Py_ssize_t more) except -1
    cdef int _remove(self, Grant grant) except -1
    cdef int _evict(self) except -1
    cdef int _weigh_table(self) except -1
