cimport cython


@cython.final
cdef class TlsSession:
    """The server's half of one TLS connection over memory: ciphertext in and out, plaintext out and in."""
    cdef readonly bint established       # the handshake is done
    cdef readonly bint ended             # the peer sent close_notify: it will send no more
    cdef object _incoming                # ssl.MemoryBIO
    cdef object _outgoing
    cdef object _ssl                     # ssl.SSLObject
    cdef bint _more                      # the last read filled its buffer

    # All of these may raise ssl.SSLError; what is to be sent because of it then waits in `output`.
    cdef int feed(self, bytes data) except -1
    cdef bint handshake(self) except -1
    # Plaintext into the front of buffer: its size, or 0 when no whole record is there (then see `ended`).
    cdef Py_ssize_t decrypt(self, object buffer) except -1
    cdef int encrypt(self, const char *data, Py_ssize_t size) except -1
    cdef int close_notify(self) except -1
    # Ciphertext that has to go out now; empty when there is none.
    cdef bytes output(self)
