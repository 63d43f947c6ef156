"""The directives of an nginx configuration with its included files, and which of them apply to a location."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import crossplane

from lbjwt.imports.errors import ImportFailure
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.reading import readable
from lbjwt.imports.words import Words

_IS_SECRET: Final = re.compile(r"key(?!_(?:file|request|cache))|secret|passw|token|credential|_by_lua|_block$")


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive; `block` are those within its braces."""

    name: str
    args: Words
    place: Place
    block: "tuple[Directive, ...]" = field(default=())

    def __str__(self) -> str:
        """Its name and first argument: others may be secrets. Of a secret or a script only its name."""
        shown = 0 if _IS_SECRET.search(self.name) or "\n" in self.args[0] else 1
        return " ".join([self.name, *self.args[:shown], *(["…"] if len(self.args) > shown else [])])

    def all(self, *names: str) -> "list[Directive]":
        return [one for one in self.block if one.name in names]

    def first(self, *names: str) -> "Directive | None":
        return next(iter(self.all(*names)), None)


Levels = tuple[Directive, ...]
"""The blocks around a place, the outermost first."""


def inherited(levels: Levels, name: str) -> list[Directive]:
    """The directives of a name that apply: those of the innermost block that has any."""
    for block in reversed(levels):
        if found := block.all(name):
            return found
    return []


def setting(levels: Levels, name: str) -> Directive | None:
    """The one directive of a name that applies."""
    found = inherited(levels, name)
    return found[-1] if found else None


def read_file(path: Path, findings: Findings) -> Directive:
    """
    The http block; of a file that is included in one, all of it.

    Raises:
        ImportFailure: The file cannot be read, or is no nginx configuration.
    """
    readable(path)
    payload: dict[str, Any] = crossplane.parse(str(path), check_ctx=False, check_args=False)
    for fault in payload["errors"]:
        message = re.sub(r" in \S+$", "", str(fault["error"]).splitlines()[0])
        if "recursion" in message:
            raise ImportFailure(f"{fault['file']}: is nested too deeply")
        if "No such file" not in message:
            raise ImportFailure(f"{fault['file']}:{fault.get('line') or 1}: {message}")
        findings.left_out(Place(str(fault["file"]), fault.get("line") or 1), f"an included file: {message}")
    parsed = tuple(_directives(payload["config"], payload["config"][0]["parsed"], (0,)))
    for directive in parsed:
        if directive.name == "http":
            return directive
        if directive.name in ("stream", "mail"):
            findings.left_out(directive.place, f"the block {directive.name}; lbjwt balances HTTP only")
    if not any(directive.name in ("server", "upstream", "location") for directive in parsed):
        raise ImportFailure(f"{path}:1: has no http block and no server")
    if any(directive.name == "location" for directive in parsed):
        parsed = (Directive("server", Words(), Place(str(path), 1), parsed),)
    return Directive("http", Words(), Place(str(path), 1), parsed)


def _directives(
    files: list[dict[str, Any]], parsed: list[dict[str, Any]], within: tuple[int, ...]
) -> Iterator[Directive]:
    """
    The directives of a file, with those of included files in place of ``include``. One that names no file here stays, because what it would ask for
    is not known.

    Args:
        within: Indices of the file and of those that include it.
    """
    name = files[within[-1]]["file"]
    for one in parsed:
        for index in one.get("includes", ()):
            if index in within:
                raise ImportFailure(f"{name}:{one['line']}: includes itself")
            yield from _directives(files, files[index]["parsed"], (*within, index))
        if not one.get("includes"):
            block = tuple(_directives(files, one.get("block") or [], within))
            yield Directive(one["directive"], Words(one["args"]), Place(name, one["line"]), block)


def seconds_of(text: str) -> float | None:
    """A time such as ``60s``, ``1h 30m`` or ``60``; None for any other text."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "": 1}
    if not re.fullmatch(r"(?:[0-9]+(?:ms|[smhdw])?\s*)+", text):
        return None
    return sum(int(number) * units[unit] for number, unit in re.findall(r"([0-9]+)(ms|[smhdw])?", text))


def bytes_of(text: str) -> int | None:
    """A size such as ``1m`` or ``512k``; None for any other text."""
    match = re.fullmatch(r"([0-9]+)([kKmMgG]?)", text)
    return None if match is None else int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2].lower()]
