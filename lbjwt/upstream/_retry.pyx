"""
May a request be sent again, and to whom?

- Connecting failed: always, as nothing was sent; to an endpoint that was not tried.
- An idle connection took not one byte: always; to any endpoint.
- The connection ended before the first byte of a response: up to `retries` times, if repeating the request is harmless (RFC 9110 section 9.2.2) and
  all of it is kept; to another endpoint if there is one, on a connection that nobody used before.
- Anything else: never.
"""

from lbjwt.http1._request cimport DELETE, GET, HEAD, OPTIONS, PUT

cdef enum:
    HELD_BODY = 65536            # bytes of a request body kept for sending it again


cdef bint is_replayable(Method method, bint complete, Py_ssize_t body_size) noexcept:
    return complete and body_size <= HELD_BODY and (method == GET or method == HEAD or method == PUT or method == DELETE or method == OPTIONS)


cdef bint may_send_again(UpstreamRequest request, Cluster cluster) noexcept:
    return request.replayable and request.retries < cluster.retries


cdef void exclude(UpstreamRequest request, Endpoint endpoint):
    if request.tried is None:
        request.tried = set()
    request.tried.add(endpoint)


cdef void send_elsewhere(UpstreamRequest request, Cluster cluster, Endpoint failed, double now):
    exclude(request, failed)
    if cluster.pick(request, request.tried, now) is None:
        request.tried.discard(failed)            # no other is left: the same one again
    request.fresh = True
    request.retries += 1
