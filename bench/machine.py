"""What a figure must be read with: the machine, the kernel, the versions."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from bench.peers import Peer
from bench.peers.base import first_line_of


def _after(path: str, key: str) -> str:
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "unknown"


def describe(peers: list[Peer]) -> dict[str, str]:
    """Machine and versions, ready to print."""
    found = {
        "processor": f"{_after('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": _after("/proc/meminfo", "MemTotal"),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "wrk": first_line_of("wrk", "-v").partition(" [")[0],
        "h2load": first_line_of("h2load", "--version") if shutil.which("h2load") else "not installed",
    }
    for peer in peers:
        found.setdefault(peer.name.partition("-")[0], peer.version())
    return found
