# A request to one of many endpoints finds the memory of that endpoint in no cache of the processor. What is fetched early costs no time to wait for.

cdef extern from *:
    """
    #define lbjwt_prefetch(at) __builtin_prefetch(at)
    """
    void prefetch "lbjwt_prefetch"(const void *at) noexcept nogil     # any address: one that is not mapped is no fault
