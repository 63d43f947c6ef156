"""
Least time: the endpoint with the shortest expected response time, which is the mean of its last ones times the requests that it would have in flight,
for its weight. An endpoint that is ten times slower than the others gets about a hundredth of their requests, where least requests gives it a tenth.

A response time is the time from the end of the request to the head of the response, as this worker sees it. The mean is an exponential one, which
forgets half of what it was in 22 responses. It fades by a tenth a second, so that an endpoint that was too slow to be picked is tried again: after
some twenty seconds when it is ten times as slow. One that is not known yet gets one request at once, and counts as the others do on average until it
has answered. Between endpoints whose means differ by less than a fifth, the requests in flight decide as under least requests: means are never quite
equal, and the lowest would get everything of a single client.

An endpoint that fails at once is fast. Ejection takes care of it, as under every rule.
"""

from lbjwt.upstream._request cimport UpstreamRequest
from lbjwt.upstream.balancing._members cimport SAMPLE, Members

cdef enum:
    COMPARED = 64                # endpoints up to which all are compared

cdef double PART = 1.0 / 32.0    # of a mean that a new response time makes up
cdef double LEAST = 1e-4         # seconds: the clock of deadlines has a grain of some milliseconds, and tells many responses as none
cdef double FADING = 0.9         # what is left of a mean after `SECOND`
cdef double SECOND = 1.0
cdef double CLOSE = 0.8          # of two means, the lower one is less than the other below so many times that


cdef class LeastTime(Balancing):
    def __init__(self):
        self.measures = True

    cdef Py_ssize_t pick(self, Members members, UpstreamRequest request):
        cdef Py_ssize_t place, at, best = -1
        if members.now >= self._fades_at:
            self._fade(members)
        if members.count > COMPARED:
            members.draw_sample()
            for place in range(SAMPLE):
                at = members.sample[place]
                if at >= 0 and at != best and members.is_usable(at) and (best < 0 or self._is_faster(members, at, best)):
                    best = at
            return best if best >= 0 else members.draw_usable(0)
        for at in range(members.count):
            if members.is_usable(at) and (best < 0 or self._is_faster(members, at, best)):
                best = at
        return best

    cdef void answered(self, Members members, Py_ssize_t at, double seconds):
        cdef double mean = members.at[at].response_time
        seconds = max(seconds, LEAST)
        members.at[at].response_time = seconds if mean == 0.0 else mean + (seconds - mean) * PART
        self._typical = seconds if self._typical == 0.0 else self._typical + (seconds - self._typical) * PART

    cdef void use(self, Members members):
        """After a reload the rule is a new one, and its members are known."""
        cdef Py_ssize_t at, known = 0
        cdef double whole = 0.0
        for at in range(members.count):
            if members.at[at].response_time != 0.0:
                known += 1
                whole += members.at[at].response_time
        if known:
            self._typical = whole / known

    cdef bint _is_faster(self, Members members, Py_ssize_t one, Py_ssize_t other) noexcept:
        cdef double mean = self._mean(members, one)
        cdef double least = self._mean(members, other)
        if min(mean, least) >= CLOSE * max(mean, least):
            return members.is_less_loaded(one, other)
        return mean * (members.at[one].state.in_flight + 1) * members.share(other) < (
            least * (members.at[other].state.in_flight + 1) * members.share(one))

    cdef double _mean(self, Members members, Py_ssize_t at) noexcept:
        if members.at[at].response_time != 0.0:
            return members.at[at].response_time
        return self._typical if members.at[at].state.in_flight > 0 else 0.0

    cdef void _fade(self, Members members) noexcept:
        cdef Py_ssize_t at
        self._fades_at = members.now + SECOND
        for at in range(members.count):
            if members.at[at].response_time != 0.0:
                members.at[at].response_time = max(members.at[at].response_time * FADING, LEAST)
