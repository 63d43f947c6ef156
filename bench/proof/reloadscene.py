"""
What the bars about reloads share: a configuration file that changes while the service runs, the ways to ask for a reload, and what
each worker says about the configuration it serves.

Every written configuration has a `realm` of its own. A request without a token gets the realm in its 401, so any client can see, without a
backend, under which configuration a worker answered.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from bench.proof.keyscene import EveryWorker
from bench.proof.scene import scene
from bench.proof.worker_kill import sockets_of
from tests.harness.client import Client, Response
from tests.harness.procfs import children
from tests.harness.stage import Stage

VISIBLE = 1.0  # seconds after which every worker must have the new configuration
REALM = re.compile(r'realm="([^"]*)"')
SUCCESSFUL = "lbjwt_config_last_reload_successful"
SUCCESS_TIME = "lbjwt_config_last_reload_success_timestamp_seconds"

Document = dict[str, Any]


def reload_scene(directory: Path, *, workers: int = 2, processes: int = 2, **changes: Any) -> Stage:
    """Two workers before two backends; one route for everything, so that a bar can put others before it."""
    changes.setdefault("routes", [{"name": "all", "prefix": "/", "cluster": "main"}])
    changes.setdefault("timeouts", {"keep_alive": "300s"})
    return scene(directory, processes=processes, workers=workers, realm="g0", **changes)


def realm_of(response: Response) -> str:
    """The realm of a 401; "" in any other response."""
    found = REALM.search(response.field("WWW-Authenticate"))
    return found[1] if found and response.status == 401 else ""


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file by a rename, as deployment tools do: nobody reads half of it."""
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(beside, path)


def hash_in_force(stage: Stage) -> str:
    """The hash that the metrics give for the configuration in force."""
    found = [dict(labels)["hash"] for (name, labels), value in stage.balancer.metrics() if name == "lbjwt_config_info"]
    if len(found) != 1:
        raise RuntimeError(f"{len(found)} series of lbjwt_config_info")
    return found[0]


def connections_to(stage: Stage, port: int) -> int:
    """How many connections the service holds to a backend's port, counted from the sockets of its processes."""
    return sum(remote == port for pid in children(stage.balancer.pid) for _, remote in sockets_of(pid))


class ReloadRefused(Exception):
    """A reload that should have been applied was not, and what the service said."""


class Reloads:
    """
    The configuration file of a running service.

    Args:
        document: What is written next; change it in place. `publish` adds the realm.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.document: Document = json.loads(stage.balancer.config_path.read_text())
        self.number = 0

    @property
    def realm(self) -> str:
        """Of the configuration that was written last."""
        return f"g{self.number}"

    def write(self) -> None:
        """Put the document into the file, with a realm nobody has seen."""
        self.number += 1
        write_file(self.stage.balancer.config_path, json.dumps({**self.document, "realm": self.realm}))

    def publish(self, way: str = "signal") -> dict[str, Any]:
        """
        Write the document and ask for a reload.

        Args:
            way: "signal" (returns at once, with {}), "command" (`lbjwt reload`) or "post" (returns the reply).

        Raises:
            ReloadRefused: It was not applied.
        """
        self.write()
        return self.ask(way)

    def ask(self, way: str) -> dict[str, Any]:
        """Ask for a reload of what is in the file, as in `publish`."""
        balancer = self.stage.balancer
        if way == "signal":
            balancer.signal(signal.SIGHUP)
        elif way == "command":
            done = reload_command(self.stage)
            if done.returncode:
                raise ReloadRefused(f"lbjwt reload: exit code {done.returncode}: {done.stdout}{done.stderr}")
        else:
            status, body = balancer.admin_post("/reload", {})
            if status != 200:
                raise ReloadRefused(f"POST /reload: {status} {body.decode('utf-8', 'replace')[:500]}")
            return dict(json.loads(body))
        return {}


def reload_command(stage: Stage) -> subprocess.CompletedProcess[str]:
    """Run `lbjwt reload` against the service."""
    return subprocess.run(
        [sys.executable, "-m", "lbjwt", "reload", "--admin", f"http://127.0.0.1:{stage.balancer.admin}"],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )


class Watchers:
    """A kept connection to each worker that is asked, without a token, which configuration it serves."""

    def __init__(self, stage: Stage, workers: int = 2) -> None:
        self._everyone = EveryWorker(stage, workers)

    def realms(self) -> list[str]:
        """What each worker answers now."""
        return [realm_of(client.ask("/r/which")) for client in self._everyone.clients.values()]

    def statuses(self, token: str) -> list[int]:
        """What each worker answers to a request with this token, which reaches a backend."""
        return self._everyone.statuses(token)

    @property
    def clients(self) -> dict[int, Client]:
        """The connections, by the pid of their worker."""
        return self._everyone.clients

    def wait_for(self, realm: str, timeout: float = 5.0) -> float:
        """Seconds until every worker serves that configuration; infinite when one did not in time."""
        start = time.monotonic()
        while (now := time.monotonic() - start) <= timeout:
            if set(self.realms()) == {realm}:
                return now
            time.sleep(0.01)
        return float("inf")

    def close(self) -> None:
        """Close the connections."""
        self._everyone.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require(condition: object, text: str) -> None:
    """Raise RuntimeError with the text unless the condition holds."""
    if not condition:
        raise RuntimeError(text)


def series(
    reloads: Reloads,
    watchers: Watchers,
    steps: list[Callable[[Document], object]],
    count: int,
    every: float,
    ways: tuple[str, ...] = ("signal", "command", "post"),
) -> list[float]:
    """
    Reload `count` times, once every `every` seconds, going round the steps and the ways to ask.

    Args:
        steps: Each changes the document; what it returns is called, if it can be, once every worker serves the new configuration.

    Returns:
        For each reload the seconds until every worker served the new configuration: from the signal, or from the reply of command and admin API,
        which comes when all have it.
    """
    times: list[float] = []
    begin = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begin + (number + 0.5) * every - time.monotonic()))
        check = steps[number % len(steps)](reloads.document)
        reloads.publish(ways[number % len(ways)])
        times.append(watchers.wait_for(reloads.realm))
        if callable(check):
            check()
    return times
