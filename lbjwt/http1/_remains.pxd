from lbjwt.http1._request cimport RequestHead, RequestPolicy

# data, size: a head that was refused or is not whole. Sets method_name, target (a path without query), host and the fields of `head`, as far as they
# can be told: for the log alone. Borrows data.
cdef void read_remains(RequestHead head, const char *data, Py_ssize_t size, RequestPolicy policy) noexcept
