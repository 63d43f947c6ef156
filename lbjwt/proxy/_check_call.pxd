cimport cython

from lbjwt._error_reason cimport ErrorReason
from lbjwt.http1._buffer cimport Buffer, Slice
from lbjwt.http1._request cimport RequestHead
from lbjwt.proxy._authorization cimport Authorization


@cython.final
cdef class CheckSettings:
    """What an answer for Envoy says beyond a Decision."""
    cdef readonly tuple claims           # names of claims that are told as dynamic metadata
    cdef readonly list parameters        # of queries, which hold tokens that are not passed on
    cdef readonly bint cookies           # some cookie holds a token that is not passed on


@cython.final
cdef class CheckCall:
    """One call of Envoy's authorization service: its message as far as it has come, and what it says."""
    cdef bytearray message
    cdef bytes client            # the address of the client that Envoy asks about; None: it is not known yet
    cdef bint https              # that client used TLS

    # Take the next part of the message. False: it is too large.
    cdef bint take(self, bytes data)
    # Write the head of the request that is asked about, as HTTP/1, once the message is whole.
    cdef ErrorReason read(self, Buffer out) except *


# It is a call of the service: its path, method and type.
cdef bint is_check(RequestHead head) noexcept
# The message of the answer, with its prefix. head: of the request that is asked about; authorization: what was decided of it, None: nothing was
cdef bytes answer_message(object decision, CheckSettings settings, RequestHead head, Authorization authorization)
