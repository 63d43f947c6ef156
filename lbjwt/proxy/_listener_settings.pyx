"""What one listener asks of its clients, as one object that outlives configurations."""


cdef class ListenerSettings:

    def __init__(self, RequestPolicy policy not None, Health health=None, tls=None, double handshake_timeout=10.0, Limits http2=None, bint h2c=False):
        self.policy = policy
        self.health = health
        self.tls = tls
        self.handshake_timeout = handshake_timeout
        self.http2 = http2
        self.h2c = h2c
