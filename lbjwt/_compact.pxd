cdef enum:
    MAX_DEPTH = 32               # levels of JSON nesting: far above any real token, far below any stack
    MAX_NUMBER = 40              # characters of one JSON number; 2^64 has 20, a double prints in 24
    MAX_EXPONENT_DIGITS = 3


cdef struct Parts:
    # offsets into the token; the header starts at 0 and ends before its dot
    Py_ssize_t header_size
    Py_ssize_t payload_at
    Py_ssize_t payload_size
    Py_ssize_t signature_at
    Py_ssize_t signature_size


cdef bint is_token68(const char *token, Py_ssize_t size, bint allow_padding) noexcept nogil
cdef bint is_encrypted(const char *token, Py_ssize_t size) noexcept nogil
cdef bint split(const char *token, Py_ssize_t size, Parts *parts) noexcept nogil
cdef Py_ssize_t decode_base64url(const char *text, Py_ssize_t size, unsigned char *out) noexcept nogil
cdef bytes decoded(const char *text, Py_ssize_t size, bint padding)
cdef dict object_of(bytes text)
cdef Py_ssize_t der_signature(const unsigned char *raw, Py_ssize_t size, unsigned char *out) noexcept nogil
