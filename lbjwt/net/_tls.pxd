cimport cython


cdef enum:
    PLAINTEXT = 16384            # bytes of plaintext one record can hold (RFC 8446 section 5.1)


cdef class TlsSession


@cython.final
cdef class TlsPeer:
    """
    A server as its clients see it: what it must prove, and the last session with it, which the next connection resumes: that saves both sides
    the certificates and their signatures. Tickets of TLS 1.3 come after the handshake, so a session is kept once plaintext has come.
    """
    cdef readonly object source          # where the context of new connections is
    cdef readonly str server_name
    cdef object _session                 # ssl.SSLSession, or None
    cdef object _context                 # of that session: no other one resumes it

    cdef TlsSession connect(self)
    # Asks the same of the server.
    cdef bint is_like(self, TlsPeer other)
    cdef object session_of(self, context)
    cdef int remember(self, tls) except -1


@cython.final
cdef class TlsSession:
    cdef readonly bint server_side
    cdef readonly bint established       # the handshake is done
    cdef readonly bint ended             # the peer sent close_notify: it will send no more
    cdef readonly bint heard             # plaintext came
    cdef readonly str fault              # as a client: why TLS failed; None: it has not
    cdef TlsPeer _peer                   # None: we are the server
    cdef object _incoming                # ssl.MemoryBIO
    cdef object _outgoing
    cdef object _ssl                     # ssl.SSLObject
    cdef bint _begun
    cdef bytes _rest                     # ciphertext that OpenSSL has not been given yet, from `_taken` on
    cdef Py_ssize_t _taken

    cdef bint agreed_on_http2(self) except -1    # by ALPN
    # All of these may raise ssl.SSLError; what is to be sent because of it then waits in `output`.
    cdef int feed(self, bytes data) except -1
    # Whether there is ciphertext to work on.
    cdef bint has_input(self) except -1
    # Go on with the handshake; a client begins it by the first call. True when it is done.
    cdef bint handshake(self) except -1
    # Plaintext of all whole records that fit into `room` (PLAINTEXT or more): its size, or 0 when there is none (then see `ended`).
    cdef Py_ssize_t decrypt(self, char *out, Py_ssize_t room) except -1
    # size: 1 to PLAINTEXT. What has to be sent, with whatever waited in `output`.
    cdef bytes encrypt(self, const char *data, Py_ssize_t size)
    cdef int close_notify(self) except -1
    # An `ssl.SSLError` that one of these raised.
    cdef int note(self, error) except -1
    # Ciphertext that has to go out now; empty when there is none.
    cdef bytes output(self)
