"""TLS over memory."""

from ssl import SSLContext
from typing import final

@final
class TlsSession:
    """The server's half of one TLS connection over memory; all of its work is called from Cython.

    Args:
        context: The listener's.
    """

    established: bool
    ended: bool
    def __init__(self, context: SSLContext) -> None: ...
