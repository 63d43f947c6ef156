"""
One measurement: start a backend and a proxy, prove that it does its work, warm it, load it, read what it cost.

CPU is user and system time of the proxy's whole process tree and of that of the program it asks, after minus before, over the requests
answered in between.
A run counts only when the load saw nothing but the answers asked for and the backend, if it counts, counted as many requests.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from bench import child, client, h2load, idle, native, nghttpd, procfs, terminator, tokens, wrk
from bench.cases import Case
from bench.certificate import self_signed
from bench.layout import Layout
from bench.peers import Peer, Setup
from tests.harness.ports import free_port

WARM_SECONDS = 1.0
SETTLE_SECONDS = 0.1  # after each load: what was left in flight must arrive before anything is counted


class LoadFor(Protocol):
    """Loads a proxy for some seconds; ``midway`` is called once meanwhile."""

    def __call__(self, seconds: float, midway: Callable[[], None] | None = None) -> wrk.Load: ...


@dataclass(frozen=True)
class Figures:
    """What one proxy cost in one round of one case. Idle cases have only memory."""

    case: str
    peer: str
    round: int
    memory_bytes: int  # proportional set size of the tree; under load, or with all connections open
    cpu_us: float | None = None  # per request
    per_second: float | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    requests: int | None = None
    foreign: float | None = None  # share of the proxy's cores somebody else used meanwhile: a disturbed run shows here
    connection_bytes: float | None = None  # memory each idle connection added
    tls: str | None = None


def measure(case: Case, peer: Peer, number: int, *, cores: Layout, seconds: float) -> Figures:
    """
    Measure one proxy once.

    Raises:
        BenchError: It could not be started, does not do its work, or the run does not count.
    """
    material = tokens.material(native.BUILD / "tokens", case.algorithm)
    with TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        directory = Path(name)
        directory.chmod(0o755)  # nginx's workers give up root
        backend_port, port = free_port(), free_port()
        backend = [str(native.built("backend")), str(backend_port), str(case.endpoints)]
        if case.http2_backend:
            backend = nghttpd.command(directory, backend_port, grpc=case.grpc)
        stack.enter_context(child.running("backend", backend, port=backend_port, cores=cores.load, directory=directory))
        certificate = self_signed(directory) if case.tls or case.backend_tls else None
        proxied_port = backend_port
        if case.backend_tls:
            proxied_port = free_port()
            command = terminator.command(proxied_port, backend_port, directory, certificate)
            stack.enter_context(
                child.running("terminator", command, port=proxied_port, cores=cores.load, directory=directory)
            )
        setup = Setup(
            port,
            proxied_port,
            directory,
            material,
            certificate if case.tls else None,
            free_port(),
            case.endpoints,
            case.routes,
            case.clusters,
            case.checks,
            certificate if case.backend_tls else None,
            case.http2_backend,
            0 if peer.asked is None else free_port(),
        )
        programs = [] if peer.asked is None else [("asked", peer.asked(setup), setup.asked_port)]
        programs.append((peer.name, peer.command(setup), port))
        roots = [
            stack.enter_context(child.running(name, command, port=port, cores=cores.proxy, directory=directory))
            for name, command, port in programs
        ]
        client.prove(port, material, verifies=peer.verifies, tls=case.tls, http2=case.streams > 0)
        if case.idle:
            return _idle(case, peer, number, setup, roots)
        return _loaded(case, peer, number, setup, roots, cores, seconds, backend_port)


def _idle(case: Case, peer: Peer, number: int, setup: Setup, roots: list[int]) -> Figures:
    token = setup.material.token
    with ExitStack() as first:  # what the first connections cost once must not be counted as theirs
        idle.hold(first, setup.port, token, 100)
    time.sleep(idle.SETTLE)
    before = procfs.memory_bytes(procfs.tree(*roots))
    with ExitStack() as held:
        idle.hold(held, setup.port, token, idle.CONNECTIONS)
        after = procfs.memory_bytes(procfs.tree(*roots))
    return Figures(
        case.name, peer.name, number, memory_bytes=after, connection_bytes=(after - before) / idle.CONNECTIONS
    )


def _loaded(
    case: Case,
    peer: Peer,
    number: int,
    setup: Setup,
    roots: list[int],
    cores: Layout,
    seconds: float,
    backend_port: int,
) -> Figures:
    """backend_port: where the backend counts what it was asked."""
    seconds = max(seconds, case.least_seconds)
    load_for = _load_of(case, setup, cores)
    _warm(load_for, tokens.ROTATION if case.rotates else 0)

    time.sleep(SETTLE_SECONDS)
    pids = procfs.tree(*roots)
    memory: list[int] = []
    answered = 0 if case.http2_backend else client.answered_by_backend(backend_port)
    started, busy, cpu = time.monotonic(), procfs.core_busy_seconds(cores.proxy), procfs.cpu_seconds(pids)
    load = load_for(seconds, lambda: memory.append(procfs.memory_bytes(pids)))
    cpu = procfs.cpu_seconds(pids) - cpu
    busy = procfs.core_busy_seconds(cores.proxy) - busy
    elapsed = time.monotonic() - started
    wrk.judge(load, refusals=case.refused, least_bytes=case.least_bytes)
    time.sleep(SETTLE_SECONDS)
    if not case.http2_backend:
        answered = client.answered_by_backend(backend_port) - answered
        agree(case, load.requests, answered, seconds=time.monotonic() - started)
    if peer.remembers is not None and not case.refused:
        hits, misses = client.cache_counts(setup.admin_port)
        tokens_shown = (tokens.ROTATION if case.rotates else 1) + client.PROOF_TOKENS
        remembered(peer.remembers, load.requests, hits, misses, most_misses=tokens_shown * peer.workers)
    return Figures(
        case.name,
        peer.name,
        number,
        memory_bytes=memory[0],
        cpu_us=cpu / load.requests * 1e6,
        per_second=load.per_second,
        p50_us=load.p50_us,
        p99_us=load.p99_us,
        requests=load.requests,
        foreign=max(0.0, busy - cpu) / (elapsed * len(cores.proxy)),
        tls=client.tls_version(setup.port) if case.tls else None,
    )


def _load_of(case: Case, setup: Setup, cores: Layout) -> LoadFor:
    """What loads the proxy in this case, for some seconds."""
    url = f"{'https' if case.tls else 'http'}://127.0.0.1:{setup.port}{case.path}"
    if case.streams:
        fields = [f"-HAuthorization: Bearer {setup.material.token}"]
        if case.grpc:
            message = nghttpd.message_file(setup.directory)
            fields += [f"-d{message}", "-Hcontent-type: application/grpc", "-Hte: trailers"]
        return lambda seconds, midway=None: h2load.run(
            url,
            tuple(fields),
            seconds=seconds,
            cores=cores.load,
            connections=case.connections,
            streams=case.streams,
            midway=midway,
        )
    arguments = case.script
    if case.rotates:
        arguments += (f"tokens={setup.material.rotation.resolve()}",)
    elif not case.refused:
        arguments += (f"token={setup.material.hot.resolve()}",)
    return lambda seconds, midway=None: wrk.run(
        url,
        arguments,
        seconds=seconds,
        cores=cores.load,
        connections=case.connections,
        threads=2 if case.workers and cores.scales else 1,
        midway=midway,
    )


def _warm(load_for: LoadFor, least: int) -> None:
    """Load before the figures; when tokens rotate, until one run has sent each of them once (wrk starts at the first every time)."""
    seconds = WARM_SECONDS
    load = load_for(seconds)
    while 0 < load.requests < least:
        seconds = math.ceil(seconds * least / load.requests * 1.1)
        load = load_for(seconds)


def agree(case: Case, asked: int, answered: int, *, seconds: float = 0.0) -> None:
    """
    Compare the load's count with the backend's. Requests in flight when the load stops are answered but not counted by it; nor are health checks.

    Args:
        seconds: Between the counts, for the health checks that came in that time.

    Raises:
        BenchError: They differ by more, or a refused request reached the backend.
    """
    checks = math.ceil(1.5 * case.endpoints * (seconds + 1)) if case.checks else 0
    if case.refused:
        if answered:
            raise child.BenchError(f"{answered} refused requests reached the backend")
    elif not asked <= answered <= asked + case.in_flight + checks:
        raise child.BenchError(f"the load counts {asked} answers, the backend {answered}")


def remembered(expected: bool, requests: int, hits: int, misses: int, *, most_misses: int) -> None:
    """
    Show that a cache that is measured was used, and one that is switched off was not.

    The counts are cumulative, with the warm-up in them, and may lack the last second; half of the requests must show by then.

    Raises:
        BenchError: Hits where there must be none, or more misses than there were tokens to learn.
    """
    if max(hits, misses) < requests / 2:
        raise child.BenchError(f"the cache counts {hits} hits and {misses} misses after {requests} requests")
    if not expected and hits:
        raise child.BenchError(f"{hits} tokens were found in a cache that is switched off")
    if expected and misses > most_misses:
        raise child.BenchError(f"{misses} tokens were not found in the cache; it had {most_misses} to learn")
