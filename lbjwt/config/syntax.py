"""
Messages about text that is no YAML, at the place where the mistake began.

The parser reports where it noticed: for a quote or a bracket that is never closed, the end of the file.
"""

import re
from typing import Final

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import ScalarEvent

from lbjwt.config.problems import KeyPath, Problem

_BARE_IPV6: Final = re.compile(r"(?:^|[\s,{])\[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]:[0-9]")
_ODD_SPACE: Final = re.compile("[\u00a0\u2000-\u200b\u202f\u2060\u3000\ufeff]")
_CURLY: Final = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb"
_CURLY_QUOTES: Final = "YAML reads curly quotes as part of the value; write \" or '"
_FOUND: Final = re.compile(r"(?:found|got) '(.*)'$")


def fault_at(place: tuple[int, int], message: str, path: KeyPath = ()) -> Problem:
    return Problem(path, message, code="yaml", line=place[0], column=place[1])


def curly_quotes(text: str) -> str | None:
    """A sentence for a scalar in curly quotes; None for any other."""
    return _CURLY_QUOTES if text and (text[0] in _CURLY or text[-1] in _CURLY) else None


def syntax_fault(error: MarkedYAMLError, text: str, last: ScalarEvent | None) -> Problem:
    """
    The mistake behind an error of the parser.

    Args:
        last: The scalar that it read last: a quote without its end runs to the next quote, lines below.
    """
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    began = error.context_mark
    start = (began.line + 1, began.column + 1) if began is not None else (line, column)
    problem, context = str(error.problem or ""), str(error.context or "")
    lines = text.splitlines()
    if "mapping values" in problem and (above := _without_colon(lines, line)):
        line, column = above
        problem, context = "", "simple key"
        start = above
    here = lines[line - 1] if line <= len(lines) else ""
    found = _FOUND.search(problem)
    got = found[1] if found else ""
    place = (line, column)
    sentence = _sentence(problem, context, got)
    if "\t" in problem or r"'\t'" in problem:
        sentence = "YAML does not accept tabs as indentation; use spaces"
    elif _BARE_IPV6.search(here):
        sentence = 'an IPv6 address in brackets needs quotes, such as "[::1]:8080"'
    elif odd := _ODD_SPACE.search(here):
        place, sentence = (
            (line, odd.start() + 1),
            f"the line contains an unusual space character (U+{ord(odd[0]):04X}); replace it with a normal space",
        )
    elif "quoted scalar" in context and "unexpected" in problem:
        place, sentence = start, "the quote that begins here is never closed"
    elif got == "<scalar>" and last is not None and last.style in ("'", '"'):
        first, end = last.start_mark, last.end_mark
        if end.line > first.line:
            place = (first.line + 1, first.column + 1)
            sentence = f"the quote that begins here is closed only on line {end.line + 1}, where more text follows; close it on this line"
        elif end.line + 1 == line:
            sentence = "there is text behind the closing quote; put all of it in quotes, and write a ' inside '…' twice"
    elif "parsing a flow" in context and (line > start[0] or got == "<stream end>"):
        bracket, end_bracket = "[]" if "sequence" in context else "{}"
        place = start
        sentence = f"the {bracket} that begins here is not closed; add the missing {end_bracket} or comma"
        if got != "<stream end>":
            sentence += f" before line {line}"
    elif "simple key" in context:
        place = start
    elif quote := next((at for at, character in enumerate(here) if character in _CURLY), None):
        place, sentence = (line, quote + 1), _CURLY_QUOTES
    return fault_at(place, f"not YAML: {sentence}")


def _without_colon(lines: list[str], line: int) -> tuple[int, int] | None:
    """The place of the line above that lacks its colon, or the space after it, and so was joined with this line; None for another mistake."""
    above = next((at for at in range(line - 1, 0, -1) if lines[at - 1].strip()), 0)
    if not above or not re.match(r"\s*[\w-]+:(\s|$)", lines[line - 1]):
        return None
    text = lines[above - 1]
    if re.search(r":(\s|$)", text, re.ASCII) or text.lstrip().startswith(("-", "#")):
        return None
    return above, len(text) - len(text.lstrip()) + 1


def _sentence(problem: str, context: str, got: str) -> str:
    if "mapping values are not allowed" in problem:
        return 'there is a second "key:" on this line, or the line is indented too far; put a value that contains a colon and a space in quotes'
    if "sequence entries are not allowed" in problem:
        return "a list cannot begin on the line of its key; put the - on the next line, or the items in [ ]"
    if "parsing a flow" in context:
        return "add the missing comma before this; if the value contains a colon and a space, put it in quotes"
    if "simple key" in context:
        return "this line needs a colon and a space after its key; if it continues the text above, indent it further"
    if "scanning an a" in context:  # an anchor, an alias
        return "& and * at the beginning of a value have a special meaning in YAML; put the value in quotes"
    if "cannot start any token" in problem:
        return "YAML does not accept this character at the beginning of a value; put the value in quotes"
    if got in ("]", "}"):
        return f"there is no opening bracket for this {got}"
    if got == "-":
        return "a list item is among the keys of a mapping; indent it below its key"
    if got == "?":
        return "a key is among the items of a list; put a dash before it, or indent it below an item"
    if got == "<block mapping start>":
        return "the indentation matches no key above; align this key with the keys it belongs to"
    return f"{context}, {problem}" if context and problem else context or problem or "not readable"


def character_fault(error: YAMLError, text: str) -> Problem:
    """A character that YAML forbids (§5.1); its place is counted here because the reader knows only the offset."""
    position = getattr(error, "position", 0)
    position = position if isinstance(position, int) else 0
    before = text[:position]
    line = before.count("\n") + 1
    code = f" U+{ord(text[position]):04X}" if position < len(text) else ""
    return fault_at((line, position - before.rfind("\n")), f"not YAML: the character{code} is not allowed")
