"""The floor: ``bench/floor.c``."""

from __future__ import annotations

from bench import native
from bench.peers.base import Peer, Setup, first_line_of


def _command(setup: Setup) -> list[str]:
    return [str(native.built("floor")), str(setup.port), str(setup.backend_port)]


PEERS = (
    Peer(
        name="floor",
        about="C relay, parses nothing",
        command=_command,
        program=native.compiler,
        version=lambda: first_line_of("cc", "--version"),
        install="apt-get install build-essential",
    ),
)
