"""
One YAML 1.2 document as plain data that remembers where every part of it stood.

Knows YAML and nothing of lbjwt's keys. ``read`` returns a tree of ``Node`` or raises ``DocumentError`` with every fault found and its place.
It builds from parser events instead of objects, for three reasons: places are exact for keys as well as values, plain scalars follow the
YAML 1.2 core schema only (``yes`` is text, ``1:30`` is text, no dates), and depth, size and the expansion of aliases are bounded while reading,
so that a hostile file costs seconds at most, and no memory.

Refused besides bad syntax: a second document, duplicate keys, keys that are not text, ``<<`` merges, tags, another ``%YAML`` version.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from lbjwt.config.syntax import Fault, character_fault, curly_quotes, syntax_fault

MAX_BYTES: Final = 1 << 20  # a configuration of 1 MiB is a mistake, not a configuration
MAX_NODES: Final = 50_000  # values after the expansion of aliases: room for a thousand routes, read in seconds
MAX_DEPTH: Final = 32  # a rule in a rule, as deep as the model allows, stands at depth 21

# YAML 1.2.2 §10.3.2, the core schema. Integers and numbers are bounded in digits: nobody configures a value of a hundred digits.
_NULL: Final = re.compile(r"~|null|Null|NULL|")
_TRUE: Final = re.compile(r"true|True|TRUE")
_FALSE: Final = re.compile(r"false|False|FALSE")
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,30}", re.ASCII)
_BASED: Final = re.compile(r"0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class DocumentError(Exception):
    """
    The text is not one acceptable YAML document.

    Attributes:
        faults: At least one.
        root: What could be read all the same; None when reading stopped.
    """

    def __init__(self, faults: list[Fault], root: "Node | None" = None) -> None:
        super().__init__(faults[0].message)
        self.faults = faults
        self.root = root


@dataclass(slots=True)
class Node:
    """A value of the document: its plain data, its place (from 1), its children by key or index, and the places of a mapping's keys."""

    data: Any
    line: int
    column: int
    children: dict[str | int, "Node"] = field(default_factory=dict)
    key_places: dict[str | int, tuple[int, int]] = field(default_factory=dict)
    weight: int = 1  # number of values in it, aliases expanded

    def find(self, path: tuple[str | int, ...]) -> "Node | None":
        """Return the node at a path of keys and indices, None when the document has none there."""
        node: Node | None = self
        for step in path:
            node = node.children.get(step) if node is not None else None
        return node

    def place(self, path: tuple[str | int, ...], *, key: bool = False) -> tuple[int, int]:
        """Return line and column of the value at a path, of its key when asked, else of the nearest ancestor that the document has."""
        node = self
        for depth, step in enumerate(path):
            child = node.children.get(step)
            if child is None:
                # The whole of a mapping is shown by its first line, which the key that holds it is.
                return self.place(path[:depth], key=True)
            if key and depth == len(path) - 1 and step in node.key_places:
                return node.key_places[step]
            node = child
        return node.line, node.column


def read(text: str) -> Node:
    """
    Read the one document of a text. An empty document is an empty mapping.

    Raises:
        DocumentError: With every fault that could be found; after a syntax fault nothing more is looked for.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise DocumentError([Fault(1, 1, (), f"the file is larger than {MAX_BYTES >> 20} MiB")])
    builder = _Builder()
    try:
        for event in YAML(typ="rt", pure=True).parse(text):
            builder.feed(event)
    except MarkedYAMLError as error:
        raise DocumentError([*builder.faults, syntax_fault(error, text, builder.last)]) from None
    except YAMLError as error:
        raise DocumentError([*builder.faults, character_fault(error, text)]) from None
    except _StopReading:
        raise DocumentError(builder.faults) from None
    root = builder.root or Node({}, 1, 1)
    if builder.faults:
        raise DocumentError(builder.faults, root)
    return root


class _StopReading(Exception):
    """What follows is not read; not an error by itself, the fault is noted."""


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come; ``key`` waits for its value, None when a key (or an item) is due."""

    node: Node
    path: tuple[str | int, ...]
    anchor: str | None
    is_mapping: bool
    key: str | None = None
    key_due: bool = True


class _Builder:
    """Turns parser events into nodes."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.faults: list[Fault] = []
        self.last: ScalarEvent | None = None
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._documents = 0

    def feed(self, event: Event) -> None:
        """Take one event."""
        match event:
            case DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._stopped(event, "a second document starts here; a configuration is one document")
                if event.version not in (None, (1, 2)):
                    self._fault(event, "the file is read as YAML 1.2; remove the %YAML line")
            case ScalarEvent():
                self.last = event
                self._scalar(event)
            case AliasEvent():
                self._alias(event)
            case MappingStartEvent() | SequenceStartEvent():
                self._start(event)
            case MappingEndEvent() | SequenceEndEvent():
                closed = self._open.pop()
                if closed.anchor is not None:
                    self._anchors[closed.anchor] = closed.node
                self._attach(closed.node)

    def _path(self) -> tuple[str | int, ...]:
        """Where the value that comes next belongs."""
        if not self._open:
            return ()
        top = self._open[-1]
        if not top.is_mapping:
            return (*top.path, len(top.node.data))
        return top.path if top.key is None else (*top.path, top.key)

    def _scalar(self, event: ScalarEvent) -> None:
        top = self._open[-1] if self._open else None
        line, column = _place(event)
        plain = event.style is None or event.style == ""
        if plain and (curly := curly_quotes(str(event.value))):
            self._fault(event, curly)
        if top is not None and top.is_mapping and top.key_due:
            self._key(top, event, plain)
            return
        self._tagless(event)
        node = Node(self._resolve(event) if plain else str(event.value), line, column)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._attach(node)

    def _key(self, top: _Open, event: ScalarEvent, plain: bool) -> None:
        """Take the key of a mapping. Of a key that stands there twice the last value counts, for what else is wrong."""
        key = str(event.value)
        path = (*top.path, key)
        if plain and key == "<<":
            message = "merge keys (<<) are not part of YAML 1.2; write the values out"
            self.faults.append(Fault(*_place(event), path, message))
        elif key in top.node.children:
            first = top.node.key_places[key][0]
            message = f"this key is here twice, first on line {first}"
            self.faults.append(Fault(*_place(event), path, message))
        top.node.key_places[key] = _place(event)
        top.key, top.key_due = key, False

    def _start(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        top = self._open[-1] if self._open else None
        if top is not None and top.is_mapping and top.key_due:
            raise self._stopped(event, "a key is text, not a list or a mapping")
        if len(self._open) >= MAX_DEPTH:
            raise self._stopped(event, f"nested more than {MAX_DEPTH} levels deep")
        self._tagless(event)
        is_mapping = isinstance(event, MappingStartEvent)
        node = Node({} if is_mapping else [], *_place(event))
        self._open.append(_Open(node, self._path(), event.anchor, is_mapping))

    def _alias(self, event: AliasEvent) -> None:
        if self._open and self._open[-1].is_mapping and self._open[-1].key_due:
            raise self._stopped(event, "a key is text, not an alias")
        node = self._anchors.get(event.anchor)
        if node is None:
            raise self._stopped(event, "the alias has no anchor before it")
        self._attach(node)

    def _attach(self, node: Node) -> None:
        """Put a complete value where it belongs."""
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        top.node.weight += node.weight
        if top.node.weight > MAX_NODES:
            self.faults.append(Fault(node.line, node.column, (), f"more than {MAX_NODES} values, aliases expanded"))
            raise _StopReading
        if not top.is_mapping:
            top.node.children[len(top.node.data)] = node
            top.node.data.append(node.data)
        elif top.key is not None:
            top.node.children[top.key] = node
            top.node.data[top.key] = node.data
            top.key, top.key_due = None, True

    def _tagless(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> None:
        if event.tag is not None:
            self._fault(event, "tags are not accepted; to keep a value as text, put it in quotes")

    def _resolve(self, event: ScalarEvent) -> Any:
        """Return the value of a plain scalar under the core schema."""
        text = str(event.value)
        if _NULL.fullmatch(text):
            return None
        if _TRUE.fullmatch(text):
            return True
        if _FALSE.fullmatch(text):
            return False
        if _INTEGER.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
        if _NUMBER.fullmatch(text):
            return float(text)
        if _NOT_FINITE.fullmatch(text):
            return float(text.replace(".", "", 1))
        return text

    def _fault(self, event: Event, message: str) -> None:
        self.faults.append(Fault(*_place(event), self._path(), message))

    def _stopped(self, event: Event, message: str) -> "_StopReading":
        """Note a fault after which nothing more is read; the caller raises what comes back."""
        self._fault(event, message)
        return _StopReading()


def _place(event: Event) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
