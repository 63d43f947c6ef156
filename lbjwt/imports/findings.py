"""What an import did not take over as it stands: one line each, with its place in the file that was read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["left out", "approximated", "unsafe"]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file; lines count from 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that an operator must know about the imported configuration.

    Attributes:
        kind: ``left out``: the result lacks it. ``approximated``: the result does something else for some requests. ``unsafe``: it was taken over,
            and is dangerous in both programs.
        text: What it is, and what to write instead.
    """

    kind: Kind
    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place.file}:{self.place.line}: {self.kind}: {self.text}"


@dataclass(slots=True)
class Findings:
    """Collects findings; the same one at the same place counts once."""

    _found: dict[Finding, None] = field(default_factory=dict)

    def left_out(self, place: Place, text: str) -> None:
        self._found[Finding("left out", place, text)] = None

    def approximated(self, place: Place, text: str) -> None:
        self._found[Finding("approximated", place, text)] = None

    def unsafe(self, place: Place, text: str) -> None:
        self._found[Finding("unsafe", place, text)] = None

    @property
    def complete(self) -> bool:
        """True when nothing was left out."""
        return all(finding.kind != "left out" for finding in self._found)

    def __iter__(self) -> Iterator[Finding]:
        """In the order of the files' lines."""
        return iter(sorted(self._found, key=lambda finding: finding.place))
