"""The files of examples/beside/, with other addresses than they have there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples" / "beside"
EDGE, APPLICATION, ADMIN = 8080, 9001, 9090
"""Ports in the files: where a proxy listens, the application behind it, and the admin API of lbjwt."""
LISTENERS = {
    "nginx": 9081,
    "envoy": 9082,
    "caddy": 9083,
    "traefik": 9084,
    "haproxy": 9085,
    "envoy-grpc": 9086,
    "haproxy-lua": 9084,
}
"""Where each proxy asks lbjwt."""


def adapted(text: str, ports: Mapping[int, int], folder: Path) -> str:
    """A file with the ports of this run, and with absolute names of files."""
    text = re.sub(
        r"(127\.0\.0\.1:|:|port_value: )(\d{4})\b",
        lambda match: match[1] + str(ports.get(int(match[2]), match[2])),
        text,
    )
    return text.replace("traefik-routes.yaml}", f"{folder}/traefik-routes.yaml}}")
