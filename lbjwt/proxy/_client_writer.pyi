"""What an HTTP/1 client is sent. What per-request code uses stands in `_client_writer.pxd`."""

from typing_extensions import disjoint_base

from lbjwt.proxy._downstream import Downstream

@disjoint_base
class ClientWriter(Downstream):
    """The half of a client connection that writes; subclassed in Cython."""
