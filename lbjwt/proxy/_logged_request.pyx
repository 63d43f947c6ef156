"""The part of an access-log record that is known when a request begins. Without an access log none of it is kept."""

from libc.string cimport memcpy

from lbjwt.http1._grammar cimport before_query
from lbjwt.net._clock cimport monotonic, wall_clock


cdef class LoggedRequest:

    cdef void begin(self, RequestHead head, Slice client, Slice peer):
        cdef Slice path = before_query(head.target)
        self._client_size = 0
        if client.at != peer.at:
            self._client_size = min(client.size, <Py_ssize_t>MAX_ADDRESS)
            memcpy(self._client, client.at, self._client_size)
        self._started_at = wall_clock()
        self._started = monotonic()
        self._method = head.method_name.at[:head.method_name.size]
        self._path = path.at[:path.size]
        self._host = head.host.at[:head.host.size]

    cdef void fill(self, AccessRecord *record, Slice peer) noexcept:
        record.started_at = self._started_at
        record.duration = monotonic() - self._started
        record.client = record.peer = peer
        if self._client_size:
            record.client = Slice(&self._client[0], self._client_size)
        record.method = Slice(self._method, len(self._method))
        record.path = Slice(self._path, len(self._path))
        record.host = Slice(self._host, len(self._host))
