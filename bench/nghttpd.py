"""nghttpd as a backend that speaks HTTP/2: what the proxies talk to in the cases where the backend's side is measured. It counts nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.child import BenchError

GRPC_PATH = "/bench.Greeter/Hello.grpc"
GRPC_MESSAGE = b"\x00\x00\x00\x00\x07\x0a\x05hello"
"""One message of gRPC, as request and as response: not compressed, 7 bytes, a string in field 1."""


def command(directory: Path, port: int, *, grpc: bool = False) -> list[str]:
    """
    Write the files and return the command line: 12 bytes at ``/``; with ``grpc`` a unary method at ``GRPC_PATH``, and trailers.

    Raises:
        BenchError: nghttpd is missing.
    """
    program = shutil.which("nghttpd") or shutil.which("nghttpd", path="/usr/sbin")
    if program is None:
        raise BenchError("nghttpd is missing: apt-get install nghttp2-server")
    site = directory / "site"
    method = site / GRPC_PATH[1:]
    method.parent.mkdir(parents=True, exist_ok=True)
    method.write_bytes(GRPC_MESSAGE)
    (site / "index.html").write_bytes(b"hello world\n")
    kinds = directory / "mime.types"
    kinds.write_text("application/grpc grpc\ntext/plain html\n")
    made = [program, "--no-tls", "--address=127.0.0.1", f"--htdocs={site}", f"--mime-types-file={kinds}"]
    made += ["--max-concurrent-streams=100"]
    if grpc:
        made += ["--no-content-length", "--trailer=grpc-status: 0"]
    return [*made, str(port)]


def message_file(directory: Path) -> Path:
    """``GRPC_MESSAGE`` in a file, for h2load to send."""
    path = directory / "message"
    path.write_bytes(GRPC_MESSAGE)
    return path
