"""Which form of answer a refused client understands. Form alone: the verdict is the same."""

from lbjwt.http1._request import RequestHead

def is_grpc(head: RequestHead) -> bool:
    """True when the first Content-Type is `application/grpc`, bare or with a suffix (`+proto`, `-web`, parameters). `head`: COMPLETE."""

def is_browser(head: RequestHead) -> bool:
    """True for GET and HEAD that accept text/html and bring no Authorization. `head`: COMPLETE."""
