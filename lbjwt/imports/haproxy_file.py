"""The sections and lines of an HAProxy configuration, and the conditions at the end of its rules."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lbjwt.imports.errors import ImportFailure
from lbjwt.imports.findings import Place
from lbjwt.imports.reading import readable
from lbjwt.imports.words import Words

_SECTIONS = (
    "global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "resolvers", "cache", "program", "http-errors", "mailers",
    "ring", "log-forward", "fcgi-app", "crt-store", "traces", "acme",
)  # fmt: skip
_WITH_DEFAULTS = ("frontend", "backend", "listen")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its words without quotes."""

    words: Words
    place: Place

    def __str__(self) -> str:
        """Its first words: others may be secrets."""
        shown = 3 if self.words[1].endswith("-header") else 2
        return " ".join([*self.words[:shown], *(["…"] if len(self.words) > shown else [])])

    def starts(self, *words: str) -> bool:
        return self.words[: len(words)] == words


@dataclass(slots=True)
class Section:
    """A section, with the lines of the ``defaults`` before it that it does not set itself."""

    kind: str
    name: str
    place: Place
    lines: list[Line] = field(default_factory=list)
    defaults: "Section | None" = None

    def all(self, *words: str) -> list[Line]:
        before = self.defaults.all(*words) if self.defaults is not None and words[0] in ("acl", "http-request") else []
        return [*before, *(line for line in self.lines if line.starts(*words))]

    def all_tcp(self) -> list[Line]:
        """Rules on connections, which sections take over from their defaults."""
        return [line for line in self.lines if line.words[0] in ("tcp-request", "tcp-response")]

    def last(self, *words: str) -> Line | None:
        """The line that applies; that of the defaults if the section has none."""
        found = self.all(*words)
        if found:
            return found[-1]
        return self.defaults.last(*words) if self.defaults is not None else None


def read_sections(path: Path) -> list[Section]:
    """
    Read a file.

    Raises:
        ImportFailure: It cannot be read, or is no HAProxy configuration.
    """
    sections: list[Section] = []
    defaults: Section | None = None
    named: dict[str, Section] = {}
    for number, words in _logical_lines(readable(path), path):
        place = Place(str(path), number)
        if words[0].startswith("."):
            if words[0] == ".if" and sections and sections[-1].kind != "global":
                raise ImportFailure(f"{path}:{number}: which branch of .if counts is not known; write only that one")
            continue
        if words[0] in _SECTIONS:
            name = words[1] if len(words) > 1 else ""
            before = named.get(words[-1], defaults) if words[-2:-1] == ["from"] else defaults
            section = Section(words[0], name, place, defaults=before if words[0] in _WITH_DEFAULTS else None)
            if words[0] == "defaults":
                section.defaults = named.get(words[-1]) if words[-2:-1] == ["from"] else None
                defaults = named[name] = section
            sections.append(section)
        elif sections:
            sections[-1].lines.append(Line(Words(words), place))
        else:
            raise ImportFailure(f"{path}:{number}: is no section of HAProxy: {words[0]}")
    if not any(section.kind in ("frontend", "listen") for section in sections):
        raise ImportFailure(f"{path}:1: has no frontend")
    return sections


def pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """Each word with the one after it, which is its value if it takes one; "" after the last."""
    return [(word, words[at + 1] if at + 1 < len(words) else "") for at, word in enumerate(words)]


def _logical_lines(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = _words(line)
        if words is None:
            raise ImportFailure(f"{path}:{number}: a quote is not closed")
        if words:
            yield number, words


def _words(line: str) -> list[str] | None:
    """The words of a line; None when a quote is not closed."""
    words: list[str] = []
    word, within, begun, escaped = "", "", False, False
    for character in line:
        if escaped:  # of any other character the backslash stays, as in an expression
            word, escaped = word + (character if character in " \\#\"'" else f"\\{character}"), False
        elif character == "\\" and within != "'":
            escaped = begun = True
        elif within:
            if character == within:
                within = ""
            else:
                word += character
        elif character in "'\"":
            within, begun = character, True
        elif character == "#":
            break
        elif character.isspace():
            if word or begun:
                words.append(word)
            word, begun = "", False
        else:
            word += character
    if within:
        return None
    return [*words, word] if word or begun else words


@dataclass(frozen=True, slots=True)
class Test:
    """An anonymous or named test: a sample with converters, the way it is compared, and with what."""

    sample: str
    how: str
    patterns: tuple[str, ...]
    place: Place
    ignore_case: bool = False
    from_file: bool = False


@dataclass(frozen=True, slots=True)
class Atom:
    """A test of a condition, or its opposite; the tests of a named one are alternatives."""

    tests: tuple[Test, ...]
    negated: bool


Condition = list[list[Atom]]
"""Alternatives, each a list of atoms that hold together."""

_NAMED = {
    "METH_GET": ("method", "GET"),
    "METH_POST": ("method", "POST"),
    "METH_OPTIONS": ("method", "OPTIONS"),
    "METH_HEAD": ("method", "HEAD"),
    "TRUE": ("always_true", ""),
    "FALSE": ("always_false", ""),
}


def read_acls(section: Section) -> dict[str, tuple[Test, ...]]:
    """The named tests of a section."""
    found: dict[str, tuple[Test, ...]] = {}
    for line in section.all("acl"):
        if len(line.words) > 2:
            found[line.words[1]] = (*found.get(line.words[1], ()), read_test(line.words[2:], line.place))
    return found


def read_test(words: Words, place: Place) -> Test:
    """Read a sample and what it is compared with."""
    sample, rest = words[0], list(words[1:])
    how, ignore, from_file = "", False, False
    patterns: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "-m" and rest:
            how = rest.pop(0)
        elif word == "-i":
            ignore = True
        elif word == "-f" and rest:
            from_file, patterns = True, [*patterns, rest.pop(0)]
        elif word in ("-n", "-u", "-M"):
            continue
        elif word == "--":
            patterns += rest
            break
        else:
            patterns.append(word)
    return Test(sample, how, tuple(patterns), place, ignore, from_file)


def split_condition(words: Words) -> tuple[Words, str, Words]:
    """The rule, ``if``, ``unless`` or nothing, and the words of the condition."""
    for at, word in enumerate(words):
        if word in ("if", "unless"):
            return words[:at], word, words[at + 1 :]
    return words, "", Words()


def read_condition(words: Words, acls: dict[str, tuple[Test, ...]], place: Place) -> Condition:
    """Read the words after ``if`` or ``unless``."""
    groups: Condition = [[]]
    negated, at = False, 0
    while at < len(words):
        word = words[at]
        at += 1
        if word in ("or", "||", "OR"):
            groups.append([])
            continue
        if word.startswith("!"):
            negated, word = not negated, word[1:]
            if not word:
                continue
        if word == "{":
            end = next((index for index in range(at, len(words)) if words[index] == "}"), len(words))
            tests: tuple[Test, ...] = (read_test(words[at:end], place),) if end > at else ()
            at = end + 1
        elif word in acls:
            tests = acls[word]
        elif word in _NAMED:
            sample, pattern = _NAMED[word]
            tests = (Test(sample, "", (pattern,), place),)
        else:
            tests = (Test(word, "", (), place),)
        groups[-1].append(Atom(tests, negated))
        negated = False
    return groups


def split_sample(sample: str) -> list[tuple[str, str]]:
    """Fetch and converters with their arguments: ``var(txn.exp),sub(txn.now)`` is ``[("var", "txn.exp"), ("sub", "txn.now")]``."""
    steps: list[tuple[str, str]] = []
    for match in re.finditer(r"([A-Za-z0-9_.]+)(?:\(((?:[^()]|\([^()]*\))*)\))?(?:,|$)", sample):
        steps.append((match[1], (match[2] or "").strip()))
    return steps
