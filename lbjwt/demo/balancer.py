"""The balancer of the demo as a child process, started the way a user starts it: `lbjwt serve` with flags and no file."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence

import aiohttp

START_PATIENCE = 30.0  # seconds until the balancer must be ready
STOP_PATIENCE = 5.0  # seconds from SIGTERM to SIGKILL: visitors do not wait for a full drain


class BalancerError(Exception):
    """The balancer did not come up, or ended by itself. The text holds what it last said."""


class Balancer:
    """`lbjwt serve …` in a session of its own, so that Ctrl-C reaches it through us and nothing of it is left behind."""

    def __init__(self, child: asyncio.subprocess.Process, admin: str) -> None:
        self._child = child
        self._admin = admin
        self._said: deque[str] = deque(maxlen=20)
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, arguments: Sequence[str], admin: str) -> "Balancer":
        """
        Start `lbjwt serve` and wait until it is ready.

        Args:
            arguments: What follows `lbjwt serve`; must open the admin door at `admin`.
            admin: HOST:PORT of the admin door.

        Raises:
            BalancerError: It ended, or was not ready within `START_PATIENCE`.
        """
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "lbjwt",
            "serve",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        balancer = cls(child, admin)
        try:
            await asyncio.wait_for(balancer._wait_ready(), START_PATIENCE)
        except BaseException as error:
            await balancer.stop()
            if isinstance(error, TimeoutError):
                raise BalancerError(balancer._story(f"was not ready within {START_PATIENCE:.0f} s")) from None
            raise
        return balancer

    async def access_log(self) -> AsyncIterator[bytes]:
        """
        Yield the lines of the access log as they come.

        Raises:
            BalancerError: The balancer ended.
        """
        assert self._child.stdout is not None  # opened as a pipe above
        async for line in self._child.stdout:
            yield line
        await self._child.wait()
        raise BalancerError(self._story(f"ended with {self._child.returncode}"))

    async def stop(self) -> None:
        """End the balancer and all its workers; returns when nothing of it runs any more."""
        if self._child.returncode is None:
            self._child.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._child.wait(), STOP_PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        await self._child.wait()
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def _wait_ready(self) -> None:
        async with aiohttp.ClientSession() as client:
            while self._child.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with client.get(f"http://{self._admin}/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)
        await asyncio.wait([self._listening])
        raise BalancerError(self._story(f"ended with {self._child.returncode}"))

    async def _listen(self) -> None:
        """Keep the last lines of standard error: they tell why it ended."""
        assert self._child.stderr is not None  # opened as a pipe above
        async for line in self._child.stderr:
            self._said.append(line.decode("utf-8", "replace").rstrip())

    def _story(self, end: str) -> str:
        return "\n  ".join([f"the balancer {end}", *self._said])
