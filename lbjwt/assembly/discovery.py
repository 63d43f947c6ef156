"""
The part of the control process, or of an embedded balancer, that discovers endpoints: it resolves names, watches endpoints files and takes endpoints
from the admin API. What it finds goes to `publish` as a whole, at most `PACE` seconds after it changed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lbjwt.assembly.discovered import (
    Discovered,
    files_of,
    left_out,
    pruned,
    questions,
    read_file,
    stay,
    store,
)
from lbjwt.config.endpoint_list import EndpointsError
from lbjwt.config.model import Configuration, Endpoint
from lbjwt.errors import LbjwtError, cause_of
from lbjwt.files import signature_of
from lbjwt.net.threads import in_thread
from lbjwt.upstream.discovery.answers import Found, Question, Resolved
from lbjwt.upstream.discovery.resolver import Resolver
from lbjwt.upstream.discovery.watched import LOOK, WatchedFiles

FIRST_ANSWERS: Final = 5.0
"""Seconds for which a start waits until every name was asked for once. Then it goes on with what is known: a name server that is down must not keep
the service from serving its other clusters."""

PACE: Final = 0.05
"""Seconds for which changes are collected: the answers for many names come together."""

log = logging.getLogger("lbjwt.discovery")


class NotHandedOut(LbjwtError):
    """Endpoints that were set, but are not in force."""


@dataclass(slots=True)
class FileStatus:
    """What is known of one endpoints file."""

    failures: int = 0
    cause: str = ""
    """Why the last content is not in use; "" when it is."""
    read_at: float = 0.0
    """Seconds since the epoch of the last good read; 0: none yet."""


class Discovery:
    """
    Discovers endpoints in the running loop, from `start` to `stop`.

    Args:
        known: What is in force.
        publish: Puts what was discovered into force; raises LbjwtError when it cannot, and it is tried again with the next change.
        directory: The configured state directory, where it is stored; None without one.
    """

    def __init__(
        self,
        configuration: Configuration,
        known: Discovered,
        publish: Callable[[Discovered], Awaitable[None]],
        directory: Path | None,
    ) -> None:
        self._configuration = configuration
        self._known = known
        self._publish = publish
        self._directory = directory
        self._resolver: Resolver | None = None
        self._files = WatchedFiles()
        self._file_status: dict[Path, FileStatus] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._stored: Discovered | None = None
        self._storing_failed = False
        self._publishing = asyncio.Lock()
        self._left_out: set[tuple[str, str]] = set()

    @property
    def replaced(self) -> Mapping[str, Sequence[Endpoint]]:
        """Clusters whose endpoints were set over the admin API."""
        return self._known.replaced

    async def start(self) -> None:
        """Resolve every name once, or wait `FIRST_ANSWERS` for that; put what is known into force, and go on in the background."""
        self._resolve()
        if self._resolver is not None and not await self._resolver.first(FIRST_ANSWERS):
            log.error(
                "not every name was resolved within %g s; starting with the endpoints that are known", FIRST_ANSWERS
            )
        self._collect()
        try:
            await self._hand_out()
        except LbjwtError as error:
            log.error("the discovered endpoints are not in force yet: %s", error)
            self._news.set()
        loop = asyncio.get_running_loop()
        self._tasks = {
            loop.create_task(self._watch(), name="endpoints files"),
            loop.create_task(self._pass_on(), name="discovery"),
        }

    async def stop(self) -> None:
        """Discover no more; what is in force stays."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._resolver is not None:
            await self._resolver.stop()

    def use(self, configuration: Configuration) -> None:
        """Discover for another configuration from now on. What is known of names and files that stay is kept."""
        self._configuration = configuration
        self._resolve()
        self._news.set()

    async def replace(self, cluster: str, endpoints: Sequence[Endpoint] | None) -> None:
        """
        Set the endpoints of a cluster, or with None return to those of the configuration. Returns when they are stored and in force.

        Raises:
            OSError: They cannot be stored; nothing changed.
            LbjwtError: They are stored, and could not be put into force yet; that is tried again.
        """
        replaced = dict(self._known.replaced)
        if endpoints is None:
            replaced.pop(cluster, None)
        else:
            replaced[cluster] = tuple(endpoints)
        known = replace(self._known, replaced=replaced)
        if self._directory is not None:
            store(self._directory, known, sync=True)
            self._stored = known
        self._known = known
        self._resolve()
        if self._resolver is not None:
            await self._resolver.first(FIRST_ANSWERS)
            self._collect()
        try:
            await self._hand_out()
        except LbjwtError:
            self._news.set()
            raise

    def describe(self) -> list[dict[str, Any]]:
        """What `/status` tells of each name and file."""
        found: list[dict[str, Any]] = []
        status = self._resolver.status if self._resolver is not None else {}
        for question, one in status.items():
            addresses = self._known.answers.get(question, ())
            found.append(_described(str(question), len(addresses), one.failures, one.cause, one.resolved_at))
        for path, file in self._file_status.items():
            endpoints = self._known.files.get(str(path), ())
            clusters = [name for name, one in self._configuration.clusters.items() if one.endpoints_file == path]
            found.append(
                _described(
                    f"endpoints_file of {', '.join(clusters)}", len(endpoints), file.failures, file.cause, file.read_at
                )
            )
        return found

    def _resolve(self) -> None:
        """Ask for the names of now."""
        names = questions(self._configuration, self._known)
        if self._resolver is None:
            if not names:
                return
            self._resolver = Resolver(_asker(), self._news.set)
        self._resolver.use(names, {question: self._known.answer(question) for question in names})

    def _collect(self) -> None:
        if self._resolver is not None:
            self._known = replace(self._known, answers=dict(self._resolver.answers))

    async def _pass_on(self) -> None:
        """Put into force what changed."""
        while True:
            await self._news.wait()
            await asyncio.sleep(PACE)
            self._news.clear()
            self._collect()
            try:
                await self._hand_out()
            except LbjwtError as error:
                log.error("the discovered endpoints are not in force yet: %s", error)
                await asyncio.sleep(1.0)
                self._news.set()

    async def _hand_out(self) -> None:
        async with self._publishing:
            names = questions(self._configuration, self._known)
            known = self._known = pruned(self._known, names, files_of(self._configuration))
            self._store(known)
            self._tell_left_out(known)
            await self._publish(known)

    def _tell_left_out(self, known: Discovered) -> None:
        """Log endpoints that are left out, once."""
        found = left_out(self._configuration, known)
        for (cluster, address), fault in found.items():
            if (cluster, address) not in self._left_out:
                log.error("endpoint %s of cluster %s %s; it is left out", address, cluster, fault)
        self._left_out = set(found)

    def _store(self, known: Discovered) -> None:
        if self._directory is None or known == self._stored:
            return
        try:
            # Endpoints that were set over the admin API are promised to survive a power cut, in whichever file is the last one.
            store(self._directory, known, sync=bool(known.replaced))
        except OSError as error:
            if not self._storing_failed:
                log.error("cannot store the discovered endpoints for the next start: %s", cause_of(error))
            self._storing_failed = True
        else:
            self._stored, self._storing_failed = known, False

    async def _watch(self) -> None:
        while True:
            looks = {path: _look(path) for path in files_of(self._configuration)}
            self._file_status = {path: self._file_status.get(path, FileStatus()) for path in looks}
            for path in self._files.changed(looks):
                await self._read(path, self._file_status[path])
            await asyncio.sleep(LOOK)

    async def _read(self, path: Path, status: FileStatus) -> None:
        before = self._known.files.get(str(path), ())
        try:
            endpoints = await in_thread(read_file, path)
        except EndpointsError as error:
            status.failures += 1
            status.cause = str(error)
            log.error("endpoints_file %s: %s; %s", path, error, stay(before))
            return
        if status.cause:
            log.info("endpoints_file %s can be used again", path)
        status.cause, status.read_at = "", time.time()
        if endpoints == before:
            return
        log.info("endpoints_file %s: %d endpoint%s", path, len(endpoints), "s" * (len(endpoints) != 1))
        self._known = replace(self._known, files={**self._known.files, str(path): endpoints})
        self._resolve()
        self._news.set()


def _described(source: str, endpoints: int, failures: int, cause: str, succeeded_at: float) -> dict[str, Any]:
    return {
        "source": source,
        "endpoints": endpoints,
        "failures": failures,
        "failing": cause or None,
        "last_success": succeeded_at or None,
    }


def _look(path: Path) -> object:
    try:
        return signature_of(path.stat())
    except OSError:
        return None


def _asker() -> Callable[[Question, Sequence[Found]], Awaitable[Resolved]]:
    from lbjwt.upstream.discovery.lookup import Lookup  # imports dnspython, which is not needed without names

    return Lookup()
