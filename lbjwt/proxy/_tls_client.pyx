"""The client side of HTTP/1 under TLS: the same, behind a `TlsSession`.

Knows when ciphertext becomes input and output becomes ciphertext. Reading stops where the plain side stops it: records
behind a pause stay encrypted until reading goes on.
"""

import asyncio
from ssl import SSLError

from lbjwt._error_reason cimport ErrorReason
from lbjwt.net._tls cimport PLAINTEXT
from lbjwt.net._wire cimport FAILED, QUEUED, WHOLE, Wire
from lbjwt.proxy._client_writer cimport GONE, LINGERING
from lbjwt.proxy._exchange cimport Exchange

cdef enum:
    RECORDS = 8                  # sent in one call: 64 KiB of a body with its head and the chunk's end


cdef class TlsClientSide(ClientSide):

    def __init__(self, traffic, listener):
        ClientSide.__init__(self, traffic, listener)
        self.tls = TlsSession(self.listener.tls)

    # --- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport):
        ClientSide.connection_made(self, transport)
        if self.phase != GONE:
            self._set_deadline(self.listener.handshake_timeout)

    def data_received(self, bytes data):
        # Nothing counts behind a close_notify (RFC 8446 section 6.1).
        if self.phase == GONE or self.phase == LINGERING or self.tls.ended:
            return
        if not self.tls.established and not self.greeted:
            self.greeted = True
            if b"A" <= data[:1] <= b"Z":             # a method; a record of TLS begins with a byte below 0x18 (RFC 8446 section 5.1)
                self.plain = True
                self._refuse_head(ErrorReason.HTTP_ON_TLS_PORT, data, len(data))
                return
        try:
            self.tls.feed(data)
            if not self.tls.established:
                if not self.tls.handshake():
                    self._flush()
                    return
                self._flush()                    # session tickets
                self._set_deadline(self.traffic.snapshot.head_timeout)
            self._decrypt()
        except SSLError:
            self._fail()

    def eof_received(self):
        # The end of the stream without a close_notify is a truncation (RFC 8446 section 6.1); behind one it says nothing new.
        if not self.tls.ended:
            self._client_closed()
        return self.tls.ended and self.phase != LINGERING and self.can_half_close()

    # --- input --------------------------------------------------------------------------------------------------------

    cdef void _decrypt(self):
        cdef Py_ssize_t size
        while not self.read_paused and self.phase != GONE and self.phase != LINGERING:
            size = self.tls.decrypt(self.traffic.receive_at, len(self.traffic.receive))
            if size == 0:
                if self.tls.ended and not self.end_taken:
                    self.end_taken = True
                    if not ClientSide.eof_received(self):
                        self.close()
                break
            ClientSide.data_received(self, self.traffic.receive_at[:size])
        if self._flush() == QUEUED and self.write_paused and not self.read_paused:
            # Answers to key updates: who does not read them cannot ask for more.
            self.stalled = True
            self.pause()

    def resume_writing(self):
        ClientSide.resume_writing(self)
        if self.stalled:
            self.resume()

    cdef void resume(self):
        cdef bint was_paused = self.read_paused
        self.stalled = False
        Wire.resume(self)
        if was_paused and not self.read_paused and not self.continuing and self.tls.established and (self.tls.ended or self.tls.has_input()):
            # Not at once: whoever resumes may be in the middle of the bytes before.
            self.continuing = True
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self):
        self.continuing = False
        try:
            self._decrypt()
        except SSLError:
            self._fail()

    # --- output -------------------------------------------------------------------------------------------------------

    cdef Sent send_parts(self, iovec *parts, int count):
        cdef iovec out[RECORDS]
        cdef list records = []
        cdef bytes record
        cdef Sent sent = WHOLE
        cdef const char *data
        cdef size_t left, size
        cdef int at
        if self.plain:
            return ClientSide.send_parts(self, parts, count)
        if not self.tls.established or self.transport is None or self.transport.is_closing():
            self._unreachable()
            return FAILED
        for at in range(count):
            data = <const char *>parts[at].iov_base
            left = parts[at].iov_len
            while left:
                if len(records) == RECORDS:
                    sent = ClientSide.send_parts(self, out, RECORDS)
                    records = []
                size = min(left, <size_t>PLAINTEXT)
                try:
                    record = self.tls.encrypt(data, size)
                except SSLError:
                    # What could not be said must not be missing in the middle of what is said later.
                    self._unreachable()
                    return FAILED
                out[len(records)].iov_base = <char *>record
                out[len(records)].iov_len = len(record)
                records.append(record)
                data += size
                left -= size
        return ClientSide.send_parts(self, out, len(records)) if records else sent

    cdef Sent _flush(self):
        """Send what TLS itself has to say."""
        cdef bytes output = self.tls.output()
        cdef iovec whole
        if not output:
            return WHOLE
        whole.iov_base = <char *>output
        whole.iov_len = len(output)
        return Wire.send_parts(self, &whole, 1)

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void _say_goodbye(self):
        if not self.tls.established or self.said_goodbye:
            return
        self.said_goodbye = True
        try:
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
        self.traffic.board.mine.errors[<int>ErrorReason.TOO_MANY_CONNECTIONS] += 1
        self.phase = GONE
        self.reset()

    cdef void _fail(self):
        """The client broke TLS, or there is no agreeing with it: send the alert and end, the exchange too."""
        cdef Exchange exchange = self.exchange
        self._flush()
        self.said_goodbye = True                 # no close_notify behind an alert
        self.phase = LINGERING
        if exchange is not None:
            exchange.downstream_lost()
        self._linger()

    cdef void expired(self):
        if self.tls.established:
            ClientSide.expired(self)
        else:
            self.reset()
