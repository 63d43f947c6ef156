"""Notifications between processes: none is lost, many are one, and none blocks."""

import asyncio
import os

import pytest
import uvloop

from lbjwt.process.wakeups import Wakeups


@pytest.fixture
def wakeups():
    wakeups = Wakeups(3)
    yield wakeups
    wakeups.close()


def test_a_notification_reaches_its_process(wakeups):
    """Each worker and the control process has its own; a look takes all notifications that came before."""
    everybody = [wakeups.control_fd, *map(wakeups.worker_fd, range(3))]
    assert len(set(everybody)) == 4
    assert not any(map(wakeups.take, everybody))
    wakeups.notify_workers()
    wakeups.notify_workers()
    assert [wakeups.take(fd) for fd in everybody] == [False, True, True, True]
    assert not any(map(wakeups.take, everybody))
    wakeups.notify_control()
    assert [wakeups.take(fd) for fd in everybody] == [True, False, False, False]


@pytest.mark.parametrize("slot", [3, 7])
def test_no_worker_no_descriptor(wakeups, slot):
    """A slot that does not exist is an IndexError, not the control process."""
    with pytest.raises(IndexError):
        wakeups.worker_fd(slot)


def test_a_notification_that_nobody_looks_at_does_not_block(wakeups):
    """Even with the counter full, it returns and is still there."""
    os.eventfd_write(wakeups.control_fd, 2**64 - 2)
    wakeups.notify_control()
    assert wakeups.take(wakeups.control_fd)


def test_a_notification_while_nobody_lives_there_is_found_by_the_next(wakeups):
    """One from before, or while a process was away, is there for its successor."""
    pid = os.fork()
    if pid == 0:
        wakeups.notify_control()
        os._exit(0)
    os.waitpid(pid, 0)
    assert wakeups.take(wakeups.control_fd)


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_listening_in_a_loop(wakeups, factory):
    """A notification from before and each later one calls back, many at once only once, until listening ends."""
    calls = []

    async def scene():
        loop = asyncio.get_running_loop()
        came = asyncio.Event()

        def notified():
            calls.append(1)
            came.set()

        async def until_called():
            await asyncio.wait_for(came.wait(), 60)
            came.clear()

        wakeups.notify_workers()
        wakeups.listen(loop, wakeups.worker_fd(0), notified)
        await until_called()
        for _ in range(10):
            wakeups.notify_workers()
        await until_called()
        assert len(calls) == 2
        loop.remove_reader(wakeups.worker_fd(0))

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(scene())
    wakeups.notify_workers()
    assert len(calls) == 2
