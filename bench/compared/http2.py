"""HTTP/2 of the programs: to clients, with and without the option that offers it, and to a backend that speaks nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench import nghttpd
from bench.certificate import self_signed
from bench.child import running
from bench.compared.scene import Scene
from bench.layout import own_cores
from bench.peers.base import Peer, Setup
from bench.tokens import Material
from tests.harness.ports import free_port

ROW = "HTTP/2"
_NOBODY = Path("/nonexistent")
_NO_TOKENS = Material("RS256", _NOBODY, _NOBODY, _NOBODY, _NOBODY, "", "")


def spoken(scene: Scene, peer: Peer, file: str, offer: str, *, to_backend: bool = True) -> str:
    """
    Status and version that curl gets over TLS: without the option that offers HTTP/2, then with it.

    Args:
        peer: Which verifies nothing.
        file: Of its configuration.
        offer: The text of the option there.
        to_backend: Let the backend be one that speaks nothing but HTTP/2.
    """
    found = []
    backend = free_port() if to_backend else scene.backend_port
    for offered in (False, True):

        def command(port: int, offered: bool = offered) -> list[str]:
            tls = self_signed(scene.directory)
            made = peer.command(Setup(port, backend, scene.directory, _NO_TOKENS, tls=tls, http2_backend=to_backend))
            path = scene.directory / file
            text = path.read_text()
            assert offer in text, offer
            path.write_text(text if offered else text.replace(offer, ""))
            return made

        with scene.program(peer.name, command) as program:
            if not to_backend:
                found.append(_asked(program.port))
                continue
            site = scene.directory / f"site-{offered}"
            site.mkdir(exist_ok=True)
            cores = tuple(own_cores())
            with running(
                "nghttpd", nghttpd.command(site, backend), port=backend, cores=cores, directory=scene.directory
            ):
                found.append(_asked(program.port))
    return "; ".join(found)


def _asked(port: int) -> str:
    command = [
        "curl",
        "-sk",
        "--noproxy",
        "*",
        "--http2",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} over HTTP/%{http_version}",
    ]
    done = subprocess.run(
        [*command, f"https://127.0.0.1:{port}/"], capture_output=True, text=True, check=False, timeout=20
    )
    return done.stdout
