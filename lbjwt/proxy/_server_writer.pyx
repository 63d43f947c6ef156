"""
What an HTTP/1 client is sent: responses as they come from the endpoint, and answers of our own.

Frames bodies for this client, adds the fields that depend on the request, and logs heads that never became an exchange.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdio cimport snprintf
from libc.string cimport strlen

from lbjwt.auth._callers cimport Caller
from lbjwt.auth._places cimport fields_owed
from lbjwt.http1._response cimport CHUNKED, UNTIL_CLOSE
from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.net._connection cimport FAILED
from lbjwt.proxy._exchange cimport REQUEST_ID_SIZE
from lbjwt.proxy._refused_head cimport record_head, record_lost_head, refuse_head

cdef enum:
    COPIED_BODY = 16384          # bytes up to which a body is copied behind its head; beyond, two pieces are sent in one call


cdef class ServerWriter(ClientStream):

    cdef bint ends_soon(self) noexcept:
        return self.context.draining or self.listener.leaving

    cdef void _learn_peer(self):
        self.peer_text = self.connection.peer()
        # Whom an authorizer does not trust, it does not answer.
        self.trusted = self.listener.authorizer is not None or self.context.snapshot.believes(self.peer_text)

    cdef Slice peer(self):
        return Slice(PyBytes_AS_STRING(self.peer_text), PyBytes_GET_SIZE(self.peer_text))

    cdef void send(self, const char *data, Py_ssize_t size):
        if self.connection.send(data, size) == FAILED:
            self._unreachable()

    cdef void _send_parts(self, iovec *parts, int count):
        if self.connection.send_parts(parts, count) == FAILED:
            self._unreachable()

    cdef void _unreachable(self):
        # While nothing is read from the client, after its FIN or in a pause, the loop does not notice an RST: nobody else would end this.
        self.broken = True
        if not self.connection.is_closing():
            self.connection.reset()

    cdef void shutdown(self):
        self.connection.shutdown()

    cdef void close(self):
        self.connection.close()

    cdef void reset(self, ErrorReason reason):
        self.keep_alive = False
        self.phase = GONE
        self.connection.reset()

    cdef void _set_deadline(self, double seconds) noexcept:
        self.deadline = coarse_monotonic() + seconds

    cdef void interim(self, ResponseHead head):
        cdef Buffer out = self.context.out
        out.clear()
        head.write(out, self.http10, True, Slice(NULL, 0), b"", NULL, 0)
        self.send(out.data, out.size)

    cdef void respond(self, ResponseHead head, const char *body, Py_ssize_t size, bint end):
        cdef Buffer out = self.context.out
        cdef Py_ssize_t owed
        cdef const char *extra
        cdef bytes _line                         # owns what `extra` then points to
        cdef bint unmeasured = head.body == CHUNKED or head.body == UNTIL_CLOSE
        # A response that overtakes its request leaves the rest of that request on the wire: such a connection ends with it.
        self.keep_alive = self.keep_alive and self.phase == WAITING and not self.ends_soon() and not (unmeasured and self.http10)
        self.out_chunked = unmeasured and not self.http10
        extra = fields_owed(head, False, self.exchange.token_in_query, &owed)
        if self.exchange.cluster.looks_at is not None:
            _line = self._with_balancing_line(&extra, &owed)
        out.clear()
        head.write(out, self.http10, self.keep_alive, self.exchange._identifier(), self.context.date, extra, owed)
        self._send_body(out, body, size, end)

    cdef bytes _with_balancing_line(self, const char **extra, Py_ssize_t *size):
        """Lengthen the extra lines by that of the balancing rule, if it has one."""
        cdef bytes line = self.exchange.cluster.response_line(self.exchange, self.exchange.endpoint, self.listener.policy.https)
        if line is not None:
            line = extra[0][:size[0]] + line
            extra[0] = line
            size[0] = len(line)
        return line

    cdef void respond_body(self, const char *body, Py_ssize_t size, bint end):
        cdef Buffer out = self.context.out
        if not self.out_chunked:
            if size:
                self.send(body, size)
            return
        out.clear()
        self._send_body(out, body, size, end)

    cdef void _send_body(self, Buffer out, const char *body, Py_ssize_t size, bint end):
        """Send what `out` holds, then the body: as a chunk where the client gets chunks."""
        cdef iovec parts[3]
        cdef char line[20]
        cdef const char *tail = b""
        if self.out_chunked:
            if size:
                out.put(line, snprintf(line, sizeof(line), "%zx\r\n", size))
                tail = b"\r\n0\r\n\r\n" if end else b"\r\n"
            elif end:
                tail = b"0\r\n\r\n"
        if size <= COPIED_BODY:
            if size:
                out.put(body, size)
            out.put(tail, strlen(tail))
            if out.size == 0:
                return
            self.send(out.data, out.size)
        else:
            parts[0].iov_base = out.data
            parts[0].iov_len = out.size
            parts[1].iov_base = <void *>body
            parts[1].iov_len = size
            parts[2].iov_base = <void *>tail
            parts[2].iov_len = strlen(tail)
            self._send_parts(parts, 3)

    cdef void write_switch(self, ResponseHead head):
        cdef Buffer out = self.context.out
        cdef Py_ssize_t owed
        cdef const char *extra = fields_owed(head, self.exchange.subprotocol_answer, self.exchange.token_in_query, &owed)
        cdef bytes _line
        if self.exchange.cluster.looks_at is not None:
            _line = self._with_balancing_line(&extra, &owed)
        out.clear()
        head.write(out, self.http10, True, self.exchange._identifier(), self.context.date, extra, owed)
        self.send(out.data, out.size)

    cdef void _send_answer(self, Answer answer, Slice request_id, bint keep_alive):
        cdef Buffer out = self.context.out
        out.clear()
        out.put(answer.head, len(answer.head))
        out.put(self.context.date, len(self.context.date))
        out.put(b"X-Request-Id: ", 14)
        out.put(request_id.at, request_id.size)
        if not keep_alive:
            out.put(b"\r\nConnection: close\r\n\r\n", 23)
        elif self.http10:
            out.put(b"\r\nConnection: keep-alive\r\n\r\n", 28)
        else:
            out.put(b"\r\n\r\n", 4)
        if not self.bodiless:
            out.put(answer.body, len(answer.body))
        self.send(out.data, out.size)

    cdef void write_refusal(self, ErrorReason reason, const char *at, Py_ssize_t size):
        """Answer a head that was refused, and log it as far as it can be read."""
        cdef char request_id[REQUEST_ID_SIZE]
        cdef Answer answer
        if size > 1 and at[0] == 0x16 and at[1] == 0x03:     # a handshake record of TLS (RFC 8446 section 5.1)
            reason = ErrorReason.TLS_ON_HTTP_PORT
        answer = refuse_head(self.context, self.listener, reason, Caller.NO_GRPC, request_id)
        self.bodiless = False
        self._send_answer(answer, Slice(&request_id[0], REQUEST_ID_SIZE), False)
        record_head(self.context, self.listener, self.peer(), self.trusted, reason, at, size, Slice(&request_id[0], REQUEST_ID_SIZE),
                    answer.status, len(answer.body), False)

    cdef void record_lost(self, ErrorReason reason, const char *at, Py_ssize_t size):
        """Log a head whose connection ended before it became an exchange."""
        record_lost_head(self.context, self.listener, self.peer(), self.trusted, reason, at, size, False)
