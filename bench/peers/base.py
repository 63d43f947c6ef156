"""What the benchmark needs to know about a proxy."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from bench.certificate import Certificate
from bench.tokens import Material


@dataclass(frozen=True)
class Setup:
    """One start of a proxy: where it listens, what it forwards to, whose tokens it believes."""

    port: int
    backend_port: int
    directory: Path  # for its configuration; its own, empty
    material: Material
    tls: Certificate | None = None
    admin_port: int = 0  # where a proxy that can be asked tells about its cache
    endpoints: int = 1  # addresses of the backend, from 127.0.0.1 on
    routes: int = 1
    clusters: int = 1
    checks: bool = False
    backend_tls: Certificate | None = None  # of the backend, and its own authority; None: plain HTTP
    http2_backend: bool = False  # the backend speaks HTTP/2 without TLS
    asked_port: int = 0  # where lbjwt listens if it is the program that the proxy asks

    def addresses(self) -> list[str]:
        """HOST:PORT of every endpoint. All clusters have the same ones."""
        first = int(IPv4Address("127.0.0.1"))
        return [f"{IPv4Address(first + number)}:{self.backend_port}" for number in range(self.endpoints)]

    def areas(self) -> list[tuple[str, int]]:
        """Prefix and cluster of every route but the last, which is for all other paths and goes to cluster 0."""
        return [(f"/area-{number:03}", number % self.clusters) for number in range(1, self.routes)]


@dataclass(frozen=True)
class Peer:
    """
    A proxy in one configuration.

    ``command`` writes the configuration and returns the command line of a process that stays in the foreground.
    ``program`` is None when it is not installed; ``install`` then tells how. ``asked`` does for the program that this proxy asks about each
    request what ``command`` does for the proxy; it listens on ``Setup.asked_port`` and is part of what a request costs.
    """

    name: str
    about: str
    command: Callable[[Setup], list[str]]
    program: Callable[[], str | None]
    version: Callable[[], str]
    install: str
    verifies: bool = False
    workers: int = 1
    remembers: bool | None = None  # whether verified tokens are; None where the proxy cannot be asked
    asked: Callable[[Setup], list[str]] | None = None


def first_line_of(*command: str) -> str:
    """The first line a program prints, on either output: how most of them tell their version."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[0] if lines else "unknown"
