"""TLS over memory: what OpenSSL needs to read goes in as bytes, what it wants to send comes out as bytes.

Knows the `ssl` module and nothing of connections, so that a TLS connection is read and written by the same direct calls as a
plain one. The event loop's own TLS transport costs 7 µs more a request: it queues each write, copies a context for it, and
sends at the end of the loop's turn (docs/design/hot-path.md).

A memory BIO never gets smaller, and a connection keeps its two for life: so ciphertext goes in and comes out a record at a
time, and a connection that moved a gigabyte holds no more than one that moved a page.
"""

from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory

import ssl

cdef enum:
    RECORD = 5 + PLAINTEXT + 256         # bytes of the largest record (RFC 8446 section 5.2)

cdef object _MemoryBIO = ssl.MemoryBIO
cdef object _WantRead = ssl.SSLWantReadError
cdef object _ZeroReturn = ssl.SSLZeroReturnError


cdef class TlsSession:

    def __init__(self, context, *, bint server_side=True, server_hostname=None):
        """
        context: an `ssl.SSLContext` for that side. server_hostname: as a client, whom to expect; required where the context checks it.
        """
        self.server_side = server_side
        self._incoming = _MemoryBIO()
        self._outgoing = _MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname)

    cdef int feed(self, bytes data) except -1:
        if self._rest is not None:
            data = self._rest[self._taken:] + data
            self._rest = None
        if len(data) <= RECORD:
            self._incoming.write(data)
        else:
            self._rest = data
            self._taken = 0
        return 0

    cdef bint has_input(self) except -1:
        cdef Py_ssize_t pending = self._incoming.pending
        cdef Py_ssize_t size
        if self._rest is not None and pending < RECORD:
            size = min(len(self._rest) - self._taken, RECORD - pending)
            self._incoming.write(PyMemoryView_FromMemory(<char *>self._rest + self._taken, size, PyBUF_READ))
            self._taken += size
            if self._taken == len(self._rest):
                self._rest = None
            return True
        return pending > 0

    cdef bint handshake(self) except -1:
        while self.has_input() or not self._begun:
            self._begun = True
            try:
                self._ssl.do_handshake()
            except _WantRead:
                continue
            self.established = True
            return True
        return False

    cdef Py_ssize_t decrypt(self, char *out, Py_ssize_t room) except -1:
        cdef Py_ssize_t size = 0
        cdef Py_ssize_t part
        # Asking for input first is cheaper than the exception that tells that there is none. No record leaves plaintext
        # behind, as there is room for a whole one.
        while not self.ended and room - size >= PLAINTEXT and self.has_input():
            try:
                part = self._ssl.read(room - size, PyMemoryView_FromMemory(out + size, room - size, PyBUF_WRITE))
            except _WantRead:
                continue
            except _ZeroReturn:
                part = 0
            if part == 0:
                self.ended = True
            size += part
        return size

    cdef bytes encrypt(self, const char *data, Py_ssize_t size):
        self._ssl.write(PyMemoryView_FromMemory(<char *>data, size, PyBUF_READ))
        return self._outgoing.read()

    cdef int close_notify(self) except -1:
        # unwrap also looks for the peer's close_notify, and loses what it finds instead.
        cdef bytes unread = self._incoming.read()
        try:
            self._ssl.unwrap()
        except _WantRead:
            pass
        finally:
            self._incoming.write(unread)
        return 0

    cdef bytes output(self):
        return self._outgoing.read() if self._outgoing.pending else b""
