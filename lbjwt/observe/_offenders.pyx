"""
Refused requests by client address over a sliding window. Each worker counts in a table of its own (512 sets of eight entries) in one mapping made
before the fork; readers sum over the tables.

An entry's key is an IPv4 address, or the first 64 bits of an IPv6 address: one customer gets a /64 at least, and can change the rest at will. The
window has eight parts, so a failure counts for seven eighths of the window at least and for the whole window at most.

Memory is bounded: a new address in a full set replaces the one that was quiet the longest. Which addresses share a set depends on a secret of
this service. To make a worker forget an address early, eight other addresses of its set must fail while it sends nothing (a refused request
counts as activity), which takes thousands of addresses without the secret. The owner of a /48 has 65,536 of them and is not stopped by this limit.

Readers take no lock. A writer zeroes the counts before it publishes a key, and a reader checks the key before and after it reads: counts never
belong to another address.
"""

import os
import socket
from operator import itemgetter

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap


cdef extern from "<arpa/inet.h>" nogil:
    enum:
        AF_INET
        AF_INET6
    int inet_pton(int family, const char *text, void *address)

cdef extern from *:
    """
    #define lbjwt_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    """
    void lbjwt_fence() noexcept nogil


cdef uint64_t IPV4 = 0xFF00000400000000          # | address. No peer has a multicast address (ff00::/8), so these keys are free
cdef uint64_t IPV6_ZERO = 0xFF00000600000000     # ::/64, where ::1 lives: 0 means an empty entry
cdef uint32_t MOST = 0xFFFFFFFF
cdef size_t LONGEST = 63                         # characters of an address, scope aside: INET6_ADDRSTRLEN is 46


cdef uint64_t key_of(const char *peer, Py_ssize_t size) noexcept:
    """What stands for the address in the tables; 0 for what is no address."""
    cdef char text[64]
    cdef uint8_t address[16]
    cdef uint64_t key = 0
    cdef int at
    cdef const char *scope = <const char *>memchr(peer, c"%", <size_t>size) if size > 0 else NULL
    if scope != NULL:
        size = scope - peer
    if size <= 0 or <size_t>size > LONGEST:
        return 0
    memcpy(text, peer, <size_t>size)
    text[size] = 0
    if inet_pton(AF_INET, text, address) == 1:
        return IPV4 | <uint64_t>address[0] << 24 | <uint64_t>address[1] << 16 | <uint64_t>address[2] << 8 | address[3]
    if inet_pton(AF_INET6, text, address) != 1:
        return 0
    for at in range(8):
        key = key << 8 | address[at]
    if key != 0:
        return key
    if address[8] == 0 and address[9] == 0 and address[10] == 0xFF and address[11] == 0xFF:    # ::ffff:192.0.2.1
        return IPV4 | <uint64_t>address[12] << 24 | <uint64_t>address[13] << 16 | <uint64_t>address[14] << 8 | address[15]
    return IPV6_ZERO


cdef str text_of(uint64_t key):
    if key == IPV6_ZERO:
        key = 0
    elif key >> 32 == IPV4 >> 32:
        return socket.inet_ntop(socket.AF_INET, (key & 0xFFFFFFFF).to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, int(key).to_bytes(8, "big") + bytes(8)) + "/64"


cdef inline int64_t recent(const Offence *offence, int64_t part) noexcept:
    """Failures in the window that ends with `part`."""
    cdef int64_t newest = offence.newest
    cdef int64_t count = 0
    cdef int back
    for back in range(PARTS):
        if newest - back > part - PARTS:
            count += offence.counts[(newest - back) & (PARTS - 1)]
    return count


cdef inline void advance(Offence *offence, int64_t part) noexcept:
    """Make `part` the newest one. A clock that stands behind counts in the newest there is."""
    if part >= offence.newest + PARTS:
        memset(offence.counts, 0, sizeof(offence.counts))
        offence.newest = part
    while offence.newest < part:
        offence.counts[(offence.newest + 1) & (PARTS - 1)] = 0
        offence.newest += 1


cdef class Offenders:
    """
    Counts outlive their worker. Times: seconds on the monotonic clock, which all processes share.

    Args:
        slots: Workers.
        limit: Failures within the window after which an address is over; 0: none ever is.
        window: Seconds.

    Raises:
        MemoryError: The kernel gave no shared memory.
    """

    def __cinit__(self, Py_ssize_t slots, *, int64_t limit=0, double window=60.0):
        self.slots = slots
        self.limit = limit
        self.window = window
        self._part = window / PARTS
        self._secret = <uint64_t>int.from_bytes(os.urandom(8), "little")
        self._factor = <uint64_t>int.from_bytes(os.urandom(8), "little") | 1
        self._stride = (SETS * sizeof(OffenceSet) + 4095) & ~<size_t>4095
        self._size = <size_t>slots * self._stride
        cdef void *memory = mmap(NULL, self._size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        if memory == MAP_FAILED:
            raise MemoryError(f"cannot allocate {self._size} bytes of shared memory for the failures by address")
        self._base = <char *>memory

    def __dealloc__(self):
        if self._base != NULL:
            munmap(self._base, self._size)

    cdef OffenceSet *_set(self, Py_ssize_t slot, uint64_t key) noexcept:
        cdef uint64_t mixed = (key ^ self._secret) * <uint64_t>0x9E3779B97F4A7C15
        mixed = (mixed ^ mixed >> 32) * self._factor
        mixed ^= mixed >> 29
        return <OffenceSet *>(self._base + <size_t>slot * self._stride) + (mixed >> 16 & (SETS - 1))

    cdef int64_t _part_of(self, double now) noexcept:
        return <int64_t>(now / self._part)

    cdef void blame(self, const char *peer, Py_ssize_t size, double now) noexcept:
        cdef uint64_t key = key_of(peer, size)
        cdef OffenceSet *found
        cdef Offence *offence
        cdef int64_t part = self._part_of(now)
        cdef int way
        cdef int chosen = 0
        if key == 0:
            return
        found = self._set(self.slot, key)
        for way in range(WAYS):
            if found.keys[way] == key:
                chosen = way
                break
            if found.keys[chosen] != 0 and (found.keys[way] == 0 or found.offences[way].last_at < found.offences[chosen].last_at):
                chosen = way
        offence = &found.offences[chosen]
        if found.keys[chosen] != key:
            found.keys[chosen] = 0
            lbjwt_fence()
            memset(offence, 0, sizeof(Offence))
            offence.newest = part
            lbjwt_fence()
            found.keys[chosen] = key
        advance(offence, part)
        if offence.counts[offence.newest & (PARTS - 1)] < MOST:
            offence.counts[offence.newest & (PARTS - 1)] += 1
        offence.last_at = now

    cdef int64_t _failures(self, uint64_t key, double now) noexcept:
        cdef OffenceSet *found
        cdef int64_t part = self._part_of(now)
        cdef int64_t total = 0
        cdef int64_t count
        cdef Py_ssize_t slot
        cdef int way
        for slot in range(self.slots):
            found = self._set(slot, key)
            for way in range(WAYS):
                if found.keys[way] == key:
                    lbjwt_fence()
                    count = recent(&found.offences[way], part)
                    lbjwt_fence()
                    if found.keys[way] == key:
                        total += count
                    break
        return total

    cdef bint over(self, const char *peer, Py_ssize_t size, double now) noexcept:
        cdef uint64_t key
        cdef OffenceSet *mine
        cdef int way
        if self.limit == 0:
            return False
        key = key_of(peer, size)
        if key == 0 or self._failures(key, now) < self.limit:
            return False
        mine = self._set(self.slot, key)
        for way in range(WAYS):
            if mine.keys[way] == key:
                mine.offences[way].last_at = now         # a client that keeps trying is not quiet
                break
        return True

    def attach(self, Py_ssize_t slot):
        """Write to this slot from now on; a worker calls this once, right after the fork."""
        if not 0 <= slot < self.slots:
            raise IndexError(f"no slot {slot}")
        self.slot = slot

    def add_failure(self, str address not None, double now):
        cdef bytes text = address.encode()
        self.blame(text, len(text), now)

    def is_over(self, str address not None, double now):
        cdef bytes text = address.encode()
        return self.over(text, len(text), now)

    def failures(self, str address not None, double now):
        cdef bytes text = address.encode()
        return self._failures(key_of(text, len(text)), now)

    def top(self, Py_ssize_t most, double now):
        """The addresses with the most failures within the window, the worst first. Looks at every entry: not per request."""
        cdef list found = sorted(self._all(now).items(), key=itemgetter(1), reverse=True)
        return [
            {"address": text_of(key), "failures": failures, "last_seconds_ago": round(max(0.0, now - last_at), 3)}
            for key, (failures, last_at) in found[:max(0, most)]
        ]

    def count(self, double now):
        """Addresses with a failure within the window. Looks at every entry: not per request."""
        return len(self._all(now))

    def _all(self, double now):
        """Every address with a failure in the window: key -> (failures, last_at)."""
        cdef dict found = {}
        cdef OffenceSet *line
        cdef uint64_t key
        cdef int64_t part = self._part_of(now)
        cdef int64_t failures
        cdef double last_at
        cdef Py_ssize_t slot
        cdef int at, way
        for slot in range(self.slots):
            line = <OffenceSet *>(self._base + <size_t>slot * self._stride)
            for at in range(SETS):
                for way in range(WAYS):
                    key = line[at].keys[way]
                    if key == 0:
                        continue
                    lbjwt_fence()
                    failures = recent(&line[at].offences[way], part)
                    last_at = line[at].offences[way].last_at
                    lbjwt_fence()
                    if failures == 0 or line[at].keys[way] != key:
                        continue
                    if key in found:
                        failures += <int64_t>found[key][0]
                        last_at = max(last_at, <double>found[key][1])
                    found[key] = (failures, last_at)
        return found
