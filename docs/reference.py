"""
The reference part of ``reference.md``, made from the model so that it cannot say anything else.

``python -m docs.reference docs/reference.md`` rewrites the part between the two markers of that page; a test tells when it is due.
"""

import sys
import types
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from lbjwt.config.fields import Bytes, OrFalse, Percent, Seconds, Words
from lbjwt.config.model import Configuration
from lbjwt.config.rule import Rule
from lbjwt.config.section import Section, container_of, keys_of, section_in
from lbjwt.units import format_duration, format_percent, format_size

BEGIN: Final = "<!-- reference: begin (made by python -m docs.reference) -->"
END: Final = "<!-- reference: end -->"
_NAMES: Final = {
    "File": "file",
    "Path": "file",
    "Address": "address",
    "str": "text",
    "int": "number",
    "bool": "true or false",
}


def render() -> str:
    """Return the reference: one table for each section of the file, in the order of the file."""
    return "\n\n".join(_section(Configuration, "", "The whole file"))


def rewrite(page: str) -> str:
    """
    Return the page with the part between its markers made anew.

    Raises:
        ValueError: The page lacks a marker.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the reference")
    return f"{before}{BEGIN}\n\n{render()}\n\n{END}{after}"


def _section(section: type[Section], where: str, title: str) -> list[str]:
    rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    inner: list[str] = []
    # What must be given stands first: a section that shares keys with another has its own ones last.
    for name, field in sorted(keys_of(section).items(), key=lambda item: not item[1].is_required()):
        rows.append(
            f"| `{name}` | {_kind(field.annotation, field.metadata)} | {_default(field)} | {field.description} |"
        )
        child = section_in(field.annotation)
        if child is not None and not issubclass(section, child):
            step = {dict: ".<label>", tuple: "[]"}.get(container_of(field.annotation), "")
            path = f"{where}.{name}{step}".removeprefix(".")
            inner += _section(child, path, f"`{path}`")
    return [f"### {title}\n\n{(section.__doc__ or '').strip()}\n\n" + "\n".join(rows), *inner]


def _kind(annotation: Any, metadata: list[Any]) -> str:
    """The kind of value and its bounds, in words."""
    for mark in metadata:
        if isinstance(mark, OrFalse):
            return "mapping, or `false`"
        if isinstance(mark, Seconds):
            return f"duration, {format_duration(mark.least)} to {format_duration(mark.most)}"
        if isinstance(mark, Percent):
            return f"percentage, {format_percent(mark.least)} to {format_percent(mark.most)}"
        if isinstance(mark, Words):
            return mark.text
        if isinstance(mark, Bytes):
            return f"size, {format_size(mark.least)} to {format_size(mark.most)}"
    arguments = [argument for argument in get_args(annotation) if argument is not type(None) and argument is not ...]
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in arguments)
    if origin is tuple:
        return f"list of {_kind(arguments[0], [])}"
    if origin is dict:
        return f"label: {_kind(arguments[1], [])}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "rule" if issubclass(annotation, Rule) else "mapping"
    if hasattr(annotation, "__metadata__"):
        return _kind(annotation.__origin__, list(annotation.__metadata__))
    if origin in (Union, types.UnionType):
        return _kind(arguments[0], metadata)
    low = next((mark.ge for mark in metadata if isinstance(mark, annotated_types.Ge)), None)
    high = next((mark.le for mark in metadata if isinstance(mark, annotated_types.Le)), None)
    name = _NAMES.get(getattr(annotation, "__name__", ""), "text")
    return f"{name}, {low} to {high}" if low is not None and high is not None else name


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}) or isinstance(value, Section):
        return "–"
    kind = _kind(field.annotation, field.metadata)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = (
        format_duration(value)
        if kind.startswith("duration")
        else format_size(value)
        if kind.startswith("size")
        else format_percent(value)
        if kind.startswith("percentage")
        else f"[{', '.join(map(str, value))}]"
        if isinstance(value, tuple)
        else str(value)
    )
    return f"`{text}`"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(rewrite(page.read_text("utf-8")), "utf-8")
