"""
The server connections of a listener: how one is made for a client that was accepted, and what its connection reports to it.
"""

from lbjwt.net._connection cimport Connection, Events, streamed_connection
from lbjwt.net._tls cimport TlsSession
from lbjwt.proxy._listener_settings cimport ListenerSettings
from lbjwt.proxy._original cimport SPOE
from lbjwt.proxy._server_connection cimport ServerConnection
from lbjwt.proxy._server_writer cimport GONE
from lbjwt.proxy._context cimport ProxyContext
from lbjwt.proxy._spop_server cimport spop_connection


def accepted(ProxyContext context not None, ListenerSettings listener not None):
    """A connection of a client, for the loop that accepted it."""
    if listener.authorizer is not None and listener.authorizer.original.description == SPOE:
        return spop_connection(context, listener)
    cdef ServerConnection server = ServerConnection.__new__(ServerConnection)
    server.context = context
    server.listener = listener
    server.phase = GONE
    server.droppable = -1
    return streamed_connection(server, &EVENTS, context.receive, None if listener.tls is None else TlsSession(listener.tls))


cdef void _on_opened(object server, Connection connection):
    (<ServerConnection>server)._open(connection)


cdef void _on_ready(object server):
    (<ServerConnection>server)._ready()


cdef void _on_received(object server, char *at, Py_ssize_t size):
    (<ServerConnection>server)._receive(at, size)


cdef bint _on_ended(object server, bint clean) except? -1:
    return (<ServerConnection>server)._peer_ended(clean)


cdef void _on_blocked(object server):
    (<ServerConnection>server)._blocked()


cdef void _on_unblocked(object server):
    (<ServerConnection>server)._unblocked()


cdef bint _on_not_tls(object server, const char *at, Py_ssize_t size) except? -1:
    return (<ServerConnection>server)._not_tls(at, size)


cdef void _on_broken(object server):
    (<ServerConnection>server)._break()


cdef void _on_lost(object server, bint clean):
    (<ServerConnection>server)._lose()


cdef Events EVENTS = Events(_on_opened, _on_ready, _on_received, _on_ended, _on_blocked, _on_unblocked, _on_not_tls, _on_broken, _on_lost)
