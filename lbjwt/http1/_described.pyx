"""
A request that another proxy describes in its own protocol, written as a head of HTTP/1.1: `RequestHead.parse` then judges it by the rules of all
requests, so there is no second set of rules.

Fields about the body and the connection are left out, as both are the other proxy's. No byte can end a line or a name early in what is written.
"""

from lbjwt.http1._names cimport CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE, request_kind
from lbjwt.http1._scan cimport TARGET, TOKEN, all_of, next_control


cdef bint begin_described(Buffer out, Slice method, Slice target) except -1:
    if method.size == 0 or not all_of(method.at, method.size, TOKEN) or target.size == 0 or not all_of(target.at, target.size, TARGET):
        return False
    out.put(method.at, method.size)
    out.put(b" ", 1)
    out.put(target.at, target.size)
    out.put(b" HTTP/1.1\r\n", 11)
    return True


cdef bint put_described(Buffer out, Slice name, Slice value) except -1:
    cdef const char *end = value.at + value.size
    cdef const char *at = value.at
    if name.size == 0 or not all_of(name.at, name.size, TOKEN):
        return False
    while at < end:
        at = next_control(at, end)
        if at < end:
            if at[0] != c"\t":
                return False
            at += 1
    if request_kind(name.at, name.size) in (CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT):
        return True
    out.put(name.at, name.size)
    out.put(b": ", 2)
    out.put(value.at, value.size)
    out.put(b"\r\n", 2)
    return True


cdef int end_described(Buffer out) except -1:
    return out.put(b"\r\n", 2)
