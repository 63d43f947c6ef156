from lbjwt.http2._fields_out cimport FieldsOut
from lbjwt.http2._nghttp2 cimport NameValue


cdef struct Body:
    # The body of one stream on its way to the peer, in memory of C: the engine asks for it while it works.
    Body *before
    Body *after
    int stream
    bint ended                   # all of it is here
    bint deferred                # the engine found nothing, and has to be told when there is something
    const char *lent             # bytes of the caller of `send_data`, valid until it returns; only if none of our own are before them
    Py_ssize_t lent_size
    char *own
    Py_ssize_t start             # of what waits in `own` …
    Py_ssize_t end               # … and its end
    Py_ssize_t capacity
    NameValue *trailers          # with their text, in one piece; NULL: there are none
    Py_ssize_t trailer_count


cdef inline Py_ssize_t waiting(const Body *body) noexcept:
    """Bytes."""
    return body.end - body.start + body.lent_size


# The first of those that wait: `size` of them, no more than `waiting`.
cdef inline const char *first_bytes(const Body *body) noexcept:
    return body.lent if body.start == body.end else body.own + body.start


cdef inline void take_bytes(Body *body, Py_ssize_t size) noexcept:
    if body.start == body.end:
        body.lent += size
        body.lent_size -= size
    else:
        body.start += size
        if body.start == body.end:
            body.start = body.end = 0


# Of a stream without a number yet; NULL: there is no memory. first: of all bodies of the connection
cdef Body *new_body(Body **first) noexcept
cdef void free_body(Body **first, Body *body) noexcept
# False: there is no memory.
cdef bint append(Body *body, const char *at, Py_ssize_t size) noexcept
cdef bint keep_lent(Body *body) noexcept         # what was lent and is not taken is copied
cdef bint keep_trailers(Body *body, FieldsOut fields) noexcept
