"""
A tunnel: what both sides send after they have switched protocols, whatever the protocol is. The frames of a WebSocket are counted, so that a tunnel
which lbjwt ends can end with a Close frame.
"""

from lbjwt._error_reason cimport ErrorReason
from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.net._connection cimport FAILED
from lbjwt.proxy._frames cimport GOING_AWAY, GOODBYE, GOODBYE_SIZE


cdef Tunnel new_tunnel(ClientStream client, BackendStream backend, bint websocket, double idle_timeout):
    cdef Tunnel tunnel = Tunnel.__new__(Tunnel)
    tunnel.client = client
    tunnel.backend = backend
    tunnel.frames = FrameTracker.__new__(FrameTracker) if websocket else None
    tunnel.idle_timeout = idle_timeout
    return tunnel


cdef class Tunnel:

    cdef void from_client(self, const char *data, Py_ssize_t size):
        self.backend.deadline = coarse_monotonic() + self.idle_timeout
        if self.backend.send(data, size) == FAILED:
            # After its FIN nothing is read from the endpoint, so nobody else would notice.
            self.backend.reset(ErrorReason.NO_ERROR)

    cdef Py_ssize_t from_backend(self, const char *data, Py_ssize_t size):
        self.backend.deadline = coarse_monotonic() + self.idle_timeout
        if self.left:
            return 0                             # no frame may follow a Close frame (RFC 6455 section 5.5.1)
        if self.leaving:
            size = self.frames.feed_frame(data, size)
        elif self.frames is not None:
            self.frames.feed(data, size)
        self.client.send(data, size)
        if self.leaving:
            self._say_goodbye()
        return size

    cdef void go_away(self):
        # The client's reply to the Close frame goes to the endpoint, which then ends its side too.
        if self.frames is not None and not self.leaving:
            self.leaving = True
            self._say_goodbye()

    cdef void _say_goodbye(self):
        if self.frames.between() and not self.frames.closed:
            self.left = True
            self.client.send(GOING_AWAY, GOODBYE_SIZE)

    cdef bint ended(self, bint by_client):
        if by_client:
            self.client_ended = True
            self.backend.shutdown()
        else:
            self.backend_ended = True
            self.client.shutdown()
        return self.client_ended and self.backend_ended

    cdef void close(self):
        if self.frames is not None and self.frames.between() and not self.frames.closed and not self.left:
            self.client.send(GOODBYE, GOODBYE_SIZE)
        self.client.close()
