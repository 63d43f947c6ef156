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

from lbjwt.net.handshake import fault_of

cdef enum:
    RECORD = 5 + PLAINTEXT + 256         # bytes of the largest record (RFC 8446 section 5.2)

cdef object _MemoryBIO = ssl.MemoryBIO
cdef object _WantRead = ssl.SSLWantReadError
cdef object _ZeroReturn = ssl.SSLZeroReturnError


cdef class TlsPeer:

    def __init__(self, source not None, str server_name not None):
        """
        source: has the `ssl.SSLContext` for new connections as `context`, and `settings`. server_name: whom the certificate must name.
        """
        self.source = source
        self.server_name = server_name

    cdef TlsSession connect(self):
        return TlsSession(self.source.context, peer=self)

    cdef bint is_like(self, TlsPeer other):
        return self.server_name == other.server_name and self.source.settings == other.source.settings

    cdef object session_of(self, context):
        return self._session if self._context is context else None

    cdef int remember(self, tls) except -1:
        self._session = tls.session
        self._context = tls.context
        return 0


cdef class TlsSession:

    def __init__(self, context, *, TlsPeer peer=None):
        """
        context: an `ssl.SSLContext` for that side. peer: as a client, whom to expect; None for a server.
        """
        self.server_side = peer is None
        self._peer = peer
        self._incoming = _MemoryBIO()
        self._outgoing = _MemoryBIO()
        if peer is None:
            self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        else:
            self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=peer.server_name, session=peer.session_of(context))

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

    cdef bint agreed_on_http2(self) except -1:
        return self._ssl.selected_alpn_protocol() == "h2"

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
        if size and not self.heard:
            self.heard = True
            if self._peer is not None:
                self._peer.remember(self._ssl)
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

    cdef int note(self, error) except -1:
        if self._peer is not None:
            self.fault = fault_of(error, self._peer.server_name, established=self.established)
        return 0

    cdef bytes output(self):
        return self._outgoing.read() if self._outgoing.pending else b""
