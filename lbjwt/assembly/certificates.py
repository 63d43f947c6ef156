"""Certificates, keys and authorities that are replaced on disk while the service runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from lbjwt.net.certificate import TlsFiles
from lbjwt.net.threads import in_thread
from lbjwt.net.tls import TLSError
from lbjwt.observe._board import Board

log = logging.getLogger("lbjwt.service")

Files = TypeVar("Files", bound=TlsFiles)


class Renewals:
    """
    Has a thread read files that were replaced; those that can be used are for the next handshakes, and no connection is closed.

    Args:
        board: Every worker reads the same files, and the first one logs it.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._renewing: asyncio.Task[None] | None = None

    def look(self, watched: Iterable[Files], use: Callable[[Files, ssl.SSLContext], object]) -> None:
        """
        Begin to read what was replaced, unless that is under way.

        Args:
            use: Called with each that has a new context.
        """
        if self._renewing is None or self._renewing.done():
            changed = [files for files in watched if files.has_new_files()]
            if changed:
                self._renewing = asyncio.get_running_loop().create_task(self._renew(changed, use), name="certificates")

    async def _renew(self, changed: Sequence[Files], use: Callable[[Files, ssl.SSLContext], object]) -> None:
        for files in changed:
            try:
                context = await in_thread(files.renew)
            except TLSError as error:
                if self._board.slot == 0:
                    log.warning("new %s not used, the old one stays in use: %s", files.what, error)
                continue
            if context is not None:
                use(files, context)
                if self._board.slot == 0:
                    log.info("%s: new %s in use from %s", files.key, files.what, files.paths[0])

    def stop(self) -> None:
        """Give up what is under way."""
        if self._renewing is not None:
            self._renewing.cancel()
