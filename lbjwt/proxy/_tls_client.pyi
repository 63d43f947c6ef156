"""The client side of HTTP/1 under TLS."""

from asyncio import BaseTransport
from ssl import SSLContext
from typing import final

from lbjwt.http1._request import RequestPolicy
from lbjwt.proxy._client import ClientSide
from lbjwt.proxy._health import Health
from lbjwt.proxy._traffic import Traffic

@final
class TlsClientSide(ClientSide):
    """The asyncio protocol of one client connection under TLS, over a plain transport.

    Args:
        traffic: What the worker's connections share.
        policy: What the listener says about request heads; its `https` is true.
        context: The listener's certificate and settings.
        handshake_timeout: Seconds until the handshake must be done.
        health: As for `ClientSide`.
    """

    def __init__(
        self,
        traffic: Traffic,
        policy: RequestPolicy,
        context: SSLContext,
        handshake_timeout: float,
        health: Health | None = None,
    ) -> None: ...
    def connection_made(self, transport: BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool: ...
    def resume_writing(self) -> None: ...
