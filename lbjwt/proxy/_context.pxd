cimport cython
from libc.stdint cimport uint64_t

from lbjwt._error_reason cimport ErrorReason
from lbjwt.auth._callers cimport Caller
from lbjwt.http1._buffer cimport Buffer
from lbjwt.http1._request cimport RequestHead
from lbjwt.http1._response cimport ResponseHead
from lbjwt.observe._access_log cimport AccessLog
from lbjwt.observe._board cimport Board
from lbjwt.http1._answer cimport Answer
from lbjwt.net._clock cimport Timed
from lbjwt.net._connection cimport ReceiveBuffer
from lbjwt.proxy._authorization cimport Authorization
from lbjwt.proxy._snapshot cimport Snapshot
from lbjwt.proxy._key_wait cimport KeyWait
from lbjwt.proxy._stream cimport ClientStream


@cython.final
cdef class ProxyContext:
    cdef public Snapshot snapshot                # of the configuration in force
    cdef public list clusters                    # of Cluster: those of the configuration, and those whose last requests are under way
    cdef readonly KeyWait key_wait
    cdef readonly Board board
    cdef public AccessLog access_log             # None: no log is kept
    cdef readonly object flood_log               # FloodLog
    cdef readonly set watched                    # of Timed, for the sweeps: every open connection
    cdef readonly Py_ssize_t clients             # open client connections
    cdef public bint draining                    # every answer ends its connection
    cdef object open_connection                  # (endpoint) -> the connection, on which connection_made or connect_failed follows
    cdef public Py_ssize_t max_clients
    cdef public Py_ssize_t max_answered # clients up to which one too many is told 503; beyond, it is reset

    # Scratch: valid while one buffer is worked on, never across a return to the loop.
    cdef RequestHead request_head
    cdef ResponseHead response_head
    cdef Buffer out
    cdef Buffer head_text                        # a head of HTTP/2, as HTTP/1
    cdef ReceiveBuffer receive
    cdef Authorization authorization             # of the head at hand, until an exchange takes it over
    cdef list spare                              # exchanges to use again

    cdef dict _answers                           # Answer by status, detail and caller
    cdef bytes date                              # "Date: …\r\n", of this second
    cdef char _id_prefix[16]
    cdef uint64_t _id_counter

    # named: the answer tells the reason. caller: whom; over HTTP/1 it is NO_GRPC, as gRPC is not spoken there
    cdef Answer answer(self, ErrorReason reason, bint named, Caller caller)
    # The end of a response to a gRPC call that breaks off.
    cdef list grpc_trailers(self, ErrorReason reason, bint named)
    cdef void next_request_id(self, char *out) noexcept
    # A connection of a client was accepted, or has ended.
    cdef void client_opened(self, Timed connection)
    cdef void client_closed(self, Timed connection)
    # Have a request wait for the keys of an issuer. False: its token is refused now, as there is nothing to wait for, no room, or a fault of ours.
    cdef bint wait_for_keys(self, ClientStream client, Py_ssize_t issuer)
