"""The demo as a visitor meets it: real processes, real curl, nothing left behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import aiohttp.web
import pytest

from lbjwt.demo.backends import Backend
from lbjwt.demo.balancer import Balancer, BalancerError
from lbjwt.demo.stage import address, bind

DEMO = [sys.executable, "-m", "lbjwt", "demo"]


def descendants(pid: int) -> set[int]:
    """All processes below `pid`."""
    found = set()
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found |= {int(child)} | descendants(int(child))
    return found


def is_running(pid: int) -> bool:
    """False for a process that is gone or only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def read_until(stream, wanted: str) -> str:
    """The first line that begins with `wanted`."""
    for line in stream:
        if line.startswith(wanted):
            return line.strip()
    raise AssertionError(f"the demo ended before a line {wanted!r}")


def test_every_line_comes_out_as_printed():
    """`lbjwt demo --once` runs all its own curl lines and ends with 0: good tokens answered, all others refused."""
    finished = subprocess.run(
        [*DEMO, "--once"], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    verdicts = finished.stdout.splitlines()
    assert len(verdicts) == 7
    assert all(verdict.startswith("ok ") for verdict in verdicts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(number):
    """A visitor copies a line, sees which backend answered, and ends the demo: exit 0, no process and no port left."""
    demo = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
    try:
        line = read_until(demo.stdout, "curl ")
        assert subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout.startswith(
            "HTTP/1.1 200"
        )
        assert read_until(demo.stdout, "200  GET /hello").split()[3] in {"ash", "birch", "snail"}
        family = {demo.pid} | descendants(demo.pid)
        assert len(family) > 1
        os.kill(demo.pid, number)
        demo.communicate(timeout=90)
        assert demo.returncode == 0
        assert [pid for pid in family if is_running(pid)] == []
        host, port = line.rpartition("//")[2].partition("/")[0].split(":")
        with socket.socket() as probe:
            assert probe.connect_ex((host, int(port))) != 0
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.wait(timeout=90)
        demo.stdout.close()


def test_a_balancer_that_cannot_start_says_why():
    """A balancer that ends at once is reported with its last words, not waited for."""

    async def start() -> None:
        await Balancer.start(["--no-such-flag"], "127.0.0.1:1")

    began = time.monotonic()
    with pytest.raises(BalancerError, match=r"ended with [1-9](.|\n)*no-such-flag"):
        asyncio.run(start())
    assert time.monotonic() - began < 60


def test_a_taken_port_is_not_insisted_on():
    """When the usual port is taken, a free one is used."""
    with bind() as first:
        first.listen()
        with bind(first.getsockname()[1]) as second:
            assert address(second) != address(first)


def test_backend_tells_what_reached_it():
    """A backend answers with its name, the path and the identity header it was sent."""

    async def ask() -> dict[str, str]:
        runner = aiohttp.web.AppRunner(Backend("ash").application(), handle_signals=False)
        await runner.setup()
        bound = bind()
        await aiohttp.web.SockSite(runner, bound).start()
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.post(f"http://{address(bound)}/a/b?c", headers={"x-jwt-sub": "alice"}) as answer,
            ):
                return await answer.json()
        finally:
            await runner.cleanup()

    assert asyncio.run(ask()) == {"backend": "ash", "method": "POST", "path": "/a/b", "subject": "alice"}
