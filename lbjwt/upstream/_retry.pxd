from lbjwt.http1._request cimport Method
from lbjwt.upstream._cluster cimport Cluster
from lbjwt.upstream._endpoint cimport Endpoint
from lbjwt.upstream._request cimport UpstreamRequest


# Whether a request may be sent again while nothing came back: its method says so, and all of it is kept.
cdef bint is_replayable(Method method, bint complete, Py_ssize_t body_size) noexcept
# The connection ended before the first byte of a response. True: send it again, after `send_elsewhere`.
cdef bint may_send_again(UpstreamRequest request, Cluster cluster) noexcept
# No connection could be had: any request may go elsewhere, as not one byte of it was sent.
cdef void exclude(UpstreamRequest request, Endpoint endpoint)
# To another endpoint if there is one, on a connection that nobody used before.
cdef void send_elsewhere(UpstreamRequest request, Cluster cluster, Endpoint failed, double now)
