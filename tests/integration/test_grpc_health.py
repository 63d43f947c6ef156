"""Health checks by the health service of real gRPC servers (grpcio-health-checking), over plain HTTP/2 and TLS."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from lbjwt.address import Address
from lbjwt.net.certificate import BackendTls, BackendTlsSettings
from lbjwt.upstream.health.probe import Target, probe
from lbjwt.upstream.health.settings import HealthCheck
from tests.harness.certificates import files  # noqa: F401 - a fixture
from tests.harness.waiting import eventually
from tests.integration.grpc_scene import OPTIONS, GrpcStage, Service, served

CHECK = HealthCheck(type="grpc", timeout=10.0)
State = health_pb2.HealthCheckResponse


@contextmanager
def health_server(
    *, pair: Path | None = None, more: Sequence[grpc.GenericRpcHandler] = (), orders: str = "NOT_SERVING"
) -> Iterator[tuple[Any, int]]:
    """A server that is serving, with the service shop.Orders in another state. pair: of its TLS; more: what else it serves."""
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, handlers=more, options=OPTIONS)
        servicer = health.HealthServicer()
        servicer.set("shop.Orders", State.ServingStatus.Value(orders))
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        if pair is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            key, certificate = (pair / "key.pem").read_bytes(), (pair / "cert.pem").read_bytes()
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
        server.start()
        try:
            yield servicer, port
        finally:
            server.stop(0).wait()


def ask(port: int, check: HealthCheck = CHECK, **more: Any) -> str:
    address = Address.parse_endpoint(f"https://localhost:{port}" if "tls" in more else f"127.0.0.1:{port}")
    return asyncio.run(probe(Target(0, "main", address, check, **more)))


def test_the_state_of_the_server_or_of_one_service_decides() -> None:
    with health_server() as (servicer, port):
        assert ask(port) == ""
        assert ask(port, replace(CHECK, service="shop.Orders")) == "the service is NOT_SERVING"
        servicer.set("shop.Orders", State.SERVING)
        assert ask(port, replace(CHECK, service="shop.Orders")) == ""
        assert (
            ask(port, replace(CHECK, service="no.Such"))
            == "the health service does not know the service (grpc-status 5)"
        )
        servicer.enter_graceful_shutdown()
        assert ask(port) == "the service is NOT_SERVING"


def test_tls_and_alpn(files: Path) -> None:  # noqa: F811
    tls = BackendTls(BackendTlsSettings(ca=files / "cert.pem", alpn=("h2",)), key="tls")
    with health_server(pair=files) as (_, port):
        assert ask(port, tls=tls) == ""
        tls = BackendTls(BackendTlsSettings(ca=files / "cert.pem"), key="tls")
        assert "handshake" in ask(port, tls=tls)  # grpcio refuses a client that does not offer h2


def test_a_server_of_http1_behind_tls_fails(files: Path) -> None:  # noqa: F811
    async def scene() -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files / "cert.pem", files / "key.pem")
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            tls = BackendTls(BackendTlsSettings(ca=files / "cert.pem", alpn=("h2",)), key="tls")
            address = Address.parse_endpoint(f"https://localhost:{port}")
            return await probe(Target(0, "main", address, CHECK, tls))

    assert asyncio.run(scene()) == "it does not offer HTTP/2 during the TLS handshake (ALPN)"


def test_servers_without_a_health_service_fail() -> None:
    with served(Service()) as port:
        assert ask(port) == "the server has no health service (grpc-status 12)"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert ask(silent.getsockname()[1], replace(CHECK, timeout=0.2)) == "no response within 0.2 s"


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", b"\0" * 4096])
def test_a_server_of_another_protocol_fails(data: bytes) -> None:
    async def scene() -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(data)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await probe(Target(0, "main", Address.parse(f"127.0.0.1:{port}"), CHECK))

    assert asyncio.run(scene()) == "the connection was closed without a whole response head"


def test_calls_go_to_endpoints_that_serve(tmp_path: Path) -> None:
    """One of two endpoints says that it does not serve: it gets no call until it does."""

    def states(stage: GrpcStage) -> list[str]:
        endpoints = json.loads(stage.balancer.admin_get("/status")[1])["endpoints"]
        return [one["health_check"]["state"] for one in endpoints]

    check = {"type": "grpc", "interval": "100ms", "jitter": "0%", "rise": 1, "fall": 1, "timeout": "10s"}
    with health_server() as (first, one), health_server() as (_, two):
        first.set("", State.NOT_SERVING)
        cluster = {"health_check": check, "panic_threshold": "0%"}
        with GrpcStage(tmp_path, [one, two], cluster=cluster) as stage:
            assert eventually(lambda: states(stage) == ["failing", "passing"])
            calls = stage.calls()
            method = calls.unary("/grpc.health.v1.Health/Check")
            assert {method(b"") for _ in range(10)} == {State(status="SERVING").SerializeToString()}
            first.set("", State.SERVING)
            assert eventually(lambda: states(stage) == ["passing", "passing"])
