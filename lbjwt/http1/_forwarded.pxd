from lbjwt.http1._buffer cimport Field, Slice

# The entries of X-Forwarded-For; how many there are. Number n is entries[n % room], of the newest `room` of them.
cdef Py_ssize_t forwarded_for(Field *fields, Field *end, Slice *entries, Py_ssize_t room) noexcept
# fields: all fields of the head up to `end`, to take the client's own entries from; NULL to leave them out
cdef char *put_forwarded_for(char *at, Slice peer, Field *fields, Field *end) noexcept
# claimed: the client's own value when it came once; at is NULL otherwise
cdef char *put_forwarded_proto(char *at, Slice claimed, bint trusted, bint https) noexcept
cdef char *put_forwarded_host(char *at, Slice claimed, bint trusted, Slice host) noexcept
# The Forwarded field (RFC 7239). fields: as above; what they say of proxies before the peer comes first. proto, host: what the peer claims of them,
# as above, for fields that say X-Forwarded-* only
cdef char *put_forwarded(char *at, Slice peer, bint https, Slice host, Field *fields, Field *end, Slice proto, Slice claimed_host) noexcept
cdef bint is_forwarded(Field *field) noexcept
