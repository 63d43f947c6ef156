"""What is measured: the kinds of load, and which proxies meet on each. A case is data; ``measure.py`` carries it out."""

from __future__ import annotations

from dataclasses import dataclass

from bench import nghttpd

ROUND_THE_TABLE = ("floor", "nginx", "haproxy", "envoy-jwt", "lbjwt")


@dataclass(frozen=True)
class Case:
    """One kind of load. Every request carries a good token, whether its proxy looks at it or not, unless ``refused``."""

    name: str
    about: str
    peers: tuple[str, ...]
    algorithm: str = "RS256"
    path: str = "/"
    script: tuple[str, ...] = ()  # arguments of load/load.lua beside the token
    least_bytes: int = 12  # of an answer
    rotates: bool = False  # 30,000 tokens in turn instead of one
    tls: bool = False
    refused: bool = False  # no token; every answer must be a refusal
    connections: int = 64  # of clients
    endpoints: int = 1  # of each cluster
    routes: int = 1  # the last one is for every path; the others for /area-001, /area-002, …
    clusters: int = 1  # the routes take them in turn
    checks: bool = False  # each endpoint is asked once a second whether it works
    backend_tls: bool = False  # the proxy speaks TLS to the backend, and checks its certificate
    least_seconds: float = 0.0  # of a measurement
    idle: bool = False  # not load but 5,000 waiting connections
    workers: bool = False  # one worker against two
    streams: int = 0  # requests at a time on each connection, by h2load over HTTP/2; 0: by wrk over HTTP/1.1
    http2_backend: bool = False  # nghttpd, to which the proxy speaks HTTP/2
    grpc: bool = False  # a unary call of gRPC, with trailers

    @property
    def in_flight(self) -> int:
        """Requests at a time over all connections."""
        return self.connections * max(1, self.streams)


_CASES = (
    Case(
        "hot",
        "one RS256 token",
        (
            "floor",
            "nginx",
            "haproxy",
            "haproxy-jwt",
            "haproxy-jwt-full",
            "envoy",
            "envoy-jwt",
            "envoy-jwt-nocache",
            "lbjwt",
            "lbjwt-policy",
        ),
    ),
    Case(
        "beside",
        "one RS256 token, verified by the proxy or by the lbjwt that it asks",
        (
            "nginx",
            "nginx-lbjwt",
            "nginx-lbjwt-close",
            "haproxy",
            "haproxy-jwt-full",
            "haproxy-lbjwt",
            "envoy",
            "envoy-jwt",
            "envoy-lbjwt",
            "envoy-lbjwt-grpc",
            "lbjwt",
        ),
    ),
    Case(
        "hot-es256",
        "one ES256 token",
        ("haproxy", "haproxy-jwt", "envoy-jwt", "envoy-jwt-nocache", "lbjwt"),
        algorithm="ES256",
    ),
    Case("rotation", "30,000 RS256 tokens in turn", ("haproxy", "haproxy-jwt", "envoy-jwt", "lbjwt"), rotates=True),
    Case(
        "rotation-es256",
        "30,000 ES256 tokens in turn",
        ("haproxy", "haproxy-jwt", "envoy-jwt", "lbjwt"),
        algorithm="ES256",
        rotates=True,
    ),
    Case("new", "every token new, RS256", ("haproxy-jwt", "envoy-jwt-nocache", "lbjwt-nocache"), rotates=True),
    Case(
        "new-es256",
        "every token new, ES256",
        ("haproxy-jwt", "envoy-jwt-nocache", "lbjwt-nocache"),
        algorithm="ES256",
        rotates=True,
    ),
    Case("headers", "browser request of 15 header lines", ROUND_THE_TABLE, script=("browser=1",)),
    Case("body-10k", "10 KiB response", ROUND_THE_TABLE, path="/10k", least_bytes=10 << 10),
    Case("body-100k", "100 KiB response", ROUND_THE_TABLE, path="/100k", least_bytes=100 << 10),
    Case("body-1m", "1 MiB response", ROUND_THE_TABLE, path="/1m", least_bytes=1 << 20),
    Case("upload-100k", "100 KiB request body", ROUND_THE_TABLE, script=(f"upload={100 << 10}",)),
    Case("connect", "one connection per request", ROUND_THE_TABLE, script=("close=1",)),
    Case(
        "connections-1000",
        "1,000 connections, 3 endpoints",
        ("haproxy", "lbjwt"),
        connections=1000,
        endpoints=3,
        least_seconds=12,
    ),
    Case(
        "connections-2900",
        "2,900 connections, 3 endpoints",
        ("haproxy", "lbjwt"),
        connections=2900,
        endpoints=3,
        least_seconds=12,
    ),
    Case(
        "tls-connect",
        "one TLS connection per request",
        ("nginx", "haproxy", "envoy-jwt", "lbjwt"),
        tls=True,
        script=("close=1",),
    ),
    Case("tls", "TLS to the client, keep-alive", ("nginx", "haproxy", "envoy-jwt", "lbjwt"), tls=True),
    *(
        Case(
            f"endpoints-{count}",
            f"{count:,} endpoints",
            ("nginx", "haproxy", "lbjwt"),
            endpoints=count,
        )
        for count in (3, 30, 300, 1000)
    ),
    Case(
        "routes",
        "200 routes to 20 clusters of 3 endpoints",
        ("nginx", "haproxy", "lbjwt"),
        path="/area-117/orders",
        endpoints=3,
        routes=200,
        clusters=20,
    ),
    Case(
        "checks",
        "30 endpoints, each checked once a second",
        ("haproxy", "lbjwt"),
        endpoints=30,
        checks=True,
    ),
    Case("backend-tls", "TLS to the backend", ("nginx", "haproxy", "lbjwt"), backend_tls=True),
    *(
        Case(
            f"h2-{connections}x{streams}",
            f"HTTP/2 over TLS, {connections} × {streams} streams",
            ("nginx", "haproxy", "envoy-jwt", "lbjwt"),
            tls=True,
            connections=connections,
            streams=streams,
        )
        for connections, streams in ((10, 10), (1, 100))
    ),
    *(
        Case(
            f"h2-body-{name}",
            f"{about} response, HTTP/2 over TLS",
            ("nginx", "haproxy", "envoy-jwt", "lbjwt"),
            tls=True,
            connections=10,
            streams=10,
            path=f"/{name}",
            least_bytes=size,
        )
        for name, about, size in (("100k", "100 KiB", 100 << 10), ("1m", "1 MiB", 1 << 20))
    ),
    Case(
        "h2-backend",
        "HTTP/2 from clients and to the backend",
        ("haproxy", "envoy-jwt", "lbjwt"),
        tls=True,
        connections=10,
        streams=10,
        http2_backend=True,
    ),
    Case(
        "h2-backend-only",
        "HTTP/1.1 from clients, HTTP/2 to the backend",
        ("haproxy", "envoy-jwt", "lbjwt"),
        http2_backend=True,
    ),
    Case(
        "grpc",
        "unary call of gRPC",
        ("haproxy", "envoy-jwt", "lbjwt"),
        tls=True,
        connections=10,
        streams=10,
        http2_backend=True,
        grpc=True,
        path=nghttpd.GRPC_PATH,
    ),
    Case("refusal", "no token: refused", ("haproxy-jwt", "envoy-jwt", "lbjwt"), refused=True, least_bytes=0),
    Case("workers", "one worker against two", ("lbjwt", "lbjwt-2w"), workers=True),
    Case("idle", "5,000 idle keep-alive connections", ROUND_THE_TABLE, idle=True),
)

CASES: dict[str, Case] = {case.name: case for case in _CASES}
