"""
The keys and revocations of a verifier inside another program, kept current by a thread of its own.

The thread runs what a balancer that is embedded runs in its loop: the same sources, life cycle, egress rules and cooldowns. So the program needs no
event loop, and one that has a loop is not delayed. Other threads see new keys by `Verifier.publish`, and ask for unknown ones with `request`.

A process that forks has the thread in the parent only: the child starts another one, which begins with the keys that the parent had fetched.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

from lbjwt.assembly.decryption_files import DecryptionFiles
from lbjwt.assembly.keys import EmbeddedControl, first_fetch, key_sets, put_inherited, put_stored, worker_sources
from lbjwt.assembly.revocations import new_reader, revocation_check
from lbjwt.assembly.sources import wait_for_keys
from lbjwt.keys.errors import sentence_of
from lbjwt.keys.worker import LOOK, WorkerKeys
from lbjwt.observe._board import Board

if TYPE_CHECKING:
    from lbjwt.assembly.followed_file import FollowedFile
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.auth.trusted_issuer import Revoked
    from lbjwt.auth.verifier import Verifier
    from lbjwt.config.model import Configuration
    from lbjwt.keys.feed import StoredKeySet

T = TypeVar("T")

END: Final = 5.0
"""Seconds that `close` waits for the thread: it ends as soon as its attempts are given up."""

log = logging.getLogger("lbjwt.jwks")


class KeptKeys:
    """
    Keeps the keys of all issuers of one verifier.

    Args:
        configuration: Of which `revocation`, `state_directory` and `limits.max_waiting` count here. The state directory is read and never written:
            a balancer may own it.
        instances: The issuers.
        clock: Seconds since the epoch.
        file: What the configuration was read from, to follow it.
    """

    def __init__(
        self,
        configuration: Configuration,
        instances: Sequence[IssuerInstance],
        clock: Callable[[], float] = time.time,
        file: FollowedFile | None = None,
    ) -> None:
        self.clock = clock
        self.file = file
        self.longest_wait = wait_for_keys(instances)
        """Seconds that a request waits at most for keys that a fetch may bring."""
        self.first_wait = first_fetch(instances)
        """Seconds after which the first attempts have ended, well or not."""
        self.configuration = configuration
        self.instances = instances
        self.revokes: Revoked | None = None
        """The revocations in force; None until they are read, and without `revocation`."""
        self._loop: _KeyLoop | None = None
        self._verifier: Verifier | None = None

    def revoked(self, issuer: int, key_id: str, claims: Mapping[str, Any], now: float) -> bool:
        """What the verifier asks about every token."""
        return self.revokes is not None and self.revokes(issuer, key_id, claims, now)

    def start(self, verifier: Verifier, inherited: Sequence[StoredKeySet] = ()) -> None:
        """
        Read what is on disk, and begin to fetch the rest.

        Args:
            inherited: Key sets that were fetched before.

        Raises:
            KeySourceError: A key file or an environment variable cannot be used.
            RevocationError: The file or the log of revocations cannot be used.
        """
        self._verifier = verifier
        self._loop = _KeyLoop(self, verifier, inherited)
        self._loop.begin()
        _alive.add(self)

    def request(self, issuer: int) -> Future[None] | None:
        """
        Have the keys of one issuer fetched, because a token named a key that is not there, unless the cooldown forbids it.

        Returns:
            A future that is done when the attempt has ended, well or not; None if no attempt is worth waiting for.
        """
        return None if self._loop is None else self._loop.request(issuer)

    def fresh(self) -> Future[bool] | bool:
        """Whether there are keys of every issuer; a future of it while a fetch is due or under way."""
        return False if self._loop is None else self._loop.fresh()

    def describe(self) -> dict[str, dict[str, Any]]:
        """Of each fetched source, by the name of its issuer."""
        return {} if self._loop is None else self._loop.control.describe()

    def key_sets(self) -> list[StoredKeySet]:
        """What was fetched."""
        return [] if self._loop is None else key_sets(self.instances, self._loop.control.feed)

    def look_at_file(self) -> bool:
        """Follow the file of the configuration. True when other keys have taken the place of these."""
        if self.file is None or not self.file.look():
            return False
        _alive.discard(self)
        return True

    def close(self) -> None:
        """End the thread and withdraw the keys: without it nobody would notice that they became too old."""
        _alive.discard(self)
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.end()
            self.withdraw()

    def withdraw(self) -> None:
        assert self._verifier is not None
        for instance in self.instances:
            self._verifier.publish(None, instance.index)

    def start_in_child(self) -> None:
        """The thread stayed in the parent process: start another one."""
        before = self._loop
        if before is None or self._verifier is None:
            return
        # What belongs to the parent's loop must not be closed here: it shares the parent's epoll instance.
        _left_behind.append(before)
        try:
            self._loop = _KeyLoop(self, self._verifier, key_sets(self.instances, before.control.feed))
            self._loop.begin()
        except Exception as error:  # of a file that changed; refuse rather than trust keys that nobody looks after
            log.error("no keys in the forked process: %s", sentence_of(error))
            self._loop = None
            self.withdraw()


class _KeyLoop:
    """One thread with its loop. Everything in it is used in this thread only, unless it says otherwise."""

    def __init__(self, kept: KeptKeys, verifier: Verifier, inherited: Sequence[StoredKeySet]) -> None:
        instances, directory = kept.instances, kept.configuration.state_directory
        board = Board(1, 0, max(instance.index for instance in instances) + 1)
        self.control = EmbeddedControl(instances, board, None)
        put_stored(self.control.feed, instances, directory)
        put_inherited(self.control.feed, instances, inherited)
        self._kept = kept
        self._verifier = verifier
        self._keys = WorkerKeys(board, self.control)
        self._keys.settled = self._settled
        self._sources = worker_sources(instances, {}, verifier, board, self.control.feed)
        self._max_waiting = kept.configuration.limits.max_waiting
        self._waiting: dict[int, list[Future[None]]] = {}
        self._waiting_fresh: list[Future[bool]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started: Future[None] = Future()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="lbjwt-keys", daemon=True)

    # Called by other threads.

    def begin(self) -> None:
        self._thread.start()
        self._started.result()

    def end(self) -> None:
        self._call(self._ending.set)
        self._thread.join(END)

    def request(self, issuer: int) -> Future[None] | None:
        if not self._keys.may_refresh(issuer):
            return None
        future: Future[None] = Future()
        return future if self._call(self._enter, issuer, future) else None

    def fresh(self) -> Future[bool] | bool:
        if not self._is_due() and not self.control.overdue(self._kept.clock()):
            return self._has_keys()
        future: Future[bool] = Future()
        return future if self._call(self._enter_fresh, future) else self._has_keys()

    def _call(self, function: Any, *args: Any) -> bool:
        """Call a function in the thread of the keys; False if that has ended."""
        try:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _is_due(self) -> bool:
        return self.control.is_due(time.monotonic(), self._kept.clock())

    def _has_keys(self) -> bool:
        return all(source.ring is not None for source in self._sources.values())

    # In the thread.

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            else:
                log.error("the thread that keeps the keys has ended: %s", sentence_of(error))
                self._kept.withdraw()
        finally:
            self._let_go()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            reader = new_reader(
                self._kept.configuration, self._kept.configuration.state_directory, lambda more: self._verifier.renew()
            )
            if reader is not None:
                stack.push_async_callback(reader.stop)
                await reader.load()
                self._kept.revokes = revocation_check(reader)
                self._verifier.renew()
                reader.start()
            await self._keys.load(self._sources.values())
            for index, source in self._sources.items():
                if source.ring is None:
                    self._verifier.publish(None, index)  # in a forked process: keys whose age is not known
            self.control.listen(self._keys.notified)
            self._keys.use(self._sources)
            stack.push_async_callback(self._keys.stop)
            self._keys.start()
            stack.push_async_callback(self.control.stop)
            await self.control.start()
            decryption = DecryptionFiles(self._kept.instances, self._verifier.use_decryption)
            stack.callback(decryption.stop)
            self._started.set_result(None)
            while not await self._ends_within(LOOK):
                decryption.look()
                if self._kept.look_at_file():
                    break

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        return self._ending.is_set()

    def _enter(self, issuer: int, future: Future[None]) -> None:
        waiting = self._waiting.setdefault(issuer, [])
        if len(waiting) >= self._max_waiting or not self._keys.request_refresh(issuer):
            _resolve(future, None)
        else:
            waiting.append(future)

    def _enter_fresh(self, future: Future[bool]) -> None:
        self._waiting_fresh.append(future)
        asked = [self._keys.request_refresh(issuer) for issuer in self.control.overdue(self._kept.clock())]
        if not any(asked):  # else their attempts end first
            self._look_fresh()

    def _settled(self, issuer: int) -> None:
        """An attempt has ended, and its keys are in force."""
        for future in self._waiting.pop(issuer, ()):
            _resolve(future, None)
        self._look_fresh()

    def _look_fresh(self) -> None:
        if not self._is_due():
            self._resolve_fresh()

    def _resolve_fresh(self) -> None:
        waiting, self._waiting_fresh = self._waiting_fresh, []
        for future in waiting:
            _resolve(future, self._has_keys())

    def _let_go(self) -> None:
        """Nobody waits for a thread that has ended."""
        for issuer in list(self._waiting):
            self._settled(issuer)
        self._resolve_fresh()


def _resolve(future: Future[T], result: T) -> None:
    if future.set_running_or_notify_cancel():  # else nobody waits any more
        future.set_result(result)


_alive: weakref.WeakSet[KeptKeys] = weakref.WeakSet()
_left_behind: list[object] = []


def _start_in_child() -> None:
    for kept in list(_alive):
        kept.start_in_child()


def _close_all() -> None:
    for kept in list(_alive):
        kept.close()


os.register_at_fork(after_in_child=_start_in_child)
atexit.register(_close_all)
