"""
Ports for servers that the tests start, without two tests ever being given the same one.

Several test processes run side by side. They take ports below the kernel's ephemeral range, which no `connect` and no `bind` to port 0 gives
out, and hold each one by an abstract Unix socket named after it: the kernel keeps that name unique among all processes, and frees it when the
process that holds it ends, however it ends.
"""

import random
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

LOWEST, HIGHEST = 12_000, 32_000  # /proc/sys/net/ipv4/ip_local_port_range begins at 32768

KEPT = 200  # more than one test uses; the oldest are given back, for a process has few descriptors

_held: deque[socket.socket] = deque()


def free_port() -> int:
    """
    A TCP port of 127.0.0.1 that nothing listens on, for this process alone while a test may use it.

    Raises:
        RuntimeError: No free port was found in a thousand tries.
    """
    chooser = random.SystemRandom()
    for _ in range(1000):
        port = chooser.randrange(LOWEST, HIGHEST)
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind(f"\0lbjwt-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _held.append(name)
        if len(_held) > KEPT:
            _held.popleft().close()
        return port
    raise RuntimeError(f"no free port between {LOWEST} and {HIGHEST}")


@contextmanager
def deaf(address: str, port: int) -> Iterator[None]:
    """A listener whose queue is full: it answers no SYN."""
    with socket.socket() as full, ExitStack() as waiting:
        full.bind((address, port))
        full.listen(0)
        for _ in range(3):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((address, port))
        yield
