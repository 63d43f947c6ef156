from lbjwt._grants cimport Grant
from lbjwt.http1._buffer cimport Slice
from lbjwt.http1._request cimport RequestHead
from lbjwt.upstream._request cimport UpstreamRequest
from lbjwt.upstream.balancing._key cimport KeySource

# Set what the balancing rule looks at. client: its address as text. grant: of the verified token; None: there is none.
cdef void learn(UpstreamRequest request, KeySource source, RequestHead head, Slice client, Grant grant)
