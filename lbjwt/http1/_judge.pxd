# httptools (llhttp in its strict mode) as the judge of a head's grammar. True: it accepts exactly these bytes as one whole
# head with the body we read from it. body: -1 none, -2 chunked, -3 until the connection closes or not told, else its length.
# credentials: the one Authorization value, of size 0 when there is none. known: so many bytes at its end are a token that was accepted before,
# which is read in part only; 0: none is.

from libc.stdint cimport int64_t

from lbjwt.http1._buffer cimport Slice

cdef bint request_head_stands(const char *head, Py_ssize_t size, Slice credentials, Py_ssize_t known, int64_t body, bint keep_alive) noexcept
cdef bint response_head_stands(const char *head, Py_ssize_t size, int64_t body, bint keep_alive) noexcept
