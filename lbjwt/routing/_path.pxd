from lbjwt.http1._buffer cimport Slice


# Why a path is refused.
cdef enum PathProblem:
    NOT_ABSOLUTE = -1
    CHARACTER = -2
    BACKSLASH = -3
    PERCENT = -4             # a percent sign that begins no escape
    ENCODED_SLASH = -5
    ENCODED_CONTROL = -6
    DOUBLE_ENCODING = -7
    NOT_UTF8 = -8
    DOTS = -9                # a segment that some back ends read as "." or ".."


# True when `path` is canonical and its loose reading is the path without a slash at its end.
cdef bint is_plain(Slice path) noexcept nogil
# Write the canonical `path` to `out` (never longer than `path`). Its size, or a PathProblem.
cdef Py_ssize_t put_canonical(char *out, Slice path) noexcept nogil
# Write the loose reading of a canonical path to `out` (never longer either): decoded, in lower case, without parameters and slashes at the end,
# "" for "/". Its size, or a PathProblem. cut: bytes of it before an encoded "?" or "#", where some back ends stop; -1: none.
cdef Py_ssize_t put_loose(char *out, Slice path, Py_ssize_t *cut) noexcept nogil
