# Writing a head into memory already reserved: each function copies and returns where the next byte goes.

from libc.string cimport memcpy

from lbjwt.http1._buffer cimport Slice


cdef inline char *put_text(char *out, const char *text, Py_ssize_t size) noexcept nogil:
    memcpy(out, text, size)
    return out + size


cdef inline char *put_slice(char *out, Slice text) noexcept nogil:
    memcpy(out, text.at, text.size)
    return out + text.size


cdef inline char *put_line_end(char *out) noexcept nogil:
    out[0] = c'\r'
    out[1] = c'\n'
    return out + 2


cdef inline char *put_field(char *out, Slice name, Slice value) noexcept nogil:
    memcpy(out, name.at, name.size)
    out += name.size
    out[0] = c':'
    out[1] = c' '
    out += 2
    memcpy(out, value.at, value.size)
    return put_line_end(out + value.size)


cdef inline char *put_number(char *out, unsigned long long number) noexcept nogil:
    cdef char digits[20]
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <char> (c'0' + number % 10)
        number //= 10
        if number == 0:
            break
    return put_text(out, digits + at, 20 - at)


cdef inline char *put_content_length(char *out, unsigned long long length) noexcept nogil:
    return put_line_end(put_number(put_text(out, b"Content-Length: ", 16), length))
