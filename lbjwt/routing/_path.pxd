# The path of a request in its one spelling, and as the most forgiving back end would read it. C only but for the test doors.

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


# True when `path` is in its one spelling and is read alike by everybody, but for a slash at its end: nothing to do.
cdef bint is_plain(Slice path) noexcept nogil
# Write the one spelling of `path` to `out` (never longer than `path`). Its size, or a PathProblem.
cdef Py_ssize_t put_canonical(char *out, Slice path) noexcept nogil
# Write the loose reading of a canonical path to `out` (never longer either): decoded, letters lower, parameters and slashes at the end cut off,
# "" for "/". Its size, or a PathProblem. cut: bytes of it before an encoded "?" or "#", where a careless back end stops; -1: none.
cdef Py_ssize_t put_loose(char *out, Slice path, Py_ssize_t *cut) noexcept nogil
