"""
What one configuration asks of requests, as one value: who authorizes, whose forwarding fields count, limits and timeouts.

A worker replaces it whole, so no request sees a part of one configuration and a part of the next. Connections, endpoints, keys and counters are not
part of it: they outlive configurations.
"""


cdef class Snapshot:

    def __init__(self, *, Admission admission not None, Admission asked=None, object trusts, issuers, limits, timeouts, bint allow_half_close=False):
        """
        issuers: their names, by index. limits, timeouts: sections of the configuration.
        """
        self.admission = admission
        self.asked = admission if asked is None else asked
        self.gate = admission.gate
        self.trusts = trusts
        self.issuer_labels = tuple([name.encode() for name in issuers])
        self.max_request_body = -1 if limits.max_request_body is None else limits.max_request_body
        self.max_response_head = limits.max_response_head
        self.max_response_fields = limits.max_response_fields
        self.max_requests = limits.max_requests_per_connection
        self.head_timeout = timeouts.request_head
        self.keep_alive_timeout = timeouts.keep_alive
        self.stream_idle_timeout = timeouts.stream_idle
        self.allow_half_close = allow_half_close

    cdef bint believes(self, bytes peer) except -1:
        return self.trusts is not None and self.trusts(peer.decode())
