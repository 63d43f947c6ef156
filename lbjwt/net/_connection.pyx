"""
A connection as its protocol sees it: bytes in, bytes out, pauses, ends. TLS is a layer in here, and no protocol knows of it.

A write goes straight to send(2) while the transport's own buffer is empty, and only what the kernel did not take is handed to `transport.write`:
that saves one to two microseconds a message and most of the spread of latencies (docs/design/hot-path.md).

While reading is paused, records that came stay encrypted.
"""

import asyncio
import select
from ssl import SSLError

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, ENOBUFS, ENOMEM, errno
from libc.string cimport memset

from lbjwt.net._tls cimport PLAINTEXT


cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    struct linger:
        int l_onoff
        int l_linger
    struct sockaddr:
        unsigned short sa_family
    ssize_t c_send "send"(int fd, const void *data, size_t size, int flags)
    ssize_t c_recv "recv"(int fd, void *data, size_t size, int flags)
    ssize_t c_sendmsg "sendmsg"(int fd, const msghdr *message, int flags)
    int setsockopt(int fd, int level, int name, const void *value, unsigned int size)
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    int MSG_PEEK
    int SOL_SOCKET
    int SO_LINGER
    int AF_INET
    int AF_INET6
    int AF_UNIX
    int getpeername(int fd, sockaddr *address, unsigned int *size)


cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        in_addr sin_addr
    struct sockaddr_in6:
        in6_addr sin6_addr


cdef extern from "<arpa/inet.h>" nogil:
    const char *inet_ntop(int family, const void *address, char *text, unsigned int size)


cdef union SocketAddress:
    sockaddr any
    sockaddr_in ipv4
    sockaddr_in6 ipv6

cdef enum:
    RECORDS = 8                  # sent in one call: 64 KiB of a body with its head and the chunk's end
    ADDRESS_TEXT = 46            # of an IPv6 address with its NUL (INET6_ADDRSTRLEN)
    FIRST_OF_NO_RECORD = 0x18    # a record of TLS begins with a byte below it (RFC 8446 section 5.1)


cdef class ReceiveBuffer:

    def __init__(self, Py_ssize_t size):
        self.memory = bytearray(size)
        self.at = self.memory
        self.size = size


cdef class Connection:

    def __cinit__(self):
        self._fd = -1

    def __init__(self):
        raise TypeError("a connection is made by its protocol")

    # --- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport):
        self.transport = transport
        connection = transport.get_extra_info("socket")
        if connection is not None:
            self._fd = connection.fileno()
        self._events.opened(self._protocol, self)
        if self.tls is None:
            self._events.ready(self._protocol)
        elif not self.tls.server_side:
            try:
                self.tls.handshake()
                self._flush()
            except SSLError as error:
                self._break(error)

    def connection_lost(self, exc):
        cdef object protocol = self._protocol
        # Breaks protocol <-> connection <-> transport, so that reference counting alone frees all three.
        self._protocol = None
        self.transport = None
        self._fd = -1
        if protocol is not None:
            self._events.lost(protocol, exc is None)

    def eof_received(self):
        """True keeps our half open: the peer may still wait for its answer."""
        if self.tls is None:
            return self._events.ended(self._protocol, True)
        # The end of the stream without a close_notify is a truncation; behind one it says nothing new.
        if not self.tls.ended:
            self._events.ended(self._protocol, False)
            return False
        return not self.ignoring and self.can_half_close()

    def pause_writing(self):
        self.write_paused = True
        self._events.blocked(self._protocol)

    def resume_writing(self):
        self.write_paused = False
        self._events.unblocked(self._protocol)
        if self._stalled:
            self.resume()

    # --- input under TLS ----------------------------------------------------------------------------------------------

    cdef void _take(self, bytes data):
        """Ciphertext that was received."""
        # Nothing counts behind a close_notify.
        if self.ignoring or self.tls.ended:
            return
        if not self._greeted and self.tls.server_side:
            self._greeted = True
            if (<const unsigned char *><const char *>data)[0] >= FIRST_OF_NO_RECORD and self._is_plain(data):
                return
        try:
            self.tls.feed(data)
            if not self.tls.established:
                if not self.tls.handshake():
                    self._flush()
                    return
                self._flush()                    # the end of the handshake, and session tickets
                self._events.ready(self._protocol)
            self._decrypt()
        except SSLError as error:
            self._break(error)

    cdef bint _is_plain(self, bytes data):
        """The protocol takes these first bytes as they are, and answers without TLS."""
        cdef TlsSession tls = self.tls
        self.tls = None
        if self._events.not_tls(self._protocol, data, len(data)):
            return True
        self.tls = tls
        return False

    cdef void _decrypt(self):
        cdef Py_ssize_t size
        while not self.read_paused and not self.ignoring and self.transport is not None:
            size = self.tls.decrypt(self._buffer.at, self._buffer.size)
            if size == 0:
                if self.tls.ended and not self._end_told:
                    self._end_told = True
                    if not self._events.ended(self._protocol, True):
                        self.close()
                break
            self._events.received(self._protocol, self._buffer.at, size)
        if self._flush() == QUEUED and self.write_paused and not self.read_paused:
            # Responses to key updates: a peer that does not read them gets no more.
            self._stalled = True
            self.pause()

    def _read_on(self):
        self._continuing = False
        try:
            self._decrypt()
        except SSLError as error:
            self._break(error)

    cdef void _break(self, error):
        """The peer broke TLS, or there is no agreeing with it: send the alert, and no close_notify behind it."""
        self.tls.note(error)
        self._flush()
        self._goodbye_sent = True
        self.ignoring = True
        self._events.broken(self._protocol)

    # --- output -------------------------------------------------------------------------------------------------------

    cdef Sent send(self, const char *data, Py_ssize_t size):
        cdef iovec part
        part.iov_base = <void *>data
        part.iov_len = size
        return self._send_plain(&part, 1) if self.tls is None else self.send_parts(&part, 1)

    cdef Sent send_parts(self, iovec *parts, int count):
        """Send the pieces as one. Never blocks; an error of the connection is FAILED here, and is reported as its loss while it is read from."""
        cdef iovec out[RECORDS]
        cdef list records
        cdef bytes record
        cdef bint begun = False                  # something of this call left: from then on an error is told by the loss of the connection alone
        cdef Sent sent = WHOLE
        cdef const char *data
        cdef size_t left, size
        cdef int at
        if self.tls is None:
            return self._send_plain(parts, count)
        if not self.tls.established or self.is_closing():
            return FAILED
        records = []
        for at in range(count):
            data = <const char *>parts[at].iov_base
            left = parts[at].iov_len
            while left:
                if len(records) == RECORDS:
                    sent = self._send_plain(out, RECORDS)
                    if sent == FAILED:
                        return QUEUED if begun else FAILED
                    begun = True
                    records = []
                size = min(left, <size_t>PLAINTEXT)
                try:
                    record = self.tls.encrypt(data, size)
                except SSLError:
                    # A gap in the middle of the stream would shift all that follows.
                    self.reset()
                    return QUEUED if begun else FAILED
                out[len(records)].iov_base = <char *>record
                out[len(records)].iov_len = len(record)
                records.append(record)
                data += size
                left -= size
        if records:
            sent = self._send_plain(out, len(records))
        return QUEUED if sent == FAILED and begun else sent

    cdef Sent _send_plain(self, iovec *parts, int count):
        cdef ssize_t taken = 0
        cdef size_t total = 0
        cdef msghdr message
        cdef int at
        # A transport that met an error has closed its descriptor already, and the number may belong to a newer connection.
        if self.transport is None or self.transport.is_closing():
            return FAILED
        if self._fd >= 0:
            if self._corked and self.transport.get_write_buffer_size() == 0:
                self._corked = False
            if not self._corked:
                for at in range(count):
                    total += parts[at].iov_len
                if count == 1:
                    taken = c_send(self._fd, parts[0].iov_base, total, MSG_DONTWAIT | MSG_NOSIGNAL)
                else:
                    memset(&message, 0, sizeof(message))
                    message.msg_iov = parts
                    message.msg_iovlen = count
                    taken = c_sendmsg(self._fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
                if taken == <ssize_t>total:
                    return WHOLE
                if taken < 0:
                    # Without memory the connection is as good as before: the transport tries again, for a gap would shift all that follows.
                    if errno != EAGAIN and errno != EINTR and errno != ENOBUFS and errno != ENOMEM:
                        return FAILED
                    taken = 0
                self._corked = True
        for at in range(count):
            if taken < <ssize_t>parts[at].iov_len:
                self.transport.write(PyBytes_FromStringAndSize(<char *>parts[at].iov_base + taken, parts[at].iov_len - taken))
                taken = 0
            else:
                taken -= parts[at].iov_len
        return QUEUED

    cdef Sent _flush(self):
        """Send handshake messages, tickets and alerts."""
        cdef bytes output = self.tls.output()
        cdef iovec whole
        if not output:
            return WHOLE
        whole.iov_base = <char *>output
        whole.iov_len = len(output)
        return self._send_plain(&whole, 1)

    # --- reading and its pauses ---------------------------------------------------------------------------------------

    cdef void pause(self):
        if not self.read_paused and self.transport is not None:
            self.read_paused = True
            self.transport.pause_reading()

    cdef void resume(self):
        self._stalled = False
        if not self.read_paused or self.transport is None:
            return
        self.read_paused = False
        self.transport.resume_reading()
        if self.tls is not None and not self._continuing and self.tls.established and (self.tls.ended or self.tls.has_input()):
            # In the next turn: the caller may still be processing the bytes before.
            self._continuing = True
            asyncio.get_running_loop().call_soon(self._read_on)

    # --- questions ----------------------------------------------------------------------------------------------------

    cdef bytes peer(self):
        """Asked of the kernel: the transport's own answer costs a Python tuple and a text, 3 µs of each connection."""
        cdef SocketAddress address
        cdef unsigned int size = sizeof(address)
        cdef char text[ADDRESS_TEXT]
        cdef const char *found = NULL
        if self._fd < 0:
            known = self.transport.get_extra_info("peername")
            return known[0].encode() if isinstance(known, tuple) else b"" if known is None else b"unix"
        if getpeername(self._fd, &address.any, &size) != 0:
            return b""
        if address.any.sa_family == AF_UNIX:
            return b"unix"
        if address.any.sa_family == AF_INET:
            found = inet_ntop(AF_INET, &address.ipv4.sin_addr, text, sizeof(text))
        elif address.any.sa_family == AF_INET6:
            found = inet_ntop(AF_INET6, &address.ipv6.sin6_addr, text, sizeof(text))
        return b"" if found is NULL else found

    cdef bint is_ready(self):
        return self.transport is not None and (self.tls is None or self.tls.established)

    cdef bint is_http2(self):
        return self.tls is not None and self.tls.agreed_on_http2()

    cdef void hand_over(self, object protocol, const Events *events):
        self._protocol = protocol
        self._events = events

    cdef void received(self, char *at, Py_ssize_t size):
        self._events.received(self._protocol, at, size)

    cdef bint is_closing(self):
        return self.transport is None or self.transport.is_closing()

    cdef bint has_input(self):
        """True when bytes, an end or an error wait to be read: on an idle connection, any of them means doubt."""
        cdef char probe
        if self.is_closing():
            return True
        if self.tls is not None and (self.tls.ended or self.tls.has_input()):
            return True
        if self._fd < 0:
            return False
        return not (c_recv(self._fd, &probe, 1, MSG_PEEK | MSG_DONTWAIT) < 0 and errno == EAGAIN)

    cdef bint has_ended(self, bint both):
        if self._fd < 0 or self.is_closing():
            return False
        poll = select.poll()
        poll.register(self._fd, 0 if both else select.POLLRDHUP)    # POLLERR and POLLHUP are always told
        return len(poll.poll(0)) > 0

    cdef bint drained(self):
        # While every byte went straight to the kernel, the transport need not be asked.
        return self.transport is None or (self._fd >= 0 and not self._corked) or self.transport.get_write_buffer_size() == 0

    cdef bint can_half_close(self):
        return self.transport is not None and self.transport.can_write_eof()

    # --- ends ---------------------------------------------------------------------------------------------------------

    cdef void _say_goodbye(self):
        if self.tls is None or not self.tls.established or self._goodbye_sent:
            return
        self._goodbye_sent = True
        try:
            self.tls.close_notify()
        except SSLError:
            pass
        self._flush()

    cdef void shutdown(self):
        """Send what is queued, then the end; keep reading. Where that cannot be, close."""
        self._say_goodbye()
        if self.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    cdef void close(self):
        """Send what is queued, then close."""
        self._say_goodbye()
        self.ignoring = True
        if self.transport is not None:
            self.transport.close()

    cdef void reset(self):
        """Close with RST, so that the peer cannot take what it got for the whole."""
        cdef linger now
        self.ignoring = True
        if self.transport is None:
            return
        if self._fd >= 0 and not self.transport.is_closing():
            now.l_onoff = 1
            now.l_linger = 0
            setsockopt(self._fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now))
        self.transport.abort()


@cython.final
cdef class StreamedConnection(Connection):

    def data_received(self, bytes data):
        if self.tls is None:
            self._events.received(self._protocol, data, len(data))
        else:
            self._take(data)


@cython.final
cdef class BufferedConnection(Connection):

    def get_buffer(self, hint):
        return self._buffer.memory

    def buffer_updated(self, Py_ssize_t size):
        if self.tls is None:
            self._events.received(self._protocol, self._buffer.at, size)
        else:
            self._take(self._buffer.at[:size])

    def data_received(self, bytes data):
        """For loops that know a buffered protocol by its base class (asyncio's own). In one piece: a byte too many must be seen as one."""
        cdef bytearray own
        if self.tls is None:
            own = bytearray(data)
            self._events.received(self._protocol, own, len(own))
        else:
            self._take(data)


cdef Connection _new(Connection connection, object protocol, const Events *events, ReceiveBuffer buffer, TlsSession tls):
    connection._protocol = protocol
    connection._events = events
    connection._buffer = buffer
    connection.tls = tls
    return connection


cdef Connection streamed_connection(object protocol, const Events *events, ReceiveBuffer buffer, TlsSession tls):
    return _new(StreamedConnection.__new__(StreamedConnection), protocol, events, buffer, tls)


cdef Connection buffered_connection(object protocol, const Events *events, ReceiveBuffer buffer, TlsSession tls):
    return _new(BufferedConnection.__new__(BufferedConnection), protocol, events, buffer, tls)
