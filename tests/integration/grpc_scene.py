"""A gRPC service made with grpcio and its clients, for tests of what lies between: methods on bytes, so no message needs a compiler."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc

from tests.harness.balancer import Balancer
from tests.harness.ports import free_port
from tests.harness.tokens import TokenFactory

LARGEST = 8 << 20
OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST),
    ("grpc.max_send_message_length", LARGEST),
    ("grpc.so_reuseport", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own for each channel
    ("grpc.enable_retries", 0),  # only the balancer sends again
)
PATIENCE = 20.0
"""Seconds for a call whose time is not what the test is about."""


class Service(grpc.GenericRpcHandler):
    """`/test.Echo/…`: what it was asked and told is in its attributes."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, Any]] = []
        """Of each call, in the order of their arrival."""
        self.calls: list[str] = []
        self.cancelled = threading.Event()
        """A `Hang` or `Endless` is over."""
        self.remaining: list[float | None] = []
        """Seconds left of the deadline of each `Unary`."""
        self.failures: list[grpc.StatusCode] = []
        """What the next calls of `Flaky` fail with."""
        self.arrived = threading.Semaphore(0)
        self.raw: Any = None
        """What a test has beside it."""

    def service(self, details: Any) -> Any:
        name = details.method.removeprefix("/test.Echo/")
        self.calls.append(name)
        self.metadata.append(dict(details.invocation_metadata))
        return {
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "Upload": grpc.stream_unary_rpc_method_handler(self._upload),
            "Download": grpc.unary_stream_rpc_method_handler(self._download),
            "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
            "EndEarly": grpc.stream_stream_rpc_method_handler(self._end_early),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "FailLate": grpc.unary_stream_rpc_method_handler(self._fail_late),
            "Flaky": grpc.unary_unary_rpc_method_handler(self._flaky),
            "Hang": grpc.unary_unary_rpc_method_handler(self._hang),
            "Endless": grpc.unary_stream_rpc_method_handler(self._endless),
        }.get(name)

    def _unary(self, request: bytes, context: Any) -> bytes:
        self.remaining.append(context.time_remaining())
        given = dict(context.invocation_metadata())
        if "answer-bin" in given:
            context.send_initial_metadata((("head-bin", given["answer-bin"]),))
            context.set_trailing_metadata((("tail-bin", given["answer-bin"]), ("tail", "text")))
        return request

    def _upload(self, requests: Iterator[bytes], context: Any) -> bytes:
        return b"%d" % sum(len(request) for request in requests)

    def _download(self, request: bytes, context: Any) -> Iterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number

    def _chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            yield request.upper()
        yield b"bye"

    def _fail(self, request: bytes, context: Any) -> None:
        context.set_trailing_metadata((("why-bin", b"\0\xff"),))
        context.abort(grpc.StatusCode[request.decode()], "as asked: 50 % of ümlauts")

    def _fail_late(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield b"first"
        context.abort(grpc.StatusCode[request.decode()], "late")

    def _end_early(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield next(requests).upper()
        context.abort(grpc.StatusCode.OUT_OF_RANGE, "enough")

    def _flaky(self, request: bytes, context: Any) -> bytes:
        if self.failures:
            context.abort(self.failures.pop(0), "not now")
        return request

    def _hang(self, request: bytes, context: Any) -> bytes:
        over = self._until_over(context)
        self.arrived.release()
        over.wait(PATIENCE)
        return b""

    def _endless(self, request: bytes, context: Any) -> Iterator[bytes]:
        over = self._until_over(context)
        yield b"first"
        if request:
            yield b"x" * int(request)
        over.wait(PATIENCE)

    def _until_over(self, context: Any) -> threading.Event:
        over = threading.Event()
        context.add_callback(over.set)
        context.add_callback(self.cancelled.set)
        return over


@contextmanager
def served(*services: grpc.GenericRpcHandler, port: int = 0) -> Iterator[int]:
    """The port of a server of plain HTTP/2."""
    with ThreadPoolExecutor(32) as pool:
        server = grpc.server(pool, handlers=services, options=OPTIONS)
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()


class Calls:
    """The methods of `/test.Echo/` through one channel, with a token."""

    def __init__(self, channel: grpc.Channel, token: str | None) -> None:
        self.channel = channel
        self.token = token

    def _with_token(self, kind: str, name: str) -> Callable[..., Any]:
        call = getattr(self.channel, kind)(name if name.startswith("/") else f"/test.Echo/{name}")

        def begin(
            request: Any, *, metadata: Sequence[tuple[str, Any]] = (), timeout: float | None = PATIENCE, **more: Any
        ) -> Any:
            own = [("authorization", f"Bearer {self.token}")] if self.token else []
            return call(request, metadata=[*own, *metadata], timeout=timeout, **more)

        begin.future = lambda request, **more: call.future(  # type: ignore[attr-defined]
            request, metadata=[("authorization", f"Bearer {self.token}")], **{"timeout": PATIENCE, **more}
        )
        begin.with_call = lambda request, metadata=(), **more: call.with_call(  # type: ignore[attr-defined]
            request, metadata=[("authorization", f"Bearer {self.token}"), *metadata], **{"timeout": PATIENCE, **more}
        )
        return begin

    def unary(self, name: str = "Unary") -> Any:
        return self._with_token("unary_unary", name)

    def upload(self, name: str = "Upload") -> Any:
        return self._with_token("stream_unary", name)

    def download(self, name: str = "Download") -> Any:
        return self._with_token("unary_stream", name)

    def chat(self, name: str = "Chat") -> Any:
        return self._with_token("stream_stream", name)


def failure(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """Status and message of a call that fails."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("the call did not fail")


class GrpcStage:
    """The balancer in front of endpoints, and channels to it."""

    def __init__(self, directory: Path, ports: Sequence[int], certificates: Path | None = None, **changes: Any) -> None:
        """
        Args:
            ports: Of the endpoints.
            certificates: `cert.pem` and `key.pem` for a second listener, with TLS.
            changes: Over the configuration, see `tests.harness.balancer.configuration`.
        """
        self.tokens = TokenFactory()
        self.token = self.tokens.mint()
        self.plain, self.secure = free_port(), free_port()
        listeners: list[dict[str, Any]] = [{"address": f"127.0.0.1:{self.plain}", "h2c": True}]
        self._authority = None
        if certificates is not None:
            pair = {"certificate": str(certificates / "cert.pem"), "private_key": str(certificates / "key.pem")}
            listeners.append({"address": f"127.0.0.1:{self.secure}", "tls": pair})
            self._authority = (certificates / "cert.pem").read_bytes()
        cluster = {"protocol": "http2", **changes.pop("cluster", {})}
        self.balancer = Balancer(
            directory,
            self.tokens,
            [f"127.0.0.1:{port}" for port in ports],
            **{"listeners": listeners, "clusters": {"main": cluster, **changes.pop("clusters", {})}, **changes},
        )
        self._stack = ExitStack()

    def channel(self, *, tls: bool = False, host: str = "", **options: Any) -> grpc.Channel:
        """A connection of its own, closed at the end. host: instead of that of the address."""
        settings = (*OPTIONS, ("grpc.default_authority", host)) if host else OPTIONS
        if tls:
            made = grpc.secure_channel(
                f"localhost:{self.secure}", grpc.ssl_channel_credentials(self._authority), settings, **options
            )
        else:
            made = grpc.insecure_channel(f"127.0.0.1:{self.plain}", settings, **options)
        return self._stack.enter_context(made)

    def calls(self, *, tls: bool = False, token: str | None = "good", **options: Any) -> Calls:  # noqa: S107 - no token
        """Calls through a new channel. token: None for none."""
        return Calls(self.channel(tls=tls, **options), self.token if token == "good" else token)

    def __enter__(self) -> GrpcStage:
        self._stack.enter_context(self.balancer)
        return self

    def __exit__(self, *reason: object) -> None:
        self._stack.close()
