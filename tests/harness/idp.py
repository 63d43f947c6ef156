"""
An identity provider that is not ours, as a process: `oidc-provider` under Node.js, see tests/idp/server.mjs.

`make` installs it below the virtual environment. `missing` says why it cannot run here.
"""

from __future__ import annotations

import base64
import ctypes
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.processes import PR_SET_PDEATHSIG

SERVER = Path(__file__).parents[1] / "idp" / "server.mjs"
MODULES = Path(sys.prefix) / "idp"
OLDEST_NODE = (18, 12)  # of oidc-provider 8, and what Debian 12 has
START_TIMEOUT = 90.0  # seconds
LIBC = ctypes.CDLL(None)


def missing() -> str:
    """Why it cannot run on this machine; "" when it can. The modules are installed by make, where npm and its registry can be reached."""
    node = shutil.which("node")
    if node is None:
        return "node is not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(map(int, version.removeprefix("v").split(".")[:2])) < OLDEST_NODE:
        return f"node {version} is older than {'.'.join(map(str, OLDEST_NODE))}"
    if not (MODULES / "node_modules" / "oidc-provider").is_dir():
        return "oidc-provider is not installed: make test does it, with npm"
    return ""


class IdentityProvider:
    """`with IdentityProvider(tmp_path) as idp: idp.token("ES256")`. The order of a rotation: publish, switch, drop."""

    issuer: str

    def __init__(self, directory: Path) -> None:
        self._log = directory / "idp.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._control = ""

    def token(self, algorithm: str, scope: str = "read") -> str:
        """An access token for the service `api`, by client credentials (RFC 6749 section 4.4) with a resource (RFC 8707)."""
        asked = {
            "grant_type": "client_credentials",
            "scope": scope,
            "resource": f"https://api.test/{algorithm}",
        }
        post = urllib.request.Request(f"{self.issuer}/token", urllib.parse.urlencode(asked).encode())
        post.add_header("Authorization", "Basic " + base64.b64encode(b"robot:robot-secret").decode())
        with urllib.request.urlopen(post, timeout=10.0) as answer:
            token: str = json.load(answer)["access_token"]
            return token

    def publish(self) -> dict[str, list[str]]:
        """New keys stand beside those in use. Returns key ids by algorithm, the signing one first, as all of these do."""
        return self._ask("publish", b"")

    def switch(self) -> dict[str, list[str]]:
        """The new keys sign."""
        return self._ask("switch", b"")

    def drop(self) -> dict[str, list[str]]:
        """The old keys are published no longer."""
        return self._ask("drop", b"")

    def state(self) -> dict[str, list[str]]:
        """The keys as they are."""
        return self._ask("state", None)

    def _ask(self, path: str, body: bytes | None) -> dict[str, list[str]]:
        with urllib.request.urlopen(f"{self._control}/{path}", body, timeout=10.0) as answer:
            state: dict[str, list[str]] = json.load(answer)
            return state

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["node", str(SERVER), str(MODULES)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
            )
        end = time.monotonic() + START_TIMEOUT
        while not (found := self._addresses()):
            if self._process.poll() is not None or time.monotonic() > end:
                self._stop()
                raise RuntimeError(f"the identity provider did not start:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.02)
        self.issuer, self._control = found["issuer"], found["control"]
        return self

    def _addresses(self) -> dict[str, Any]:
        for line in self._log.read_text().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                found: dict[str, Any] = json.loads(line)
                return found
        return {}

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
