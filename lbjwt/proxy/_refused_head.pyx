"""
A head that never became an exchange: it was refused, or its connection ended first. What its client gets, and what counters and access log know of it
as far as it can be read.
"""

from libc.string cimport memset

from lbjwt.http1._remains cimport read_remains
from lbjwt.http1._request cimport RequestHead
from lbjwt.net._clock cimport wall_clock
from lbjwt.observe._access_log cimport HTTP_1_0, HTTP_1_1, HTTP_2, AccessRecord
from lbjwt.proxy._exchange cimport CLIENT_CLOSED_STATUS, REQUEST_ID_SIZE


cdef Answer refuse_head(ProxyContext context, ListenerSettings listener, ErrorReason reason, Caller caller, char *request_id):
    cdef Answer answer
    if listener.authorizer is None:
        answer = context.answer(reason, False, caller)
    else:                                        # never in the form of gRPC
        answer = listener.authorizer.adapted(context.answer(reason, False, Caller.NO_GRPC))
    context.next_request_id(request_id)
    context.board.mine.bad_requests += 1
    return answer


cdef void record_head(ProxyContext context, ListenerSettings listener, Slice peer, bint trusted, ErrorReason reason, const char *at, Py_ssize_t size,
                      Slice request_id, int status, Py_ssize_t response_bytes, bint http2):
    cdef RequestHead head = context.request_head
    cdef AccessRecord record
    context.board.mine.requests[status // 100] += 1
    context.board.mine.errors[<int>reason] += 1
    if context.access_log is None:
        return
    read_remains(head, at, size, listener.policy)
    memset(&record, 0, sizeof(record))
    record.started_at = wall_clock()
    record.peer = peer
    record.client = context.snapshot.admission.source(head, peer, trusted)
    record.method = head.method_name
    record.path = head.target
    record.host = head.host
    record.protocol = HTTP_2 if http2 else HTTP_1_0 if head.http10 else HTTP_1_1
    record.request_id = request_id
    record.status = CLIENT_CLOSED_STATUS if reason == ErrorReason.CLIENT_CLOSED else status
    record.error = reason
    record.response_bytes = response_bytes
    record.complete = status != 0
    record.grpc_status = -1
    context.access_log.record(&record)


cdef void record_lost_head(ProxyContext context, ListenerSettings listener, Slice peer, bint trusted, ErrorReason reason, const char *at,
                           Py_ssize_t size, bint http2):
    cdef char request_id[REQUEST_ID_SIZE]
    context.next_request_id(request_id)
    record_head(context, listener, peer, trusted, reason, at, size, Slice(&request_id[0], REQUEST_ID_SIZE), 0, 0, http2)
