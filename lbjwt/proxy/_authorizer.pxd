cimport cython

from lbjwt._fastverify cimport DenyReason
from lbjwt.http1._answer cimport Answer
from lbjwt.http1._request cimport RequestHead
from lbjwt.proxy._check_call cimport CheckSettings
from lbjwt.proxy._original cimport OriginalRequest
from lbjwt.proxy._route cimport Route


@cython.final
cdef class Authorizer:
    """What a listener does that forwards nothing: it reads what is asked, and puts the verdict into the answer that its proxy understands."""
    cdef readonly OriginalRequest original
    cdef readonly bint redirects                 # its proxy passes a redirect on to the browser
    cdef object _allow                           # (identity header lines: bytes) -> Answer
    cdef object _adapt                           # (Answer) -> Answer
    cdef readonly CheckSettings check            # what Envoy gets by gRPC beside this; None: it is not asked so
    cdef dict _allowed                           # Answer by the identity header lines in it
    cdef dict _adapted                           # Answer by the one it was made of
    cdef dict _decisions                         # Decision by the answer that says it

    # The request may pass; identity: its header lines.
    cdef Answer allowed(self, bytes identity)
    # It may not, because of its token; never in the form of gRPC.
    cdef Answer refusal(self, Route route, DenyReason reason, RequestHead head)
    # Any answer but `allowed`, with a status that its proxy can take.
    cdef Answer adapted(self, Answer answer)
    # What an answer says (a Decision), for a protocol other than HTTP.
    cdef object decision(self, Answer answer)
