# A request to one of many endpoints finds the memory of that endpoint in no cache of the processor. What is fetched early costs no time to wait for.

cdef extern from *:
    """
    #define lbjwt_prefetch(at) __builtin_prefetch(at)
    static inline void lbjwt_prefetch_lines(const void *at, int lines) {
        for (int line = 0; line < lines; line++) __builtin_prefetch((const char *)at + 64 * line);
    }
    """
    # Any address: one that is not mapped is no fault.
    void prefetch "lbjwt_prefetch"(const void *at) noexcept nogil
    void prefetch_lines "lbjwt_prefetch_lines"(const void *at, int lines) noexcept nogil     # of 64 bytes
