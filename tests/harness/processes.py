"""
Backends in processes of their own: to be killed, frozen and restarted, and to leave the test's interpreter to the client.

`main` is the child; `BackendProcess` starts it. It is forked by a process that has imported all this already, which takes a third of a second.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import multiprocessing
import os
import signal
import socket
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.backend import Site, listen
from tests.harness.behaviour import good, slowed, switched
from tests.harness.ports import free_port
from tests.harness.record import FileRecorder, Seen, read_records
from tests.harness.tokens import ShadowVerifier, TokenSource

PR_SET_PDEATHSIG = 1
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload([__name__, "uvloop"])


def wait_for_port(port: int, timeout: float = 60.0) -> None:
    """Return once something accepts on the port. Raises TimeoutError."""
    end = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise TimeoutError(f"nothing accepts on port {port}") from None
            time.sleep(0.01)


class BackendProcess:
    """A recording backend as a process: `kill` is SIGKILL, `start` brings it back on the same port with the same records."""

    def __init__(
        self,
        name: str,
        directory: Path,
        tokens: TokenSource | None,
        *,
        idle_close: tuple[float, float] | None = None,
        slow: int = 0,
    ) -> None:
        self.name = name
        self.port = free_port()
        self.records = directory / f"{name}.records"
        self._mode = directory / f"{name}.mode"
        self._options: dict[str, Any] = {
            "jwks": tokens.jwks() if tokens else None,
            "issuer": tokens.issuer if tokens else "",
            "audience": tokens.audience if tokens else "",
            "idle_close": idle_close,
            "slow": slow,
            "mode": str(self._mode),
        }
        self._process: ForkServerProcess | None = None
        self._offset = 0

    @property
    def address(self) -> str:
        """As the balancer's configuration wants it."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running child."""
        assert self._process is not None and self._process.pid is not None
        return self._process.pid

    def start(self) -> None:
        """Start the child and wait until it accepts."""
        self._process = FORKSERVER.Process(
            target=main, args=(self.name, self.port, self.records, self._options), name=self.name, daemon=True
        )
        self._process.start()
        try:
            wait_for_port(self.port)
        except TimeoutError:
            self.kill()
            raise

    def misbehave(self, mode: str) -> None:
        """Hang, reset or answer 500 from now on ("hang", "reset", "error"); "": be honest again."""
        self._mode.write_text(mode)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def take(self) -> list[Seen]:
        """Records since the last call."""
        records, self._offset = read_records(self.records, self._offset)
        return records

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def main(name: str, port: int, records: Path, settings: dict[str, Any]) -> None:
    """The child: serve until killed, or until the parent is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        return
    shadow = (
        ShadowVerifier(settings["jwks"], settings["issuer"], settings["audience"]) if settings.get("jwks") else None
    )
    behaviour = slowed(settings["slow"]) if settings["slow"] else good
    behaviour = switched(Path(settings["mode"]), behaviour)
    site = Site(name, FileRecorder(records), behaviour, shadow, settings["idle_close"], keep_heads=True)
    gc.freeze()

    async def serve() -> None:
        await listen(site, port, None)
        await asyncio.Event().wait()

    try:
        import uvloop
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())
