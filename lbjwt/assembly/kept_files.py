"""
What the files of a configuration held when they were put into force: certificates, private keys, authorities, key files and secrets.

Every worker reads these files. One that takes the place of a worker that died must not depend on them: a file may be broken, or half replaced, at
that moment, and the others go on with what they have. So workers hand what is in force to the supervisor, and it forks the next ones with that
(`lbjwt.process.files`). It is in memory alone, never on disk.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import orjson

from lbjwt.files import read_content

Contents = Mapping[tuple[str, ...], tuple[bytes, ...]]
"""By the paths of files that belong together, their contents."""


class KeptFiles:
    """
    The files as the process before had them, for the start of this one; and as this one has them, for the next.

    Args:
        contents: Nothing in a process that takes nobody's place.
    """

    def __init__(self, contents: Contents | None = None) -> None:
        self._contents: Contents = contents or {}
        self.in_force: Callable[[], Contents] = dict
        """What the files held of which everything in force was made; set by who puts it into force."""

    def of(self, paths: Sequence[Path]) -> Sequence[bytes]:
        """See `lbjwt.files.Kept`."""
        return self._contents.get(names_of(paths), ())

    def forget(self) -> None:
        """The start is over: from now on a file that cannot be used is a mistake of a reload."""
        self._contents = {}


class FilesReadOnce:
    """
    Reads files that a start and a reload need whole, and keeps what they held. In a process that takes another one's place, at the start: what they
    held there. Those that are watched are looked at right afterwards.
    """

    def __init__(self, kept: KeptFiles) -> None:
        self.contents: dict[tuple[str, ...], tuple[bytes, ...]] = {}
        """Of those that were read."""
        self._kept = kept

    def __call__(self, path: Path, most: int) -> bytes:
        """As `lbjwt.files.read_content`."""
        kept = self._kept.of((path,))
        content = kept[0] if kept else read_content(path, most)
        self.contents[names_of((path,))] = (content,)
        return content


def names_of(paths: Iterable[Path]) -> tuple[str, ...]:
    """The key of files that belong together in `Contents`."""
    return tuple(map(str, paths))


def encoded(contents: Contents) -> bytes:
    """As JSON."""
    return orjson.dumps(
        [[list(names), [base64.b64encode(content).decode() for content in held]] for names, held in contents.items()]
    )


def decoded(text: bytes) -> Contents:
    """Read what `encoded` wrote."""
    return {tuple(names): tuple(map(base64.b64decode, held)) for names, held in orjson.loads(text)}
