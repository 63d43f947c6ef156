"""
Decoding a chunked body (RFC 9112 section 7.1), strict, in place, from any segmentation.

Sizes are 1 to 15 hexadecimal digits with nothing around them; line ends are CRLF; extensions are checked, bounded and dropped (H9);
trailer fields are checked, bounded and dropped (H10). One refusal ends the message: the decoder is then not to be fed again.
Pure rules on data: no I/O, no clock; nothing raises.
"""

from libc.stdint cimport UINT64_MAX
from libc.string cimport memmove

from lbjwt.http1._scan cimport DIGIT, HEX, TOKEN, byte_class

cdef enum:
    MAX_DIGITS = 15
    MAX_EXTENSION = 256          # bytes, one chunk
    MAX_EXTENSIONS = 4096        # bytes, one message
    MAX_TRAILER = 8192           # bytes, line ends included
    MAX_TRAILER_FIELDS = 64

cdef enum:
    SIZE = 0                     # in the digits of a chunk size
    SIZE_LF = 2
    DATA = 3
    DATA_CR = 4
    DATA_LF = 5
    TRAILER_LINE = 6             # at the first byte of a line of the trailer section
    TRAILER_NAME = 7
    TRAILER_VALUE = 8
    TRAILER_LF = 9
    LAST_LF = 10
    # In an extension: 11 and up.
    EXTENSION = 11               # behind its semicolon, before its name
    EXTENSION_NAME = 12
    NAME_END = 13                # in white space behind the name
    EQUALS = 14                  # behind the equals sign, before a value
    EXTENSION_VALUE = 15         # in a token
    QUOTED = 16
    ESCAPED = 17                 # behind a backslash
    VALUE_END = 18               # behind a quoted string, or in white space behind a value
    BLANKS = 19                  # in white space where the next semicolon must come


cdef class ChunkedDecoder:

    cpdef void start(self, int64_t max_body) noexcept:
        self.done = False
        self.problem = ErrorReason.NO_ERROR
        self.body_bytes = 0
        self.body_at = self.body_size = 0
        self._state = SIZE
        self._digits = 0
        self._left = 0
        self._max_body = UINT64_MAX if max_body < 0 else <uint64_t> max_body
        self._extension = self._extensions = self._trailer = self._trailer_fields = 0

    cdef Py_ssize_t _refuse(self, ErrorReason problem) noexcept:
        self.problem = problem
        return -1

    cpdef Py_ssize_t feed(self, char *data, Py_ssize_t size) noexcept:
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t span
        cdef uint8_t c
        self.body_at = self.body_size = 0
        while at < size and not self.done:
            if self._state == DATA:
                span = size - at
                if <uint64_t> span > self._left:
                    span = <Py_ssize_t> self._left
                if self.body_size == 0:
                    self.body_at = at
                elif self.body_at + self.body_size != at:
                    memmove(data + self.body_at + self.body_size, data + at, span)
                self.body_size += span
                self.body_bytes += span
                self._left -= span
                at += span
                if self._left == 0:
                    self._state = DATA_CR
                continue
            c = <uint8_t> data[at]
            at += 1
            if self._state == SIZE:
                if byte_class[c] & HEX:
                    if self._digits == MAX_DIGITS:
                        return self._refuse(ErrorReason.CHUNK_SIZE)
                    self._digits += 1
                    self._left = self._left * 16 + (c - c'0' if byte_class[c] & DIGIT else (c | 0x20) - c'a' + 10)
                elif self._digits == 0:
                    return self._refuse(ErrorReason.CHUNK_SIZE)
                elif c == c'\r':
                    self._state = SIZE_LF
                elif c == c';':
                    self._extension = 1
                    self._state = EXTENSION
                else:
                    return self._refuse(ErrorReason.CHUNK_SIZE)
            elif self._state >= EXTENSION:
                if not self._take_extension(c):
                    return self._refuse(ErrorReason.CHUNK_EXTENSION)
                if self._state == SIZE_LF:
                    self._extensions += self._extension
                else:
                    self._extension += 1
                if self._extension > MAX_EXTENSION or self._extensions > MAX_EXTENSIONS:
                    return self._refuse(ErrorReason.CHUNK_EXTENSION_TOO_LARGE)
            elif self._state == SIZE_LF:
                if c != c'\n':
                    return self._refuse(ErrorReason.CHUNK_LINE_END)
                if self._left > self._max_body - self.body_bytes:
                    return self._refuse(ErrorReason.BODY_TOO_LARGE)
                self._state = DATA if self._left else TRAILER_LINE
                self._digits = 0
                self._extension = 0
            elif self._state == DATA_CR:
                if c != c'\r':
                    return self._refuse(ErrorReason.CHUNK_DATA_END)
                self._state = DATA_LF
            elif self._state == DATA_LF:
                if c != c'\n':
                    return self._refuse(ErrorReason.CHUNK_DATA_END)
                self._state = SIZE
            else:
                self._trailer += 1
                if self._trailer > MAX_TRAILER:
                    return self._refuse(ErrorReason.TRAILER_TOO_LARGE)
                if not self._take_trailer(c):
                    return -1
        return at

    cdef bint _take_extension(self, uint8_t c) noexcept:
        """One byte of *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 section 7.1.1; no BWS before the first ";"."""
        cdef bint blank = c == c' ' or c == c'\t'
        cdef bint token = byte_class[c] & TOKEN
        cdef int state = self._state
        if state == QUOTED or state == ESCAPED:
            if c == 0x7f or (c < 0x20 and c != c'\t'):
                return False
            self._state = (QUOTED if state == ESCAPED else VALUE_END if c == c'"' else ESCAPED if c == c'\\' else QUOTED)
        elif token and (state == EXTENSION or state == EXTENSION_NAME):
            self._state = EXTENSION_NAME
        elif token and (state == EQUALS or state == EXTENSION_VALUE):
            self._state = EXTENSION_VALUE
        elif blank and state != EXTENSION and state != EQUALS:
            self._state = NAME_END if state == EXTENSION_NAME or state == NAME_END else BLANKS
        elif c == c'"' and state == EQUALS:
            self._state = QUOTED
        elif c == c'=' and (state == EXTENSION_NAME or state == NAME_END):
            self._state = EQUALS
        elif c == c';' and state != EXTENSION and state != EQUALS:
            self._state = EXTENSION
        elif c == c'\r' and (state == EXTENSION_NAME or state == EXTENSION_VALUE or state == VALUE_END):
            self._state = SIZE_LF
        else:
            return blank and (state == EXTENSION or state == EQUALS)
        return True

    cdef bint _take_trailer(self, uint8_t c) noexcept:
        """One byte of the trailer section: *( field-line CRLF ) CRLF."""
        if self._state == TRAILER_LINE:
            if c == c'\r':
                self._state = LAST_LF
                return True
            self._trailer_fields += 1
            if not byte_class[c] & TOKEN:
                self.problem = ErrorReason.TRAILER
            elif self._trailer_fields > MAX_TRAILER_FIELDS:
                self.problem = ErrorReason.TRAILER_TOO_LARGE
            self._state = TRAILER_NAME
        elif self._state == TRAILER_NAME:
            if c == c':':
                self._state = TRAILER_VALUE
            elif not byte_class[c] & TOKEN:
                self.problem = ErrorReason.TRAILER
        elif self._state == TRAILER_VALUE:
            if c == c'\r':
                self._state = TRAILER_LF
            elif c == 0x7f or (c < 0x20 and c != c'\t'):
                self.problem = ErrorReason.TRAILER
        elif c != c'\n':
            self.problem = ErrorReason.TRAILER
        elif self._state == TRAILER_LF:
            self._state = TRAILER_LINE
        else:
            self.done = True
        return self.problem == ErrorReason.NO_ERROR
