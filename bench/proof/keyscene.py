"""What the bars about keys share: a balancer whose keys come from a key server, and requests that are right or wrong one by one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from bench.proof.scene import taken
from bench.proof.worker_kill import sockets_of
from tests.harness.client import Client, request
from tests.harness.keyserver import Answer, KeyServer
from tests.harness.ledger import compare
from tests.harness.load import Job, Sample
from tests.harness.procfs import children
from tests.harness.publisher import Federation, Issuer
from tests.harness.stage import Stage

# Ways in which a key server is of no use, each a step that brings it about.
OUTAGES: dict[str, dict[str, Any]] = {
    "refused": {},
    "status 500": {"status": 500, "body": b"<html>sorry</html>"},
    "silence": {"hang": True},
    "reset": {"reset_at": 60},
    "HTML": {"body": b"<!doctype html><title>maintenance</title>", "content_type": "text/html"},
    "cut": {"length": 100_000},
    "a byte a second": {"pace": 1.0},
}


def break_server(server: KeyServer, outage: str) -> None:
    """Let the key server fail in this way, and in no other."""
    mend_server(server)
    if outage == "refused":
        server.close_door()
    else:
        server.answers["*"] = Answer(**OUTAGES[outage])


def mend_server(server: KeyServer) -> None:
    """As if the server had been started anew: connections of before are gone."""
    server.close_door()
    server.answers.clear()
    server.open_door()


def key_scene(
    directory: Path, issuers: Sequence[Issuer], *, discover: bool = False, keys: dict[str, Any], **options: Any
) -> Stage:
    """Backends as processes and a balancer that fetches the keys of these issuers. `keys`: options of the key source."""
    options.setdefault("access_log", ...)
    options.setdefault("processes", 1)
    entries = {issuer.label: issuer.discovered(**keys) if discover else issuer.remote(**keys) for issuer in issuers}
    return Stage(directory, tokens=Federation(issuers), issuers={"main": ..., **entries}, **options)


def ask(id: str, token: str, *, fresh: bool = False, fields: Iterable[str] = ()) -> Job:
    """One GET with its id in path and fields."""
    return Job(id, request(f"/r/{id}", token=token, id=id, fields=fields), fresh=fresh)


def stepwise(work: Iterator[Job], steps: dict[int, Callable[[], object]]) -> Iterator[Job]:
    """The jobs, with something done just before some of them are made, by number."""
    for number in count():
        step = steps.get(number)
        if step is not None:
            step()
        try:
            yield next(work)
        except StopIteration:
            return


def refused(samples: Iterable[Sample]) -> list[Sample]:
    """Those that did not get the whole good answer to this very request."""
    return [sample for sample in samples if not sample.is_good]


def findings(stage: Stage, samples: Iterable[Sample], *, may_fail: bool = False, aside: str = "") -> list[str]:
    """
    What the ledgers say: unverified requests, leaks, losses.

    Args:
        may_fail: 503 is no loss.
        aside: Id of requests that were sent besides the samples.
    """
    return [
        str(finding)
        for finding in compare(samples, taken(stage), may_fail=may_fail)
        if finding.kind != "ghost" or finding.id not in ("every-worker", aside)
    ]


def described(samples: Iterable[Sample]) -> str:
    """How often which answer came."""
    counts = Counter(str(sample.status or sample.outcome.value) for sample in samples)
    return ", ".join(f"{number:,} × {status}" for status, number in counts.most_common())


class EveryWorker:
    """
    Connections that together reach every worker of a balancer: which process serves one is read from the sockets it holds.

    Raises RuntimeError when 400 connections did not reach them all.
    """

    def __init__(self, stage: Stage, workers: int) -> None:
        self.clients: dict[int, Client] = {}  # one for each worker's pid
        opened: list[Client] = []
        try:
            for _ in range(400):
                client = Client(stage.port, timeout=8.0)
                opened.append(client)
                client.ask("/r/hello")
                port = client.socket.getsockname()[1]
                owners = [
                    pid
                    for pid in children(stage.balancer.pid) or [stage.balancer.pid]
                    if (stage.port, port) in sockets_of(pid)
                ]
                if len(owners) == 1 and owners[0] not in self.clients:
                    self.clients[owners[0]] = client
                if len(self.clients) == workers:
                    break
            if len(self.clients) < workers:
                raise RuntimeError(f"only {len(self.clients)} of {workers} workers were reached")
        except BaseException:
            self.clients.clear()
            raise
        finally:
            for client in opened:
                if client not in self.clients.values():
                    client.close()

    def statuses(self, token: str) -> list[int]:
        """What each worker answers to a request with this token."""
        return [client.ask("/r/x", token=token, id="every-worker").status for client in self.clients.values()]

    def wait_for(self, token: str, status: int, timeout: float) -> float | None:
        """Seconds until all workers answered so in one round; None when they did not in time."""
        start = time.monotonic()
        while (now := time.monotonic() - start) <= timeout:
            if set(self.statuses(token)) == {status}:
                return now
            time.sleep(0.01)
        return None

    def close(self) -> None:
        """Close the connections."""
        for client in self.clients.values():
            client.close()
