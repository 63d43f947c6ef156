"""
The response head: parsed strictly, its body's length decided by RFC 9112 section 6.3, written anew from its parts.

An endpoint is not believed to be honest: what is ambiguous is refused, and the proxy answers 502 and drops the connection.
Pure rules on data: no I/O, no clock. Nothing here raises but MemoryError.
"""

from libc.string cimport memcmp

from lbjwt._error_reason cimport in_response
from lbjwt.http1._judge cimport response_head_stands
from lbjwt.http1._names cimport CONNECTION, CONTENT_LENGTH, DATE, FORWARD, TRANSFER_ENCODING, UPGRADE, response_kind
from lbjwt.http1._scan cimport DIGIT, all_of, equals, parse_length, scan_head, split_field
from lbjwt.http1._writing cimport put_content_length, put_field, put_line_end, put_number, put_slice, put_text


cdef class ResponseHead(Head):

    cdef Parse parse(self, const char *data, Py_ssize_t size, Py_ssize_t seen, Method method, bint upgrade_asked,
                     Py_ssize_t max_head, Py_ssize_t max_fields):
        cdef Slice line
        cdef Py_ssize_t found
        cdef int64_t judged
        self.problem = ErrorReason.NO_ERROR
        self.size = self.status = 0                  # nothing of an earlier head is left to be read after a refusal
        self.reason = Slice(NULL, 0)
        if size == 0:
            return Parse.NEED_MORE
        if data[0] != c'H':                      # no empty line is allowed before a status line
            self._refuse(ErrorReason.RESPONSE_STATUS_LINE)
            return Parse.REFUSED
        found = scan_head(data, size, 0, seen, max_head - 3, max_head, max_fields, &line, &self._fields, &self._count,
                          &self._capacity)
        if found == 0:
            return Parse.NEED_MORE
        if found < 0:
            self._refuse(in_response(<ErrorReason> -found))
        elif self._count > max_fields:
            self._count = 0
            self._refuse(ErrorReason.RESPONSE_TOO_MANY_FIELDS)
        elif self._take_status_line(line) and self._take_fields() and self._take_body(method, upgrade_asked):
            self.size = found
            # httptools is not told the request's method, so it is asked about the body that the head alone announces
            if self.status < 200 or self.status == 204 or self.status == 304:
                judged = -1
            else:
                judged = -2 if self._chunked else self._declared if self._declared >= 0 else -3
            if response_head_stands(data, found, judged, self.keep_alive):
                return Parse.COMPLETE
            self._refuse(ErrorReason.RESPONSE_GRAMMAR)
        return Parse.REFUSED

    cdef bint _take_status_line(self, Slice line):
        """HTTP-version SP 3DIGIT SP [reason] (RFC 9112 section 4); the space before an absent reason may be missing."""
        cdef const char *at = line.at
        if (line.size < 12 or memcmp(at, b"HTTP/1.", 7) != 0 or not (at[7] == c'0' or at[7] == c'1') or at[8] != c' '
                or not all_of(at + 9, 3, DIGIT) or (line.size > 12 and at[12] != c' ')):
            return self._refuse(ErrorReason.RESPONSE_STATUS_LINE)
        self.http10 = at[7] == c'0'
        self.status = (at[9] - c'0') * 100 + (at[10] - c'0') * 10 + at[11] - c'0'
        if self.status < 100 or self.status > 599:
            return self._refuse(ErrorReason.RESPONSE_STATUS)
        self.reason.at = at + (13 if line.size > 12 else 12)
        self.reason.size = line.size - (13 if line.size > 12 else 12)
        return True

    cdef bint _take_fields(self):
        cdef Field *field = self._fields
        cdef Field *end = self._fields + self._count
        cdef bint odd = False
        cdef bint connection = False
        cdef uint32_t kind
        self._declared = -1
        self._chunked = self._websocket_named = self._dated = False
        self._close_said = self._keep_alive_said = self._connection_upgrade = False
        while field < end:
            if split_field(field, &odd) < 0:
                return self._refuse(ErrorReason.RESPONSE_FIELD_LINE)
            kind = field.kind = response_kind(field.name.at, field.name.size)
            if kind == CONTENT_LENGTH:
                if self._declared >= 0:
                    return self._refuse(ErrorReason.RESPONSE_DUPLICATE_LENGTH)
                self._declared = parse_length(field.value)
                if self._declared < 0:
                    return self._refuse(ErrorReason.RESPONSE_CONTENT_LENGTH)
            elif kind == TRANSFER_ENCODING:
                if self._chunked or self.http10 or not equals(field.value, b"chunked", 7):
                    return self._refuse(ErrorReason.RESPONSE_TRANSFER_ENCODING)
                self._chunked = True
            elif kind == DATE:
                self._dated = True
                field.kind = FORWARD
            elif kind == UPGRADE:
                self._websocket_named = equals(field.value, b"websocket", 9)
            elif kind == CONNECTION:
                connection = True
            field += 1
        if self._chunked and self._declared >= 0:
            return self._refuse(ErrorReason.RESPONSE_LENGTH_AND_ENCODING)
        if connection and not self._take_connection(None, ErrorReason.RESPONSE_CONNECTION_OPTION):
            return False
        self.keep_alive = not self._close_said and (self._keep_alive_said or not self.http10)     # RFC 9112 section 9.3
        return True

    cdef bint _nominate(self, Slice name, RequestPolicy policy):
        self._dated = self._dated and not equals(name, b"date", 4)
        return Head._nominate(self, name, policy)

    cdef bint _take_body(self, Method method, bint upgrade_asked):
        """RFC 9112 section 6.3, rules 1 to 8, from the request's method, the status and the fields."""
        self.content_length = -1
        self.body = Body.NO_BODY
        self.websocket = False
        if self.status == 101:
            if not upgrade_asked:
                return self._refuse(ErrorReason.RESPONSE_UNASKED_UPGRADE)
            if not (self._connection_upgrade and self._websocket_named) or self.http10:
                return self._refuse(ErrorReason.RESPONSE_BAD_UPGRADE)
            self.websocket = True
            self.keep_alive = False
        if self.status < 200 or self.status == 204:
            # RFC 9110 section 8.6 forbids a length here. It is dropped; if it announces a body, the connection is not used again.
            if self._chunked or self._declared > 0:
                self.keep_alive = False
            return True
        if method == Method.HEAD or self.status == 304:
            self.content_length = self._declared # of the body that a GET would have had: kept as a field
            return True
        if self._chunked:
            self.body = Body.CHUNKED
        elif self._declared >= 0:
            self.body = Body.LENGTH
            self.content_length = self._declared
        else:
            self.body = Body.UNTIL_CLOSE
            self.keep_alive = False
        return True

    cdef bint names_subprotocol(self) noexcept:
        cdef Py_ssize_t i
        for i in range(self._count):
            if self._fields[i].kind == FORWARD and equals(self._fields[i].name, b"sec-websocket-protocol", 22):
                return True
        return False

    cdef int write(self, Buffer out, bint http10, bint keep_alive, Slice request_id, bytes date, const char *extra,
                   Py_ssize_t extra_size) except -1:
        cdef Field *field = self._fields
        cdef Field *end = self._fields + self._count
        cdef char *at
        out.reserve(self.size + self._count + request_id.size + len(date) + extra_size + 256)
        at = put_text(out.data + out.size, b"HTTP/1.1 ", 9)
        at = put_number(at, self.status)
        at[0] = c' '
        at = put_line_end(put_slice(at + 1, self.reason))
        while field < end:
            if field.kind == FORWARD:
                at = put_field(at, field.name, field.value)
            field += 1
        if self.content_length >= 0:
            at = put_content_length(at, self.content_length)
        elif self.body == Body.CHUNKED or self.body == Body.UNTIL_CLOSE:
            if http10:
                keep_alive = False               # the end of the connection is the end of the body
            else:
                at = put_text(at, b"Transfer-Encoding: chunked\r\n", 28)
        if self.websocket:
            at = put_text(at, b"Connection: Upgrade\r\nUpgrade: websocket\r\n", 41)
        elif self.status >= 200:
            if not keep_alive:
                at = put_text(at, b"Connection: close\r\n", 19)
            elif http10:
                at = put_text(at, b"Connection: keep-alive\r\n", 24)
        if request_id.size:
            if not self._dated:                  # RFC 9110 section 6.6.1
                at = put_text(at, date, len(date))
            at = put_line_end(put_slice(put_text(at, b"X-Request-Id: ", 14), request_id))
        if extra_size:
            at = put_text(at, extra, extra_size)
        at = put_line_end(at)
        out.size = at - out.data
        return 0

    def parse_bytes(self, data, Method method, *, bint upgrade_asked=False, Py_ssize_t max_head=65536,
                    Py_ssize_t max_fields=200, Py_ssize_t seen=0):
        cdef Py_buffer *view = self._borrow(data)
        return self.parse(<const char *> view.buf, view.len, seen, method, upgrade_asked, max_head, max_fields)

    def write_bytes(self, *, bint http10=False, bint keep_alive=True, bytes request_id=b"", bytes date=b"", bytes extra=b""):
        cdef Buffer out = Buffer()
        self.write(out, http10, keep_alive, Slice(request_id, len(request_id)), date, extra, len(extra))
        return out.data[:out.size]
