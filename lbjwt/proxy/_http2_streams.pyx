"""What the streams of one HTTP/2 client share, and how one of them waits for keys."""

from lbjwt.http1._request cimport POST
from lbjwt.net._clock cimport coarse_monotonic
from lbjwt.proxy._grpc_call cimport GrpcCall, new_grpc_call


cdef class Http2Streams(Timed):

    cdef void flush_soon(self):
        pass


cdef class Http2Stream(ClientStream):

    cdef void _refuse(self, ErrorReason reason, const char *at, Py_ssize_t size):
        pass

    cdef bint _wait_for_keys(self, RequestHead head, Py_ssize_t issuer):
        cdef ProxyContext context = self.server.context
        cdef GrpcCall call
        if not context.wait_for_keys(self, issuer):
            return False
        self.waits_for = issuer
        self.came_at = coarse_monotonic()
        self.deadline = self.came_at + context.key_wait.max_wait
        if head.method == POST:
            call = new_grpc_call(head, self.came_at)
            if call is not None and call.ends_at != 0.0:
                self.deadline = min(self.deadline, call.ends_at)
        return True

    cdef void _end_key_wait(self):
        if self.waits_for >= 0:
            self.server.context.key_wait.leave(self, self.waits_for)
            self.waits_for = -1
