# Who was refused, as far as the form of the answer goes. For refusals only: each call walks the fields of the head.

from lbjwt.http1._request cimport RequestHead

cpdef bint is_grpc(RequestHead head) noexcept
cpdef bint is_browser(RequestHead head) noexcept
