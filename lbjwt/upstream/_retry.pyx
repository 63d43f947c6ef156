"""
May a request be sent again, and to whom?

| what happened                                    | may be sent again                                                     | to                            |
| ------------------------------------------------ | --------------------------------------------------------------------- | ----------------------------- |
| connecting failed                                | always: nothing was sent                                              | an endpoint that was not tried |
| a pooled connection took not one byte            | always                                                                | any endpoint                  |
| the connection ended before a byte of a response | `retries` times, if repeating it is harmless (RFC 9110 section 9.2.2) and all of it is kept | another endpoint if there is one, on a new connection |
| anything else                                    | never                                                                 |                               |
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
        request.tried.discard(failed)            # to the same one, rather than to nobody
    request.fresh = True
    request.retries += 1
