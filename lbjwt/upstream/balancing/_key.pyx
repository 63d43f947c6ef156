"""What of a request decides about its endpoint under `hash` and `cookie`, and its hash."""

cdef dict KINDS = {"client_address": CLIENT_ADDRESS, "header": HEADER, "cookie": COOKIE, "claim": CLAIM, "affinity": AFFINITY}


cdef class KeySource:

    def __init__(self, str kind not None, str name=""):
        """kind: client_address, header, cookie, claim or affinity. name: of the header, cookie or claim."""
        self.kind = KINDS[kind]
        self.claim = name
        self.name = (name.lower() if self.kind == HEADER else name).encode()
        self.number = hash_of(self.name, len(self.name)) | 1


cdef uint64_t mixed(uint64_t value) noexcept nogil:
    """Steele's splitmix64: every bit of the value decides about every bit of the result."""
    value = (value ^ (value >> 30)) * <uint64_t>0xbf58476d1ce4e5b9
    value = (value ^ (value >> 27)) * <uint64_t>0x94d049bb133111eb
    return value ^ (value >> 31)


cdef uint64_t hash_of(const char *data, Py_ssize_t size) noexcept nogil:
    """FNV-1a, mixed. Anybody can compute it: with a bound on the load, a client that aims at one endpoint gains nothing."""
    cdef uint64_t value = <uint64_t>0xcbf29ce484222325
    cdef Py_ssize_t at
    for at in range(size):
        value = (value ^ <unsigned char>data[at]) * <uint64_t>0x100000001b3
    return mixed(value)
