from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._field cimport Field

# fields: all fields of the head up to `end`, to take the client's own entries from; NULL to leave them out
cdef char *put_forwarded_for(char *at, Slice peer, Field *fields, Field *end) noexcept
# claimed: the client's own value when it came once; at is NULL otherwise
cdef char *put_forwarded_proto(char *at, Slice claimed, bint trusted, bint https) noexcept
cdef char *put_forwarded_host(char *at, Slice claimed, bint trusted, Slice host) noexcept
