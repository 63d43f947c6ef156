"""TLS in front of the backend, where a case wants an HTTPS backend: HAProxy, on the cores of the load, so that its cost is nobody's figure."""

from __future__ import annotations

from pathlib import Path

from bench.certificate import Certificate
from bench.child import BenchError
from bench.peers import haproxy

CONFIGURATION = (
    haproxy.BASE
    + """listen backend
    bind 127.0.0.1:{port} ssl crt {both} backlog 4096
    server backend 127.0.0.1:{backend_port}
"""
)


def command(port: int, backend_port: int, directory: Path, certificate: Certificate | None) -> list[str]:
    """
    Command line of an HTTPS server on ``port`` that hands every request to the plain backend.

    Raises:
        BenchError: HAProxy is not installed.
    """
    program = haproxy.program()
    if program is None or certificate is None:
        raise BenchError("HAProxy ends the TLS of this case: apt-get install haproxy")
    path = directory / "terminator.cfg"
    path.write_text(CONFIGURATION.format(port=port, both=certificate.both, backend_port=backend_port))
    return [program, "-db", "-f", str(path)]
