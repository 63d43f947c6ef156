from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._answer cimport Answer
from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._response cimport ResponseHead
from lbjwt.net._clock cimport Timed
from lbjwt.net._connection cimport Sent
from lbjwt.proxy._authorizer cimport Authorizer
from lbjwt.upstream._endpoint cimport Endpoint
from lbjwt.upstream._pool cimport PooledStream
from lbjwt.upstream._request cimport UpstreamRequest


cdef class ClientStream(Timed):
    """One request of a client and its response, as an exchange sees it. An HTTP/1 connection is its own one stream."""
    cdef bint broken                             # something for the client could not be sent
    cdef bint http2                              # for the access log: HTTP/2, not HTTP/1
    cdef Authorizer authorizer                   # answers in place of an endpoint; None: its requests are forwarded

    cdef void interim(self, ResponseHead head)
    # The final response: its head, then its body. end: that was all of it.
    cdef void respond(self, ResponseHead head, const char *body, Py_ssize_t size, bint end)
    cdef void respond_body(self, const char *body, Py_ssize_t size, bint end)
    cdef void respond_trailers(self, list fields)      # (name, value): the end of a response, for a protocol that has such
    # A response of our own, instead.
    cdef void answer(self, Answer answer, Slice request_id)
    # The endpoint agreed to switch protocols: from now on `send` and `shutdown`, and data comes to the exchange's tunnel.
    cdef void switch(self, ResponseHead head)
    cdef void send(self, const char *data, Py_ssize_t size)
    cdef void shutdown(self)                     # no more will be sent to the client
    cdef void close(self)                        # send what is queued, then end
    cdef void reset(self, ErrorReason reason)    # end now: what was sent must not look complete
    # The endpoint can take more of the request: it may have been held back.
    cdef void request_wanted(self)
    cdef void released(self)                     # the exchange is over
    cdef Slice peer(self)                        # the client's address as text
    cdef void authorize_again(self)                  # the keys that its request waited for were fetched, or were not


cdef class BackendStream(PooledStream):
    """One request to an endpoint and its response, as an exchange sees it. `request` is the exchange."""
    cdef readonly Endpoint endpoint
    cdef bint multiplexed                        # other streams share its connection
    cdef bint used                               # it was idle before, or carried another request: the endpoint may have closed it meanwhile
    cdef bint trial                              # being opened without a request: what comes of it tries an endpoint that was ejected
    cdef double sent_at                          # seconds on the monotonic clock: the first part of the request was sent
    cdef double asked_at                         # seconds on the monotonic clock: the last part of the request that came was sent

    # Send what the exchange holds of its request. FAILED: not one byte left, so that any request may go elsewhere.
    cdef Sent transmit(self, UpstreamRequest exchange)
    cdef void request_body(self, const char *body, Py_ssize_t size, bint end)
    cdef bint wants_body(self) noexcept          # False: more is queued for the endpoint than should be
    cdef void pause(self)                        # hold back the response
    cdef void resume(self)
    cdef Sent send(self, const char *data, Py_ssize_t size)      # of a tunnel
    cdef void shutdown(self)                     # no more will be sent to the endpoint
    cdef void reset(self, ErrorReason reason)    # end now
    # The exchange needs it no longer. whole: request and response were had to their ends.
    cdef void release(self, bint whole)
