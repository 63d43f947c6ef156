cimport cython
from posix.uio cimport iovec

from lbjwt.net._tls cimport TlsSession


cdef enum Sent:
    FAILED = 0       # the kernel refused at once: not one byte of this call left
    WHOLE = 1        # the kernel took everything
    QUEUED = 2       # the transport holds the rest; from here on it must go through the transport until it drained


cdef class Connection


cdef struct Events:
    # What a protocol is told of its connection. Each function gets the protocol's own object first.
    void (*opened)(object protocol, Connection connection)   # connected; under TLS the handshake begins
    void (*ready)(object protocol)                           # bytes can be exchanged: at once, or after the handshake
    void (*received)(object protocol, char *at, Py_ssize_t size)     # plaintext; valid until the call returns
    # The peer sends no more; False closes the connection. clean: it said so. Under TLS only close_notify says so (RFC 8446 section 6.1).
    bint (*ended)(object protocol, bint clean) except? -1
    void (*blocked)(object protocol)                         # too much is queued for the peer …
    void (*unblocked)(object protocol)                       # … and now it is not
    # The first bytes on a TLS server are no TLS. The connection is a plain one if True is returned.
    bint (*not_tls)(object protocol, const char *at, Py_ssize_t size) except? -1
    void (*broken)(object protocol)                          # the peer broke TLS, or there is no agreeing with it: the alert was sent
    void (*lost)(object protocol, bint clean)                # it is gone. clean: ended without an error. Nothing follows


@cython.final
cdef class ReceiveBuffer:
    """Scratch memory for input, shared by a worker's connections: valid while one piece is processed, never across a return to the loop."""
    cdef bytearray memory
    cdef char *at
    cdef Py_ssize_t size


cdef class Connection:
    """
    One TCP or Unix connection, plain or under TLS, on either side and under any protocol: it owns the transport.

    What is sent before it is ready or after it is gone is FAILED; all other calls then do nothing.
    """
    cdef object transport            # None before connection_made and after connection_lost
    cdef TlsSession tls              # None: plain
    cdef bint write_paused           # the transport is over its high-water mark
    cdef bint read_paused
    cdef bint ignoring               # the protocol reads no more: what still comes is not decrypted
    cdef const Events *_events
    cdef object _protocol            # None once the connection is gone: reference counting alone frees both
    cdef ReceiveBuffer _buffer
    cdef int _fd                     # for direct send(2); -1 where all bytes pass through the transport
    cdef bint _corked                # the transport held unsent bytes when last asked
    cdef bint _greeted               # the first bytes came
    cdef bint _end_told              # the peer's close_notify was reported
    cdef bint _goodbye_sent          # our close_notify was sent
    cdef bint _stalled               # reading is paused because the peer does not read what TLS itself has to send
    cdef bint _continuing            # `_read_on` is scheduled

    cdef Sent send(self, const char *data, Py_ssize_t size)
    cdef Sent send_parts(self, iovec *parts, int count)
    cdef void pause(self)
    cdef void resume(self)
    cdef bint is_ready(self)         # not before the handshake is done
    cdef bint is_http2(self)         # both sides agreed on it during the handshake (ALPN, RFC 7301)
    # Another protocol goes on from here: it is told what comes next.
    cdef void hand_over(self, object protocol, const Events *events)
    cdef void received(self, char *at, Py_ssize_t size)      # tell the protocol of input that another one has had
    cdef bint is_closing(self)
    # The peer's IP address as text; b"unix" on a Unix socket; b"" when it was reset before it was accepted: the address is unknown then.
    cdef bytes peer(self)
    cdef bint has_input(self)
    cdef bint has_ended(self, bint both)  # the peer closed or reset the connection, even behind unread input; both: in both directions
    cdef bint drained(self)
    cdef void shutdown(self)
    cdef bint can_half_close(self)
    cdef void close(self)
    cdef void reset(self)

    cdef void _take(self, bytes data)
    cdef bint _is_plain(self, bytes data)
    cdef void _decrypt(self)
    cdef Sent _send_plain(self, iovec *parts, int count)
    cdef Sent _flush(self)
    cdef void _say_goodbye(self)
    cdef void _break(self, error)


# buffer: for input that is decrypted, or read into it. tls: None for a plain connection.
# Input comes as `bytes`: right where most of it is small, as from a client.
cdef Connection streamed_connection(object protocol, const Events *events, ReceiveBuffer buffer, TlsSession tls)
# Input is read into the buffer: right where much of it is large, as from an endpoint.
cdef Connection buffered_connection(object protocol, const Events *events, ReceiveBuffer buffer, TlsSession tls)
