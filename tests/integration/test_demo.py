"""The demo as a visitor meets it: a real process, real curl, nothing left behind."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import aiohttp.web
import pytest

from lbjwt.demo.stage import address, backend, bind
from tests.harness.ports import free_port

DEMO = [sys.executable, "-m", "lbjwt", "demo"]


@pytest.fixture
def alone() -> Iterator[None]:
    """One demo at a time: all want the same ports, and take a while from the look whether one is free to the use of it."""
    with Path(__file__).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_until(stream, wanted: str) -> str:
    """The first line that begins with `wanted`."""
    for line in stream:
        if line.startswith(wanted):
            return line.strip()
    raise AssertionError(f"the demo ended before a line {wanted!r}")


@pytest.mark.usefixtures("alone")
def test_every_line_comes_out_as_printed():
    """`lbjwt demo --once` runs all its own curl lines and ends with 0: good tokens answered, all others refused."""
    finished = subprocess.run(
        [*DEMO, "--once"], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    verdicts = finished.stdout.splitlines()
    assert len(verdicts) == 7
    assert all(verdict.startswith("ok ") for verdict in verdicts)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(number):
    """A visitor copies a line, sees the request in the access log, and ends the demo: exit 0, no port left."""
    command = [*DEMO, "--port", str(free_port())]  # which nobody else takes once it is free again
    demo = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL
    )
    try:
        line = read_until(demo.stdout, "curl ")
        assert subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout.startswith(
            "HTTP/1.1 200"
        )
        assert json.loads(read_until(demo.stdout, "{"))["status"] == 200
        os.kill(demo.pid, number)
        demo.communicate(timeout=90)
        assert demo.returncode == 0
        host, port = line.rpartition("//")[2].partition("/")[0].split(":")
        with socket.socket() as probe:
            assert probe.connect_ex((host, int(port))) != 0
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.wait(timeout=90)
        demo.stdout.close()


def test_a_taken_port_is_not_insisted_on():
    """When the usual port is taken, a free one is used."""
    with bind() as first:
        first.listen()
        with bind(first.getsockname()[1]) as second:
            assert address(second) != address(first)


def test_backend_tells_what_reached_it():
    """A backend answers with its name, the path and the identity header it was sent."""

    async def ask() -> dict[str, str]:
        runner = aiohttp.web.AppRunner(backend("ash", 0.0), handle_signals=False)
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
