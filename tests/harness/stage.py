"""
A whole scene: an issuer, recording backends and the balancer in front of them, all on loopback, all ended on leaving.

Leaving it judges what every run must prove whatever it was about: no request reached a backend without a token the shadow verifier accepts,
and the balancer sent nothing that is not HTTP.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.backend import Backend, Behaviour
from tests.harness.balancer import Balancer
from tests.harness.behaviour import good
from tests.harness.client import Client
from tests.harness.processes import BackendProcess
from tests.harness.record import Seen
from tests.harness.tokens import ShadowVerifier, TokenFactory, TokenSource


@cache
def issuer() -> TokenFactory:
    """The issuer of every stage that is given none: keys are costly to make."""
    return TokenFactory()


class Stage:
    """`with Stage(tmp_path) as stage: stage.client().ask("/r/x", token=stage.token)`."""

    def __init__(
        self,
        directory: Path,
        *,
        behaviours: Sequence[Behaviour] = (good,),
        idle_close: tuple[float, float] | None = None,
        processes: int = 0,
        slow: Sequence[int] = (),
        tokens: TokenSource | None = None,
        shadow: bool = True,
        endpoints: Sequence[str] = (),
        **changes: Any,
    ) -> None:
        """
        Args:
            behaviours: One backend in a thread for each.
            processes: Instead: so many backends as processes; `slow` gives some of them a delay in milliseconds.
            shadow: Judge forwarded tokens (off when the token is not forwarded).
            endpoints: Further addresses for the configuration, before the backends' own.
            changes: For the balancer (see `Balancer` and `configuration`).
        """
        self.directory = directory
        self.tokens: TokenSource = tokens or issuer()
        self.token = self.tokens.mint()
        judge = ShadowVerifier(self.tokens.jwks(), self.tokens.issuer, self.tokens.audience) if shadow else None
        self.backends: list[Backend] = []
        self.processes: list[BackendProcess] = []
        if processes:
            delays = [*slow, *[0] * processes]
            self.processes = [
                BackendProcess(
                    f"b{number}", directory, self.tokens if shadow else None, idle_close=idle_close, slow=delays[number]
                )
                for number in range(processes)
            ]
        else:
            self.backends = [
                Backend(behaviour, name=f"b{number}", shadow=judge, idle_close=idle_close)
                for number, behaviour in enumerate(behaviours)
            ]
        self._endpoints = list(endpoints)
        self._changes = changes
        self._stack = ExitStack()
        self.balancer: Balancer

    @property
    def port(self) -> int:
        """Of the balancer's listener."""
        return self.balancer.port

    @property
    def seen(self) -> list[Seen]:
        """Every request any backend thread saw."""
        return [record for backend in self.backends for record in backend.seen]

    def client(self, **options: Any) -> Client:
        """A raw connection to the balancer."""
        return Client(self.port, **options)

    def violations(self) -> list[str]:
        """Requests without a good token, and bytes that are not HTTP, that reached a backend thread."""
        bad = [
            f"{record.backend}: {record.method} {record.target}: {record.verified}"
            for record in self.seen
            if record.verified not in ("ok", "off")
        ]
        return bad + [fault for backend in self.backends for fault in backend.site.faults]

    def __enter__(self) -> Self:
        try:
            everyone: list[Backend | BackendProcess] = [*self.backends, *self.processes]
            for backend in everyone:
                self._stack.enter_context(backend)
            addresses = [*self._endpoints, *(backend.address for backend in everyone)]
            self.balancer = self._stack.enter_context(Balancer(self.directory, self.tokens, addresses, **self._changes))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if error is None:
            assert not self.violations(), self.violations()[:10]


@dataclass(frozen=True, slots=True)
class CurlAnswer:
    """What curl saw."""

    exit_code: int
    status: int
    head: str
    body: bytes
    error: str

    def field(self, name: str) -> str:
        """The last value of a response field, "" when absent."""
        found = ""
        for line in self.head.splitlines():
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                found = value.strip()
        return found


def curl(
    stage: Stage, path: str = "/r/x", *arguments: str, token: str | None = None, scheme: str = "http"
) -> CurlAnswer:
    """Real curl against the balancer, HTTP/1.1 unless the arguments say otherwise."""
    heads = stage.directory / "curl.heads"
    auth = ["-H", f"Authorization: Bearer {token}"] if token is not None else []
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "--http1.1",
            "--max-time",
            "20",
            "--noproxy",
            "*",
            "-D",
            str(heads),
            *auth,
            *arguments,
            f"{scheme}://localhost:{stage.port}{path}"
            if scheme == "https"
            else f"{scheme}://127.0.0.1:{stage.port}{path}",
        ],
        capture_output=True,
        check=False,
    )
    head = heads.read_text("latin-1") if heads.exists() else ""
    heads.unlink(missing_ok=True)
    blocks = [block for block in head.replace("\r", "").split("\n\n") if block.strip()]
    status = int(blocks[-1].split()[1]) if blocks else 0
    return CurlAnswer(done.returncode, status, head, done.stdout, done.stderr.decode("utf-8", "replace"))
