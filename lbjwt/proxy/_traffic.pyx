"""What all connections of one worker share.

Knows who admits, the cluster, the board, the limits, the answers of our own and the set of open connections, which `sweep`
walks once a second: there are no timers per request. Knows nothing of a single connection or request.
"""

import os
import time
from email.utils import formatdate
from http import HTTPStatus

from libc.string cimport memcpy

from lbjwt.net._wire cimport Wire, coarse_monotonic
from lbjwt.proxy._downstream cimport Downstream

RECEIVE_SIZE = 65536          # bytes read from an endpoint at once: what a stalled client can make us hold, and large enough to amortise the calls
cdef char *HEX = b"0123456789abcdef"
OWN_STATUSES = (400, 404, 405, 408, 413, 414, 417, 431, 501, 502, 503, 504, 505)


cdef Answer _plain(int status):
    cdef bytes body = HTTPStatus(status).phrase.lower().encode() + b"\n"
    cdef bytes fields = b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n" % len(body)
    if status == 405:
        fields += b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n"
    elif status == 503:
        fields += b"Retry-After: 1\r\n"
    return Answer(status, fields, body)


cdef class Traffic:

    def __init__(self, *, Admission admission not None, Waiting waiting not None, Cluster cluster, Board board, AccessLog access_log,
                 object open_connection, object trusts, issuers, limits, timeouts):
        if max([route.index for route in admission.routes]) >= board.routes:
            raise ValueError("the board has no room for the counters of a route")
        self.admission = admission
        self.waiting = waiting
        self.gate = admission.gate
        self.issuer_labels = tuple([name.encode() for name in issuers])
        self.cluster = cluster
        self.board = board
        self.access_log = access_log
        self.open_connection = open_connection
        self.trusts = trusts
        self.wires = set()
        self.max_request_body = -1 if limits.max_request_body is None else limits.max_request_body
        self.max_response_head = limits.max_response_head
        self.max_response_fields = limits.max_response_fields
        self.max_clients = limits.max_connections
        self.max_requests = limits.max_requests_per_connection
        self.head_timeout = timeouts.request_head
        self.keep_alive_timeout = timeouts.keep_alive
        self.stream_idle_timeout = timeouts.stream_idle
        self.request_head = RequestHead.__new__(RequestHead)
        self.response_head = ResponseHead.__new__(ResponseHead)
        self.out = Buffer.__new__(Buffer)
        self.receive = bytearray(RECEIVE_SIZE)
        self.receive_at = self.receive
        self.spare = []
        self._answers = {status: _plain(status) for status in OWN_STATUSES}
        cdef bytes prefix = os.urandom(8).hex().encode()
        memcpy(self._id_prefix, <char *>prefix, 16)
        self.sweep()

    cdef Answer answer(self, int status):
        return <Answer>self._answers[status]

    cdef void next_request_id(self, char *out) noexcept:
        # Unique, not secret: 64 random bits of this process, then a counter.
        cdef uint64_t number = self._id_counter
        cdef int at
        self._id_counter += 1
        memcpy(out, self._id_prefix, 16)
        for at in range(31, 15, -1):
            out[at] = HEX[number & 15]
            number >>= 4

    def sweep(self):
        cdef double now = coarse_monotonic()
        cdef double today = time.time()
        cdef Wire wire
        self.date = b"Date: %b\r\n" % formatdate(today, usegmt=True).encode()
        for wire in list(self.wires):
            if wire.deadline != 0.0 and now >= wire.deadline:
                wire.expired()
            if isinstance(wire, Downstream):
                (<Downstream>wire).outlive(today)

    def drain(self, double grace):
        self.draining = True
        cdef double soon = coarse_monotonic() + grace
        cdef Wire wire
        for wire in list(self.wires):
            wire.drain(soon)

    def close(self):
        cdef Wire wire
        for wire in list(self.wires):
            wire.end()
