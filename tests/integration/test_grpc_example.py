"""examples/grpc.yaml as it stands, but for addresses and files: it starts, checks its endpoints, and its routes say what they seem to say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from ruamel.yaml import YAML

from tests.harness.balancer import Balancer
from tests.harness.certificates import files  # noqa: F401 - a fixture
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually
from tests.integration.grpc_scene import Calls, failure
from tests.integration.test_grpc_health import health_server

TOKENS = TokenFactory("https://issuer.example", "shop")


class Shop(grpc.GenericRpcHandler):
    """Answers every method of shop.Orders with its name and the subject it was told."""

    def service(self, details: Any) -> Any:
        subject = dict(details.invocation_metadata)["x-jwt-sub"]
        if not details.method.startswith("/shop.Orders/"):
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: f"{details.method} {subject}".encode())


def flags(directory: Path, certificates: Path, endpoints: list[int]) -> Callable[[int, int], list[str]]:
    """What starts the example on free ports."""

    def written(port: int, admin: int) -> list[str]:
        document = YAML(typ="safe").load(Path("examples/grpc.yaml").read_text())
        document["listeners"][0]["address"] = f"127.0.0.1:{port}"
        document["listeners"][0]["tls"] = {
            "certificate": str(certificates / "cert.pem"),
            "private_key": str(certificates / "key.pem"),
        }
        document["issuers"]["main"]["jwks_file"] = str(TOKENS.write_jwks(directory / "jwks.json"))
        document["clusters"]["shop"]["endpoints"] = [{"address": f"127.0.0.1:{endpoint}"} for endpoint in endpoints]
        document["admin"] = {"address": f"127.0.0.1:{admin}"}
        (directory / "grpc.yaml").write_text(json.dumps(document))
        return [str(directory / "grpc.yaml")]

    return written


def test_the_example_does_what_it_says(files: Path, tmp_path: Path) -> None:  # noqa: F811
    with (
        health_server(more=[Shop()], orders="SERVING") as (_, one),
        health_server(more=[Shop()]) as (_, two),
        Balancer(tmp_path, TOKENS, [], flags=flags(tmp_path, files, [one, two])) as balancer,
        grpc.secure_channel(
            f"localhost:{balancer.port}", grpc.ssl_channel_credentials((files / "cert.pem").read_bytes())
        ) as channel,
    ):
        reader, writer = (Calls(channel, TOKENS.mint(scope=f"orders:{right}")) for right in ("read", "write"))
        assert reader.unary("/shop.Orders/Get")(b"") == b"/shop.Orders/Get alice"
        assert writer.unary("/shop.Orders/Get")(b"") == b"/shop.Orders/Get alice"
        assert writer.unary("/shop.Orders/Add")(b"") == b"/shop.Orders/Add alice"
        assert failure(lambda: reader.unary("/shop.Orders/Add")(b""))[0] is grpc.StatusCode.PERMISSION_DENIED
        assert failure(lambda: reader.unary("/shop.Users/Get")(b""))[0] is grpc.StatusCode.UNIMPLEMENTED
        assert Calls(channel, None).unary("/grpc.health.v1.Health/Check")(b"")

        def states() -> list[str]:
            endpoints = json.loads(balancer.admin_get("/status")[1])["endpoints"]
            return [endpoint["health_check"]["state"] for endpoint in endpoints]

        assert eventually(lambda: states() == ["passing", "failing"]), states()
