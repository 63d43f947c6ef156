"""
The text of a compact JWS: its alphabet, its three parts, their base64url, their JSON, and the two spellings of an ECDSA signature.

No function raises for bad input or repairs it. One token has one spelling, so the whole token can be a cache key (RFC 7515 section 2,
RFC 4648 section 3.5).

JSON is judged in two passes. A scan in C bounds what a parser would have to endure (depth, digits, exponent) and counts the members of
all objects; then orjson reads the values and holds the text to RFC 8259 (strict UTF-8, no byte order mark, no lone surrogate, no
trailing text). A name that occurs twice in one object, escaped or not, leaves fewer members in the result than the scan counted.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memset

from orjson import JSONDecodeError, loads

cdef enum:
    OUTSIDE = 0x80               # a byte outside the base64url alphabet

cdef unsigned char SIX_BITS[256]
cdef unsigned char TOKEN68[256]  # RFC 6750 section 2.1, b64token without its "="
cdef object _loads = loads
cdef object _JSONDecodeError = JSONDecodeError


cdef void _fill_alphabet() noexcept:
    cdef bytes alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    cdef int value
    memset(SIX_BITS, OUTSIDE, sizeof(SIX_BITS))
    for value in range(64):
        SIX_BITS[<unsigned char>PyBytes_AS_STRING(alphabet)[value]] = <unsigned char>value
    for value in range(256):
        TOKEN68[value] = SIX_BITS[value] != OUTSIDE or value in b".~+/"


_fill_alphabet()


cdef bint is_token68(const char *token, Py_ssize_t size, bint allow_padding) noexcept nogil:
    """True for the characters of a b64token. allow_padding: `=` may also end the inner segments of a JWS."""
    cdef Py_ssize_t at
    cdef bint padded = False
    for at in range(size):
        if token[at] == c"=":
            padded = True
        elif not TOKEN68[<unsigned char>token[at]]:
            return False
        elif padded:
            if not (allow_padding and token[at] == c"."):
                return False
            padded = False
    return True


cdef bint is_encrypted(const char *token, Py_ssize_t size) noexcept nogil:
    """True for a token with exactly four dots: the form of a compact JWE (RFC 7516 section 9)."""
    cdef const char *end = token + size
    cdef int dots = 0
    while dots < 5:
        token = <const char *>memchr(token, c".", end - token)
        if token == NULL:
            break
        token += 1
        dots += 1
    return dots == 4


cdef bint split(const char *token, Py_ssize_t size, Parts *parts) noexcept nogil:
    """True when the token has exactly two dots and no empty part. Stops at the third dot (THREATS A16, A23)."""
    cdef const char *end = token + size
    cdef const char *first = <const char *>memchr(token, c".", size)
    cdef const char *second
    if first == NULL:
        return False
    second = <const char *>memchr(first + 1, c".", end - first - 1)
    if second == NULL or memchr(second + 1, c".", end - second - 1) != NULL:
        return False
    parts.header_size = first - token
    parts.payload_at = parts.header_size + 1
    parts.payload_size = second - first - 1
    parts.signature_at = second - token + 1
    parts.signature_size = end - second - 1
    return parts.header_size > 0 and parts.payload_size > 0 and parts.signature_size > 0


cdef Py_ssize_t decode_base64url(const char *text, Py_ssize_t size, unsigned char *out) noexcept nogil:
    """
    Decode strict, unpadded, canonical base64url. out has room for size * 3 // 4 bytes.

    Returns the bytes written, or -1 for a byte outside the alphabet, an impossible length or left-over bits that are not zero.
    """
    cdef const unsigned char *at = <const unsigned char *>text
    cdef const unsigned char *whole = at + (size & ~<Py_ssize_t>3)
    cdef unsigned char *start = out
    cdef uint32_t a, b, c, d, seen = 0
    cdef Py_ssize_t rest = size & 3
    if rest == 1:
        return -1
    while at < whole:
        a = SIX_BITS[at[0]]
        b = SIX_BITS[at[1]]
        c = SIX_BITS[at[2]]
        d = SIX_BITS[at[3]]
        seen |= a | b | c | d
        out[0] = <unsigned char>((a << 2) | (b >> 4))
        out[1] = <unsigned char>((b << 4) | (c >> 2))
        out[2] = <unsigned char>((c << 6) | d)
        at += 4
        out += 3
    if rest:
        a = SIX_BITS[at[0]]
        b = SIX_BITS[at[1]]
        seen |= a | b
        out[0] = <unsigned char>((a << 2) | (b >> 4))
        out += 1
        if rest == 2:
            if b & 0x0F:
                return -1
        else:
            c = SIX_BITS[at[2]]
            seen |= c
            out[0] = <unsigned char>((b << 4) | (c >> 2))
            out += 1
            if c & 0x03:
                return -1
    return -1 if seen & OUTSIDE else out - start


cdef bytes decoded(const char *text, Py_ssize_t size, bint padding):
    """The bytes behind a base64url segment, or None. padding: correct `=` padding is accepted (an issuer's opt-in)."""
    cdef bytes result
    cdef int pads = 0
    if padding and size and size % 4 == 0:
        while pads < 2 and text[size - 1] == c"=":
            size -= 1
            pads += 1
    result = PyBytes_FromStringAndSize(NULL, size * 3 // 4)
    if decode_base64url(text, size, <unsigned char *>PyBytes_AS_STRING(result)) < 0:
        return None
    return result


cdef Py_ssize_t _count_members(const unsigned char *at, Py_ssize_t size) noexcept nogil:
    """
    The members of all objects in a JSON text, or -1 when it is nested too deeply or a number is too long.

    Exact for valid JSON; what it answers for invalid JSON does not matter, since the parser refuses that afterwards.
    """
    cdef const unsigned char *end = at + size
    cdef const unsigned char *number
    cdef uint64_t objects = 0    # bit n: level n is an object
    cdef int depth = 0
    cdef int exponent
    cdef bint name_next = False
    cdef Py_ssize_t members = 0
    cdef unsigned char c
    while at < end:
        c = at[0]
        at += 1
        if c == c'"':
            members += name_next
            name_next = False
            while at < end and at[0] != c'"':
                at += 2 if at[0] == c"\\" else 1
            at += 1
        elif c == c",":
            name_next = (objects >> depth) & 1
        elif c == c"{" or c == c"[":
            if depth == MAX_DEPTH:
                return -1
            depth += 1
            name_next = c == c"{"
            if name_next:
                objects |= <uint64_t>1 << depth
            else:
                objects &= ~(<uint64_t>1 << depth)
        elif c == c"}" or c == c"]":
            if depth == 0:
                return -1
            depth -= 1
            name_next = False
        elif c == c"-" or c"0" <= c <= c"9":
            number = at - 1
            exponent = -1
            while at < end:
                c = at[0]
                if c"0" <= c <= c"9":
                    exponent += exponent >= 0
                elif c == c"e" or c == c"E":
                    exponent = 0
                elif c != c"." and c != c"+" and c != c"-":
                    break
                at += 1
            if at - number > MAX_NUMBER or exponent > MAX_EXPONENT_DIGITS:
                return -1
    return members


cdef Py_ssize_t _members_of(object value) except -1:
    """The members of all objects in a parsed value. Recursion is bounded by MAX_DEPTH, checked before parsing."""
    cdef Py_ssize_t members = 0
    if type(value) is dict:
        members = len(<dict>value)
        for item in (<dict>value).values():
            if type(item) is dict or type(item) is list:
                members += _members_of(item)
    else:
        for item in <list>value:
            if type(item) is dict or type(item) is list:
                members += _members_of(item)
    return members


cdef dict object_of(bytes text):
    """The JSON object a text is, or None: not RFC 8259, not an object, over a limit, or a name twice in one object."""
    cdef Py_ssize_t members = _count_members(<const unsigned char *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    if members < 0:
        return None
    try:
        value = _loads(text)
    except _JSONDecodeError:
        return None
    if type(value) is not dict or _members_of(value) != members:
        return None
    return <dict>value


cdef Py_ssize_t _put_integer(const unsigned char *at, Py_ssize_t size, unsigned char *out) noexcept nogil:
    cdef Py_ssize_t lead = 0
    cdef bint sign
    while size > 1 and at[0] == 0:
        at += 1
        size -= 1
    sign = at[0] >= 0x80         # a DER integer is signed
    if sign:
        lead = 1
        out[2] = 0
    out[0] = 0x02
    out[1] = <unsigned char>(size + lead)
    memcpy(out + 2 + lead, at, size)
    return 2 + lead + size


cdef Py_ssize_t der_signature(const unsigned char *raw, Py_ssize_t size, unsigned char *out) noexcept nogil:
    """
    Turn r || s (RFC 7518 section 3.4) into the DER SEQUENCE that OpenSSL reads.

    raw: size bytes, size even and at most 132 (P-521), which the caller has checked. out: room for size + 9 bytes.
    Whether r and s are in range is the primitive's question, and it asks it.
    """
    cdef Py_ssize_t half = size // 2
    cdef unsigned char body[144]
    cdef Py_ssize_t length = _put_integer(raw, half, body)
    cdef Py_ssize_t head = 2
    length += _put_integer(raw + half, half, body + length)
    out[0] = 0x30
    if length < 0x80:
        out[1] = <unsigned char>length
    else:
        out[1] = 0x81
        out[2] = <unsigned char>length
        head = 3
    memcpy(out + head, body, length)
    return head + length


def parse_base64url(bytes text not None, bint padding=False):
    return decoded(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), padding)


def parse_object(bytes text not None):
    return object_of(text)
