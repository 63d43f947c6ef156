"""Plain lines on standard error: ``time level lbjwt[who]: sentence``. Only processes that lbjwt owns configure logging; the library never does."""

import logging
import sys
import time
from typing import Final

FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)s lbjwt[{who}]: %(message)s"


class _OneLine(logging.Formatter):
    """Control characters of a message become visible: one record is one line, except for a traceback of our own."""

    converter = staticmethod(time.gmtime)

    def formatMessage(self, record: logging.LogRecord) -> str:
        return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in super().formatMessage(record))


def set_up(who: str) -> None:
    """Send records of the ``lbjwt`` loggers, and warnings of all others, to standard error under the name `who`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(FORMAT.format(who=who), datefmt="%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("lbjwt").setLevel(logging.INFO)
