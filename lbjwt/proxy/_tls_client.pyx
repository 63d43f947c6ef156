"""The client side of HTTP/1 under TLS: the same, behind a `TlsSession`.

Knows when ciphertext becomes input and output becomes ciphertext. Reading stops where the plain side stops it: records
behind a pause stay encrypted until reading goes on.
"""

import asyncio
from ssl import SSLError

from lbjwt.net._wire cimport FAILED, Wire
from lbjwt.proxy._client cimport GONE, LINGERING


cdef class TlsClientSide(ClientSide):

    def __init__(self, traffic, policy, context, double handshake_timeout):
        ClientSide.__init__(self, traffic, policy)
        self.tls = TlsSession(context)
        self.handshake_timeout = handshake_timeout

    def connection_made(self, transport):
        ClientSide.connection_made(self, transport)
        if self.phase != GONE:
            self._set_deadline(self.handshake_timeout)

    def data_received(self, bytes data):
        if self.phase == GONE or self.phase == LINGERING:
            return
        try:
            self.tls.feed(data)
            if not self.tls.established:
                if not self.tls.handshake():
                    self._flush()
                    return
                self._flush()                    # session tickets
                self._set_deadline(self.traffic.head_timeout)
            self._decrypt()
        except SSLError:
            self._fail()

    def eof_received(self):
        # The end of the stream without a close_notify is a truncation (RFC 8446 section 6.1).
        return False

    def _read_on(self):
        self.continuing = False
        try:
            self._decrypt()
        except SSLError:
            self._fail()

    cdef void _decrypt(self):
        cdef Py_ssize_t size
        while not self.read_paused and self.phase != GONE and self.phase != LINGERING:
            size = self.tls.decrypt(self.traffic.receive)
            if size == 0:
                if self.tls.ended and not ClientSide.eof_received(self):
                    self.close()
                break
            ClientSide.data_received(self, self.traffic.receive_at[:size])
        self._flush()

    cdef void resume(self):
        cdef bint was_paused = self.read_paused
        Wire.resume(self)
        if was_paused and not self.continuing and self.tls.established:
            # Not at once: whoever resumes may be in the middle of the bytes before.
            self.continuing = True
            asyncio.get_running_loop().call_soon(self._read_on)

    cdef Sent send_parts(self, iovec *parts, int count):
        cdef iovec whole
        cdef bytes output
        cdef int at
        if not self.tls.established or self.transport is None or self.transport.is_closing():
            return FAILED
        try:
            for at in range(count):
                self.tls.encrypt(<const char *>parts[at].iov_base, parts[at].iov_len)
        except SSLError:
            return FAILED
        output = self.tls.output()
        whole.iov_base = <char *>output
        whole.iov_len = len(output)
        return Wire.send_parts(self, &whole, 1)

    cdef void _flush(self):
        cdef bytes output = self.tls.output()
        cdef iovec whole
        if output:
            whole.iov_base = <char *>output
            whole.iov_len = len(output)
            Wire.send_parts(self, &whole, 1)

    cdef void _say_goodbye(self):
        try:
            if self.tls.established:
                self.tls.close_notify()
        except SSLError:
            pass
        self._flush()

    cdef void shutdown(self):
        self._say_goodbye()
        Wire.shutdown(self)

    cdef void close(self):
        self._say_goodbye()
        Wire.close(self)

    cdef void turn_away(self):
        self.phase = GONE
        self.reset()

    cdef void _fail(self):
        """The peer broke TLS, or cannot agree: send the alert and end."""
        self._flush()
        self.phase = GONE
        Wire.close(self)

    cdef void expired(self):
        if self.tls.established:
            ClientSide.expired(self)
        else:
            self.reset()
