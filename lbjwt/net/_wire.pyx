"""Sending on an asyncio transport without its detour.

Knows a transport, its descriptor and when bytes must not overtake each other. Knows nothing of HTTP. A write goes
straight to send(2) while the transport's own buffer is empty, and only what the kernel did not take is handed to
`transport.write`: against `transport.write` alone that saves one to two microseconds a message and most of the spread of
latencies (docs/design/hot-path.md).
"""

import select

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, ENOBUFS, ENOMEM, errno
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME, clock_gettime, timespec


cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    struct linger:
        int l_onoff
        int l_linger
    ssize_t c_send "send"(int fd, const void *data, size_t size, int flags)
    ssize_t c_recv "recv"(int fd, void *data, size_t size, int flags)
    ssize_t c_sendmsg "sendmsg"(int fd, const msghdr *message, int flags)
    int setsockopt(int fd, int level, int name, const void *value, unsigned int size)
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    int MSG_PEEK
    int SOL_SOCKET
    int SO_LINGER


cdef double _read_clock(int clock) noexcept nogil:
    cdef timespec moment
    clock_gettime(clock, &moment)
    return moment.tv_sec + moment.tv_nsec * 1e-9


cdef double monotonic() noexcept nogil:
    return _read_clock(CLOCK_MONOTONIC)


cdef double coarse_monotonic() noexcept nogil:
    # A few milliseconds of grain at a quarter of the price: for deadlines.
    return _read_clock(CLOCK_MONOTONIC_COARSE)


cdef double wall_clock() noexcept nogil:
    return _read_clock(CLOCK_REALTIME)


cdef class Wire:

    def __cinit__(self):
        self.fd = -1

    cdef void attach(self, object transport):
        self.transport = transport
        connection = transport.get_extra_info("socket")
        if connection is not None:
            self.fd = connection.fileno()

    cdef void detach(self) noexcept:
        # Breaks protocol <-> transport, so that reference counting alone frees both.
        self.transport = None
        self.fd = -1
        self.deadline = 0.0

    cdef Sent send(self, const char *data, Py_ssize_t size):
        cdef iovec part
        part.iov_base = <void *>data
        part.iov_len = size
        return self.send_parts(&part, 1)

    cdef Sent send_parts(self, iovec *parts, int count):
        """Send the pieces as one. Never blocks; an error of the connection is FAILED here, and reaches `connection_lost` while it is read from."""
        cdef ssize_t taken = 0
        cdef size_t total = 0
        cdef msghdr message
        cdef int at
        # A transport that met an error has closed its descriptor already, and the number may belong to a newer connection.
        if self.transport is None or self.transport.is_closing():
            return FAILED
        if self.fd >= 0:
            if self.corked and self.transport.get_write_buffer_size() == 0:
                self.corked = False
            if not self.corked:
                for at in range(count):
                    total += parts[at].iov_len
                if count == 1:
                    taken = c_send(self.fd, parts[0].iov_base, total, MSG_DONTWAIT | MSG_NOSIGNAL)
                else:
                    memset(&message, 0, sizeof(message))
                    message.msg_iov = parts
                    message.msg_iovlen = count
                    taken = c_sendmsg(self.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
                if taken == <ssize_t>total:
                    return WHOLE
                if taken < 0:
                    # Without memory the connection is as good as before: the transport tries again, for a gap would shift all that follows.
                    if errno != EAGAIN and errno != EINTR and errno != ENOBUFS and errno != ENOMEM:
                        return FAILED
                    taken = 0
                self.corked = True
        for at in range(count):
            if taken < <ssize_t>parts[at].iov_len:
                self.transport.write(PyBytes_FromStringAndSize(<char *>parts[at].iov_base + taken, parts[at].iov_len - taken))
                taken = 0
            else:
                taken -= parts[at].iov_len
        return QUEUED

    cdef void pause(self):
        if not self.read_paused and self.transport is not None:
            self.read_paused = True
            self.transport.pause_reading()

    cdef void resume(self):
        if self.read_paused and self.transport is not None:
            self.read_paused = False
            self.transport.resume_reading()

    cdef bint has_input(self):
        """True when bytes, an end or an error wait to be read: on an idle connection, any of them means doubt."""
        cdef char probe
        if self.transport is None or self.transport.is_closing():
            return True
        if self.fd < 0:
            return False
        return not (c_recv(self.fd, &probe, 1, MSG_PEEK | MSG_DONTWAIT) < 0 and errno == EAGAIN)

    cdef bint has_ended(self, bint both):
        if self.fd < 0 or self.transport is None or self.transport.is_closing():
            return False
        poll = select.poll()
        poll.register(self.fd, 0 if both else select.POLLRDHUP)    # POLLERR and POLLHUP are always told
        return len(poll.poll(0)) > 0

    cdef void check_peer(self):
        pass

    cdef bint drained(self):
        return self.transport is None or self.transport.get_write_buffer_size() == 0

    cdef void shutdown(self):
        """Send what is queued, then FIN; keep reading. Where that cannot be, close."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    cdef bint can_half_close(self):
        return self.transport is not None and self.transport.can_write_eof()

    cdef void close(self):
        """Send what is queued, then close."""
        if self.transport is not None:
            self.transport.close()

    cdef void reset(self):
        """Close with RST, so that the peer cannot take what it got for the whole."""
        cdef linger now
        if self.transport is None:
            return
        if self.fd >= 0 and not self.transport.is_closing():
            now.l_onoff = 1
            now.l_linger = 0
            setsockopt(self.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now))
        self.transport.abort()

    cdef void expired(self):
        self.reset()

    cdef void end(self):
        self.reset()

    cdef void drain(self, double soon, object listener):
        pass
