"""The files of `jwe` sections, which are read again when they change, as other key files are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from lbjwt.assembly.decryption import decryption_of
from lbjwt.assembly.kept_files import FilesReadOnce, KeptFiles
from lbjwt.errors import LbjwtError
from lbjwt.files import signature_of
from lbjwt.keys.errors import sentence_of
from lbjwt.keys.log import SourceLog
from lbjwt.net.threads import in_thread

if TYPE_CHECKING:
    from pathlib import Path

    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.auth.encrypted import Decryption
    from lbjwt.config.decryption import Jwe

log = logging.getLogger("lbjwt.jwks")


class DecryptionFiles:
    """
    Has a thread read the files of `jwe` sections that were replaced or written to. All files of an issuer are needed: while one cannot be used, the
    keys in force stay.

    Args:
        use: Called with the new keys of issuers, by index; returns whether they differ from those in force.
        logs: Every worker reads the same files, and the first one logs it.
    """

    def __init__(
        self,
        instances: Iterable[IssuerInstance],
        use: Callable[[Mapping[int, Decryption]], bool],
        *,
        logs: bool = True,
    ) -> None:
        watched: dict[str, _Watched] = {}
        for one in instances:
            if one.issuer.jwe is not None:
                watched.setdefault(one.label, _Watched(one.label, one.issuer.jwe)).indexes.append(one.index)
        self.contents: dict[tuple[str, ...], tuple[bytes, ...]] = {}
        """Of the files that were read again and used."""
        self._watched = list(watched.values())
        self._use = use
        self._logs = logs
        self._reading: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Begin to read what was replaced, unless that is under way."""
        if self._reading is None or self._reading.done():
            changed = [one for one in self._watched if one.has_changed()]
            if changed:
                self._reading = asyncio.get_running_loop().create_task(self._read(changed), name="decryption keys")

    async def _read(self, changed: Iterable[_Watched]) -> None:
        for one in changed:
            read = FilesReadOnce(KeptFiles())
            try:
                found = await in_thread(decryption_of, one.jwe, read)
                assert found is not None
                is_new = self._use(dict.fromkeys(one.indexes, found))
                self.contents |= read.contents
            except LbjwtError as error:
                if self._logs:
                    one.log.failed(sentence_of(error), in_force=True)
                continue
            if self._logs:
                one.log.recovered()
                if is_new:
                    log.info("issuer %s: %d new keys for decryption are in force", one.label, len(found.keys))

    def stop(self) -> None:
        """Give up what is under way."""
        if self._reading is not None:
            self._reading.cancel()


class _Watched:
    """The files of one section, and the issuers that it holds for: one for each tenant."""

    def __init__(self, label: str, jwe: Jwe) -> None:
        self.label = label
        self.jwe = jwe
        self.indexes: list[int] = []
        self.log = SourceLog(", ".join(map(str, jwe.key_files)))
        self._seen: list[object] | None = (
            None  # what was written before the first look may have been read before, or not
        )

    def has_changed(self) -> bool:
        """Since the last call."""
        before, self._seen = self._seen, [_signature(file) for file in self.jwe.key_files]
        return before != self._seen


def _signature(file: Path) -> object:
    try:
        return signature_of(file.stat())
    except OSError:
        return None
