"""
One YAML 1.2 document as plain data with the line and column of every part.

``read`` builds the nodes from parser events for three reasons: places are exact for keys and values, plain scalars follow the YAML 1.2 core
schema (``yes`` and ``1:30`` are text), and depth, size and the expansion of aliases are bounded while reading, against hostile files.

Refused besides bad syntax: a second document, duplicate keys, keys that are not text, ``<<`` merges, tags, another ``%YAML`` version.
"""

import re
from collections.abc import Iterator
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
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.syntax import character_fault, curly_quotes, fault_at, syntax_fault

MAX_BYTES: Final = 1 << 20  # a configuration of 1 MiB is a mistake, not a configuration
MAX_NODES: Final = 50_000  # values after the expansion of aliases: room for a thousand routes, read in seconds
MAX_DEPTH: Final = 32  # a rule in a rule, as deep as the model allows, stands at depth 21

# YAML 1.2.2 §10.3.2, the core schema, with a bounded number of digits.
_NULL: Final = re.compile(r"~|null|Null|NULL|")
_TRUE: Final = re.compile(r"true|True|TRUE")
_FALSE: Final = re.compile(r"false|False|FALSE")
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,30}", re.ASCII)
_BASED: Final = re.compile(r"0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(slots=True)
class Node:
    """A value of the document. Lines and columns count from 1."""

    data: Any
    line: int
    column: int
    children: dict[str | int, "Node"] = field(default_factory=dict)
    key_places: dict[str | int, tuple[int, int]] = field(default_factory=dict)
    weight: int = 1  # number of values in it, aliases expanded

    def find(self, path: tuple[str | int, ...]) -> "Node | None":
        """The node at a path of keys and indices; None when the document has none there."""
        node: Node | None = self
        for step in path:
            node = node.children.get(step) if node is not None else None
        return node

    def place(self, path: tuple[str | int, ...], *, key: bool = False) -> tuple[int, int]:
        """Line and column of the value at a path, of its key when asked, else of the nearest ancestor that the document has."""
        node = self
        for depth, step in enumerate(path):
            child = node.children.get(step)
            if child is None:
                return self.place(path[:depth], key=True)
            if key and depth == len(path) - 1 and step in node.key_places:
                return node.key_places[step]
            node = child
        return node.line, node.column


def read(text: str) -> tuple[Node | None, list[Problem]]:
    """
    Read the one document of a text.

    Returns:
        The root, None when reading stopped; and every fault up to there.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return None, [fault_at((1, 1), f"the file is larger than {MAX_BYTES >> 20} MiB")]
    # The scanner that skips comments needs two thirds of the time, and a reload competes with requests for the processor. Only the other one
    # says exactly where a mistake begins, and where a value is missing before a comment.
    reader = _Reader(YAML(typ="safe", pure=True).parse(text))
    try:
        root = reader.document()
        if root is not None and root.data is not None and not reader.faults and not reader.left_out:
            return root, []
    except (YAMLError, _StopReading):
        pass
    return _read_with_comments(text)


def _read_with_comments(text: str) -> tuple[Node | None, list[Problem]]:
    """As `read`, by the scanner that keeps comments."""
    reader = _Reader(YAML(typ="rt", pure=True).parse(text))
    try:
        root = reader.document()
        if root is None or root.data is None:
            return None, [*reader.faults, fault_at((1, 1), _EMPTY)]
        return root, reader.faults
    except MarkedYAMLError as error:
        reader.faults.append(syntax_fault(error, text, reader.last))
    except YAMLError as error:
        reader.faults.append(character_fault(error, text))
    except _StopReading:
        pass
    return None, reader.faults


_EMPTY: Final = "the configuration is empty; start from examples/minimal.yaml, or from the output of lbjwt serve with flags and --print-config"


class _StopReading(Exception):
    """Reading stops; the fault is in `faults`."""


class _Reader:
    def __init__(self, events: Iterator[Event]) -> None:
        self.faults: list[Problem] = []
        self.last: ScalarEvent | None = None
        self.left_out = False  # a key or a list item has no value
        self._events = events
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node | None:
        root = None
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._stopped(
                        event, (), "a second YAML document starts here; a configuration must be a single document"
                    )
                if event.version not in (None, (1, 2)):
                    self._fault(event, (), "lbjwt reads the file as YAML 1.2; remove the %YAML line")
            elif isinstance(event, NodeEvent):
                root = self._node(event, ())
        return root

    def _node(self, event: Event, path: KeyPath) -> Node:
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                raise self._stopped(event, path, "this alias has no anchor; define the anchor above it")
            return self._anchors[event.anchor]
        assert isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent)
        if event.tag is not None:
            self._fault(event, path, "YAML tags are not accepted; to make a value text, put it in quotes")
        node = Node(None, *_place(event))
        if isinstance(event, ScalarEvent):
            node.data = self._resolved(event) if self._is_plain(event, path) else str(event.value)
        elif len(path) >= MAX_DEPTH:
            raise self._stopped(event, path, f"the file is nested more than {MAX_DEPTH} levels deep")
        elif isinstance(event, MappingStartEvent):
            self._mapping(node, path)
        else:
            self._sequence(node, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _mapping(self, node: Node, path: KeyPath) -> None:
        """Read its keys and values. Of a duplicate key the last value is kept, to find its other faults."""
        node.data = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                raise self._stopped(event, path, "a key must be text, not a list, a mapping or an alias")
            key = str(event.value)
            if self._is_plain(event, path) and key == "<<":
                self._fault(event, (*path, key), "merge keys (<<) are not part of YAML 1.2; write the values out")
            elif key in node.children:
                first = node.key_places[key][0]
                self._fault(event, (*path, key), f"this key appears twice, first on line {first}; remove one")
            node.key_places[key] = _place(event)
            child = self._node(next(self._events), (*path, key))
            self._attach(node, key, child)
            node.data[key] = child.data

    def _sequence(self, node: Node, path: KeyPath) -> None:
        node.data = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            at = len(node.data)
            child = self._node(event, (*path, at))
            self._attach(node, at, child)
            node.data.append(child.data)

    def _attach(self, node: Node, step: str | int, child: Node) -> None:
        node.weight += child.weight
        if node.weight > MAX_NODES:
            self.faults.append(
                fault_at(
                    (child.line, child.column),
                    f"the file has more than {MAX_NODES} values, counted with all aliases expanded",
                )
            )
            raise _StopReading
        node.children[step] = child

    def _is_plain(self, event: ScalarEvent, path: KeyPath) -> bool:
        """True for a scalar without quotes. Curly quotes are a fault."""
        self.last = event
        if event.style:
            return False
        if curly := curly_quotes(str(event.value)):
            self._fault(event, path, curly)
        return True

    def _resolved(self, event: ScalarEvent) -> Any:
        text = str(event.value)
        if not text:
            self.left_out = True
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

    def _fault(self, event: Event, path: KeyPath, message: str) -> None:
        self.faults.append(fault_at(_place(event), message, path))

    def _stopped(self, event: Event, path: KeyPath, message: str) -> _StopReading:
        """Record a fault that ends the reading; the caller raises the result."""
        self._fault(event, path, message)
        return _StopReading()


def _place(event: Event) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
