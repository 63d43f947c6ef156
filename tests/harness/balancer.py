"""
The balancer under test as a process: `lbjwt serve` on free ports, ready when its admin door says so, stopped by its pid.

`configuration` builds the object of docs/reference.md; JSON is YAML 1.2, so that is how it is written. `Balancer(command=…)` starts
another program in its place (a peer, or a toy with a planted fault).
"""

from __future__ import annotations

import ctypes
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.ports import free_port
from tests.harness.processes import PR_SET_PDEATHSIG, wait_for_port
from tests.harness.procfs import Usage, children, is_alive, name_of, usage
from tests.harness.tokens import TokenSource

READY_TIMEOUT = 90.0  # seconds; a start takes one, and a machine with other work has been seen to take twenty
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)")  # Prometheus text format
LABEL = re.compile(r'(\w+)="([^"]*)"')
LIBC = ctypes.CDLL(None)
AUXILIARY = ("lbjwt-keeper", "lbjwt-reader")  # processes that are no workers


def configuration(
    directory: Path, tokens: TokenSource, backends: Sequence[str], *, port: int, admin: int, **changes: Any
) -> dict[str, Any]:
    """
    A complete configuration with one listener, one issuer and one cluster.

    Args:
        directory: Where the key set and the access log go.
        backends: Endpoint addresses, `HOST:PORT` or `unix:PATH`.
        changes: Merged over the result; dictionaries are merged at every depth, and `...` takes a key away.
    """
    document: dict[str, Any] = {
        "listeners": [{"address": f"127.0.0.1:{port}"}],
        "issuers": {
            "main": {
                "issuer": tokens.issuer,
                "audiences": [tokens.audience],
                "jwks_file": str(tokens.write_jwks(directory / "jwks.json")),
            }
        },
        "clusters": {"main": {"endpoints": [{"address": address} for address in backends]}},
        "claim_to_headers": [{"claim": "sub", "header": "X-Jwt-Sub"}],
        # The harness's own ids are believed, so that the access log can be joined with the other two ledgers.
        "trusted_proxies": ["127.0.0.0/8"],
        "admin": {"address": f"127.0.0.1:{admin}"},
        "access_log": {"path": str(directory / "access.log")},
    }
    return _merge(document, changes)


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        merged[key] = _merge(before if isinstance(before, dict) else {}, value) if isinstance(value, dict) else value
    return {key: value for key, value in merged.items() if value is not ...}


class Balancer:
    """`with Balancer(directory, tokens, [backend.address]) as balancer: balancer.port`."""

    def __init__(
        self,
        directory: Path,
        tokens: TokenSource,
        backends: Sequence[str],
        *,
        flags: Callable[[int, int], list[str]] | None = None,
        command: list[str] | None = None,
        program: Sequence[str] = (sys.executable, "-m", "lbjwt"),
        wait_ready: bool = True,
        **changes: Any,
    ) -> None:
        """
        Args:
            flags: Given port and admin port, the command line after `lbjwt serve` instead of a file.
            command: A whole command line instead of lbjwt; `{port}` in it is replaced. Such a program has no admin door.
            program: What runs `serve`, in place of `python -m lbjwt`.
            wait_ready: Enter only once /readyz answers 200 and every worker is ready.
            changes: Over the configuration, see `configuration`.
        """
        self.directory = directory
        self.port = free_port()
        self.admin = free_port()
        self.access_log_path = directory / "access.log"
        self.stderr_path = directory / "balancer.stderr"
        self.config_path = directory / "lbjwt.yaml"
        self._wait_ready = wait_ready
        self._has_admin = command is None
        if command is not None:
            self._command = [part.replace("{port}", str(self.port)) for part in command]
        elif flags is not None:
            self._command = [*program, "serve", *flags(self.port, self.admin)]
        else:
            document = configuration(directory, tokens, backends, port=self.port, admin=self.admin, **changes)
            self.config_path.write_text(json.dumps(document, indent=2), encoding="utf-8")
            self._command = [*program, "serve", str(self.config_path)]
        self._process: subprocess.Popen[bytes] | None = None
        self.exit_code: int | None = None

    @property
    def pid(self) -> int:
        """Of the process that was started (with workers: the supervisor)."""
        assert self._process is not None
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """Pids of the workers; the process itself when it has no children."""
        return [pid for pid in children(self.pid) if name_of(pid) not in AUXILIARY] or [self.pid]

    @property
    def stderr(self) -> str:
        """What it has written to standard error so far."""
        return self.stderr_path.read_text("utf-8", "replace")

    def start(self) -> None:
        """Start and wait until ready. Raises RuntimeError with the standard error of a process that is not."""
        with self.stderr_path.open("wb") as stderr:
            self._process = subprocess.Popen(
                self._command,
                stdout=stderr,
                stderr=stderr,
                # The kernel ends it should we be killed: nothing started by a test outlives the test.
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        if not self._has_admin:
            wait_for_port(self.port)
            return
        end = time.monotonic() + READY_TIMEOUT
        while self._wait_ready and self.admin_status("/readyz") != 200:
            if self._process.poll() is not None or time.monotonic() > end:
                code = self._process.poll()
                self.stop()
                raise RuntimeError(f"the balancer is not ready (exit code {code}):\n{self.stderr[-4000:]}")
            time.sleep(0.02)
        # The service is ready with one worker, and until the others are, that one gets all connections.
        while self._wait_ready and not self._are_workers_ready() and time.monotonic() < end:
            time.sleep(0.02)

    def _are_workers_ready(self) -> bool:
        """All of them; also true of a program that does not say."""
        status, body = self.admin_get("/status")
        return status != 200 or all(worker["state"] == "ready" for worker in json.loads(body)["workers"])

    def admin_get(self, path: str) -> tuple[int, bytes]:
        """Status and body from the admin door; (0, b"") when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=15.0) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read()
        except OSError:
            return 0, b""

    def admin_post(self, path: str, document: object, *, method: str = "POST") -> tuple[int, bytes]:
        """Status and body of the answer to a JSON document; (0, b"") when the admin door does not answer."""
        post = urllib.request.Request(
            f"http://127.0.0.1:{self.admin}{path}",
            json.dumps(document).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(post, timeout=15.0) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read()
        except OSError:
            return 0, b""

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all its series with these labels. Raises LookupError when there is none."""
        found = [value for key, value in self.metrics() if key[0] == name and labels.items() <= dict(key[1]).items()]
        if not found:
            raise LookupError(f"no metric {name} with {labels}")
        return sum(found)

    def metrics(self) -> list[tuple[tuple[str, tuple[tuple[str, str], ...]], float]]:
        """Every sample of the admin door's metrics: name, labels and value."""
        status, body = self.admin_get("/metrics")
        if status != 200:
            raise RuntimeError(f"/metrics answers {status}")
        found = []
        for line in body.decode().splitlines():
            match = SAMPLE.fullmatch(line)
            if match:
                found.append(((match[1], tuple(LABEL.findall(match[2] or ""))), float(match[3])))
        return found

    def admin_status(self, path: str) -> int:
        """Status from the admin door; 0 when it does not answer."""
        return self.admin_get(path)[0]

    def access_log(self) -> list[dict[str, Any]]:
        """
        The records written so far (the balancer flushes about once a second).

        A write of several pages shows page by page: what stands behind the last line end is not a record yet.
        """
        if not self.access_log_path.exists():
            return []
        whole = self.access_log_path.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.split(b"\n") if line.strip()]

    def settled_access_log(self, count: int, timeout: float = 20.0) -> list[dict[str, Any]]:
        """The access log once it has at least `count` records, or as it is after `timeout` seconds."""
        end = time.monotonic() + timeout
        while len(log := self.access_log()) < count and time.monotonic() < end:
            time.sleep(0.1)
        return log

    def usage(self) -> Usage:
        """Memory, processor time and files of the whole tree."""
        return usage(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout: float) -> int:
        """Wait for its end; returns the exit code. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        self.exit_code = self._process.wait(timeout)
        return self.exit_code

    def stop(self, timeout: float = 30.0) -> None:
        """SIGTERM, then SIGKILL of the whole tree when it has not ended."""
        process = self._process
        if process is None:
            return
        pids = [process.pid, *children(process.pid)]
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                for pid in pids:
                    if is_alive(pid):
                        subprocess.run(["kill", "-9", str(pid)], check=False)
                process.wait(timeout)
        self.exit_code = process.returncode

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
