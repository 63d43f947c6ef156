"""What was decided of one request head. A value: it belongs to one exchange, and the next decision does not change it."""

from lbjwt._fastverify cimport NONE


cdef class Authorization:

    cdef void clear(self) noexcept:
        self.route = None
        self.document = None
        self.error = ErrorReason.NO_ERROR
        self.grant = None
        self.other_grants = None
        self.identity = b""
        self.path = None
        self.reason = self.reported = NONE
        self.cluster = -1
        self.issuer = self.reported_issuer = self.waits_for = -1

    cdef void release(self) noexcept:
        self.route = None
        self.document = None
        self.grant = None
        self.other_grants = None
        self.identity = None
        self.path = None
