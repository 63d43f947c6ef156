"""What all connections of one worker share.

There are no timers per request: `expire` and `sweep` walk the set of open connections.
"""

import os
import time
from email.utils import formatdate
from http import HTTPStatus

from lbjwt._error_reason import ErrorReason as _ErrorReason
from lbjwt.auth.grpc import grpc_error_answer, grpc_error_trailers
from lbjwt.observe.flood_log import FloodLog

from libc.string cimport memcpy

from lbjwt._error_reason cimport ErrorReason, error_status
from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.proxy._listener_settings cimport ListenerSettings
from lbjwt.upstream._cluster cimport Cluster
from lbjwt.upstream._endpoint cimport Endpoint

RECEIVE_SIZE = 65536          # bytes read from an endpoint at once: what a stalled client can make us hold, and large enough to amortise the calls
cdef char *HEX = b"0123456789abcdef"
cdef dict REASON_NAMES = {int(reason): reason.name.lower() for reason in _ErrorReason}


cdef Answer _plain(int status, str detail):
    cdef str phrase = HTTPStatus(status).phrase.lower()
    cdef bytes body = (f"{phrase}: {detail}\n" if detail else f"{phrase}\n").encode()
    cdef bytes fields = b"Content-Type: text/plain; charset=utf-8\r\n"
    if status == 405:
        fields += b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n"
    elif status == 503:
        fields += b"Retry-After: 1\r\n"
    return Answer(status, fields, body)


cdef inline int _grpc_source(ErrorReason reason) noexcept:
    """The HTTP status that a gRPC status is made of. A token that ended has none of its own, as responses have begun then."""
    return 401 if reason == ErrorReason.TOKEN_ENDED else error_status(reason)


cdef class ProxyContext:

    def __init__(self, *, Snapshot snapshot not None, clusters, KeyWait key_wait not None, Board board not None, AccessLog access_log,
                 object open_connection, Py_ssize_t max_clients):
        self.snapshot = snapshot
        self.clusters = list(clusters)
        self.key_wait = key_wait
        self.board = board
        self.access_log = access_log
        self.open_connection = open_connection
        self.flood_log = FloodLog()
        self.watched = set()
        self.max_clients = max_clients
        self.max_answered = 2 * max_clients
        self.request_head = RequestHead.__new__(RequestHead)
        self.request_head.verified = snapshot.gate.cache
        self.response_head = ResponseHead.__new__(ResponseHead)
        self.out = Buffer.__new__(Buffer)
        self.head_text = Buffer.__new__(Buffer)
        self.receive = ReceiveBuffer(RECEIVE_SIZE)
        self.authorization = Authorization.__new__(Authorization)
        self.spare = []
        self._answers = {}
        cdef bytes prefix = os.urandom(8).hex().encode()
        memcpy(self._id_prefix, <char *>prefix, 16)
        self.sweep()

    cdef Answer answer(self, ErrorReason reason, bint named, Caller caller):
        cdef int status = error_status(reason) if caller == Caller.NO_GRPC else _grpc_source(reason)
        cdef str detail = REASON_NAMES[<int>reason] if named else ""
        if reason == ErrorReason.HTTP_ON_TLS_PORT:   # no secret, and all that its sender needs to know
            detail = "plain HTTP was sent to an HTTPS port"
        answer = self._answers.get((status, detail, caller))
        if answer is None:
            answer = _plain(status, detail) if caller == Caller.NO_GRPC else grpc_error_answer(status, detail, caller)
            self._answers[status, detail, caller] = answer
        return <Answer>answer

    cdef list grpc_trailers(self, ErrorReason reason, bint named):
        return grpc_error_trailers(_grpc_source(reason), REASON_NAMES[<int>reason] if named else "")

    cdef void next_request_id(self, char *out) noexcept:
        # Unique, not secret: 64 random bits of this process, then a counter.
        cdef uint64_t number = self._id_counter
        cdef int at
        self._id_counter += 1
        memcpy(out, self._id_prefix, 16)
        for at in range(31, 15, -1):
            out[at] = HEX[number & 15]
            number >>= 4

    cdef void client_opened(self, Timed connection):
        self.watched.add(connection)
        self.clients += 1
        self.board.mine.connections += 1
        self.board.mine.connections_total += 1

    cdef void client_closed(self, Timed connection):
        self.watched.discard(connection)
        self.clients -= 1
        self.board.mine.connections -= 1

    cdef bint wait_for_keys(self, ClientStream client, Py_ssize_t issuer):
        try:
            return self.key_wait.enter(client, issuer)
        except Exception as fault:
            self.snapshot.gate.note(fault)
            return False

    def expire(self):
        cdef double now = coarse_monotonic()
        cdef Timed watched
        for watched in list(self.watched):
            if watched.deadline != 0.0 and now >= watched.deadline:
                watched.expired()
            else:
                watched.check_peer()
        for cluster in self.clusters:
            (<Cluster>cluster).ejector.look(now)
            (<Cluster>cluster).expire(now)

    def sweep(self):
        cdef double today = time.time()
        cdef Timed watched
        self.date = b"Date: %b\r\n" % formatdate(today, usegmt=True).encode()
        for watched in list(self.watched):
            watched.end_if_expired(today)

    def close_unused(self):
        cdef Cluster cluster
        cdef Endpoint endpoint
        for cluster in self.clusters:
            for endpoint in cluster.endpoints:
                endpoint.pool.close_unused()

    def drain(self, double grace):
        self.draining = True
        cdef double soon = coarse_monotonic() + grace
        cdef Timed watched
        for watched in list(self.watched):
            watched.drain(soon, None)

    def drain_listener(self, ListenerSettings listener not None, double grace):
        """The clients of one listener have to go: the idle ones within so many seconds, the others with the answer that is under way."""
        listener.leaving = True
        cdef double soon = coarse_monotonic() + grace
        cdef Timed watched
        for watched in list(self.watched):
            watched.drain(soon, listener)

    def takes_requests(self, bint after_answer):
        """While draining: whether a request may still begin on any connection. after_answer=False: from now on none follows an answer under way."""
        cdef Timed watched
        cdef bint found = False
        for watched in list(self.watched):
            found = watched.takes_requests(after_answer) or found
        return found

    def close(self):
        cdef Timed watched
        for watched in list(self.watched):
            watched.end()
