"""
YAML and JSON files of other products: values that know their lines, and which of them nobody has asked for.

What a reader never asks for is left out of the result. So a key that this version does not know cannot be overlooked.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lbjwt.config import document
from lbjwt.config.document import Node
from lbjwt.imports.errors import ImportFailure
from lbjwt.imports.findings import Place

MAX_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Value:
    """
    A value of the file.

    Attributes:
        used: Somebody asked for it.
        skipped: Nothing in it needs to be asked for.
    """

    node: Node
    file: str
    line: int
    used: bool = False
    skipped: bool = False
    _children: dict[str | int, "Value"] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        return Place(self.file, self.line)

    @property
    def data(self) -> Any:
        """As plain data."""
        return self.node.data

    def get(self, *path: str | int) -> "Value | None":
        """The value at a path of keys and indices; a key may also be written in camel case. None when there is none, or it is null."""
        here: Value | None = self
        for step in path:
            here = here._child(step) if here is not None else None
        return None if here is None or here.data is None else here

    def text(self, *path: str | int) -> str:
        """The text at a path; "" when there is none. Numbers and booleans are written as in JSON."""
        found = self.get(*path)
        if found is None or isinstance(found.data, dict | list):
            return ""
        return found.data if isinstance(found.data, str) else json.dumps(found.data)

    def whole(self, *path: str | int) -> int | None:
        """The whole number at a path, also as text; None when there is none."""
        text = self.text(*path)
        return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None

    def items(self) -> "Iterator[tuple[str, Value]]":
        for key in [*self.node.children]:
            if isinstance(key, str) and (child := self._child(key)) is not None:
                yield key, child

    def members(self, *path: str | int) -> "list[Value]":
        """The members of the list at a path; [] when there is none."""
        found = self.get(*path)
        if found is None or not isinstance(found.data, list):
            return []
        return [child for at in range(len(found.data)) if (child := found._child(at)) is not None]

    def skip(self) -> None:
        """Nobody needs to ask for anything in it: a finding tells of it, or it has no effect."""
        self.skipped = True

    def unread(self, harmless: Iterable[str] = ()) -> "Iterator[tuple[str, Value]]":
        """Keys that nobody has asked for, with their paths; not those with a harmless name, and nothing below them."""
        ignored = {*harmless}
        for key in self.node.children:
            child = self._children.get(key)
            if isinstance(key, str) and key in ignored:
                continue
            if child is None or not child.used:
                yield str(key), Value(self.node.children[key], self.file, self._line(key))
            elif child._children and not child.skipped:
                yield from ((f"{key}.{inner}", value) for inner, value in child.unread(ignored))

    def _line(self, key: str | int) -> int:
        place = self.node.key_places.get(key)
        return self.line - self.node.line + (place[0] if place is not None else self.node.children[key].line)

    def _child(self, key: str | int) -> "Value | None":
        if key not in self.node.children and isinstance(key, str):
            key = re.sub(r"_(.)", lambda match: match[1].upper(), key)
        if key not in self.node.children:
            return None
        if key not in self._children:
            self._children[key] = Value(self.node.children[key], self.file, self._line(key))
        self._children[key].used = True
        return self._children[key]


def readable(path: Path) -> str:
    """
    The text of a file.

    Raises:
        ImportFailure: It cannot be read, is empty, is larger than 1 MiB, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImportFailure(f"{path}: cannot be read: {error.strerror or 'unknown reason'}") from None
    if len(data) > MAX_BYTES:
        raise ImportFailure(f"{path}: is larger than {MAX_BYTES >> 20} MiB")
    if not data.strip():
        raise ImportFailure(f"{path}: is empty; did the shell write the result into it?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ImportFailure(f"{path}: is not UTF-8") from None


def read_yaml(path: Path) -> Value:
    """
    Read a file of one YAML or JSON document.

    Raises:
        ImportFailure: It cannot be read, or is no YAML.
    """
    return _document(readable(path), str(path), 0)


def read_json(path: Path) -> list[Value]:
    """
    Read a file of one or several JSON documents in a row, as commands append them.

    Raises:
        ImportFailure: It cannot be read, or is no JSON.
    """
    text = readable(path)
    decoder, at, found = json.JSONDecoder(), 0, list[Value]()
    while rest := text[at:].lstrip():
        at = len(text) - len(rest)
        try:
            _, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise ImportFailure(f"{path}:{error.lineno}: is no JSON: {error.msg}") from None
        # JSON takes a tab as a space; YAML, which knows the lines, does not
        found.append(_document(text[at:end].replace("\t", " "), str(path), text.count("\n", 0, at)))
        at = end
    return found


def _document(text: str, file: str, lines_before: int) -> Value:
    root, faults = document.read(text)
    if root is None or not isinstance(root.data, dict):
        fault = faults[0] if faults else None
        why = f"{fault.line}: {fault.message}" if fault is not None else "1: is not a mapping of keys to values"
        raise ImportFailure(f"{file}:{why}")
    return Value(root, file, root.line + lines_before)
