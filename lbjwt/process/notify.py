"""
What systemd is told (sd_notify(3)): the service is ready, is stopping, or goes on in another process. Nothing happens where nobody listens.
"""

import contextlib
import os
import socket
from typing import Final

VARIABLE: Final = "NOTIFY_SOCKET"


def listens() -> bool:
    """True when a service manager takes notifications, so that it can be told of a new main process."""
    return bool(os.environ.get(VARIABLE))


def notify(state: str) -> None:
    """Send one assignment, such as ``READY=1``. A service manager that does not take it does not disturb the service."""
    path = os.environ.get(VARIABLE, "")
    if not path.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto(state.encode(), "\0" + path[1:] if path[0] == "@" else path)
