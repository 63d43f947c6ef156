"""The client side of HTTP/1."""

from asyncio import BaseTransport

from typing_extensions import disjoint_base

from lbjwt.http1._request import RequestPolicy
from lbjwt.proxy._client_writer import ClientWriter
from lbjwt.proxy._health import Health
from lbjwt.proxy._traffic import Traffic

@disjoint_base
class ClientSide(ClientWriter):
    """The asyncio protocol of one client connection.

    Args:
        traffic: What the worker's connections share.
        policy: What the listener says about request heads.
        health: Which of its requests are health checks; None: none.
    """

    def __init__(self, traffic: Traffic, policy: RequestPolicy, health: Health | None = None) -> None: ...
    def connection_made(self, transport: BaseTransport) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
