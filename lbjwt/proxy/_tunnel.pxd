cimport cython

from lbjwt.proxy._frames cimport FrameTracker
from lbjwt.proxy._stream cimport BackendStream, ClientStream


@cython.final
cdef class Tunnel:
    """Bytes both ways between a client and an endpoint that have switched protocols."""
    cdef ClientStream client
    cdef BackendStream backend
    cdef FrameTracker frames         # from the endpoint to the client; None: the protocol is no WebSocket
    cdef double idle_timeout         # seconds without a byte, in either direction
    cdef bint client_ended           # it sends no more
    cdef bint backend_ended
    cdef bint leaving                # the client is told so as soon as a frame may stand there
    cdef bint left                   # it was: no frame of the endpoint may follow

    cdef void from_client(self, const char *data, Py_ssize_t size)
    # The bytes that were sent on.
    cdef Py_ssize_t from_backend(self, const char *data, Py_ssize_t size)
    # One side sends no more. True: both have said so.
    cdef bint ended(self, bint by_client)
    # The worker is stopping: ask both sides to end it, where the protocol has a word for that.
    cdef void go_away(self)
    cdef void _say_goodbye(self)
    # End it, with a reason that the client's protocol has a word for.
    cdef void close(self)


cdef Tunnel new_tunnel(ClientStream client, BackendStream backend, bint websocket, double idle_timeout)
