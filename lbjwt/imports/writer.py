"""
A draft as YAML, written as a person would: short lists on one line, remarks behind the values that they are about.

Strings that YAML could read as anything else are quoted as in JSON, which YAML 1.2 includes.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lbjwt.imports.draft import Noted

_WIDTH: Final = 110  # characters of a line with a whole list or mapping on it
_BLOCK_LEVELS: Final = 3  # sections, their entries and the keys of those stand on lines of their own
# A string that is a string without quotes too, in a list as well as alone, unless it is a number.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./@%+-]*(?::[A-Za-z0-9_./@%+-]+)*")
_NUMBER: Final = re.compile(r"[0-9][0-9._]*(?:[eE][-+]?[0-9]+)?|0[xob][0-9A-Fa-f]+")
_WORDS: Final = re.compile(r"~|null|true|false|yes|no|on|off", re.IGNORECASE)


def write(configuration: Mapping[str, Any], title: str) -> str:
    """The YAML text, with the title as a comment before it."""
    pages = [f"# {title}"]
    pages += ["\n".join(_entry(key, value, int(key == "claim_to_headers"))) for key, value in configuration.items()]
    return "\n\n".join(pages) + "\n"


def _entry(key: Any, value: Any, level: int) -> Iterator[str]:
    """The lines of one key of a mapping."""
    bare, remark = _bare(value)
    name = f"{_key(key)}:"
    if not isinstance(bare, Mapping | list | tuple):
        if isinstance(bare, str) and "\n" in bare:
            yield f"{name} |"
            yield from (f"  {line}" for line in bare.rstrip("\n").split("\n"))
        else:
            yield _with(f"{name} {_scalar(bare)}", remark)
        return
    if not bare or _fits(bare, level):
        yield _with(f"{name} {_flow(bare)}", "; ".join([*([remark] if remark else []), *_remarks(bare)]))
        return
    yield _with(name, remark)
    yield from (f"  {line}" for line in _lines(bare, level + 1))


def _lines(value: Any, level: int) -> Iterator[str]:
    """A mapping or list in block style."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _entry(key, inner, level)
        return
    for item in value:
        bare, remark = _bare(item)
        if not isinstance(bare, Mapping | list | tuple) or _fits(bare, level + 1):
            text = _flow(bare)
            yield _with(f"- {text}", "; ".join([*([remark] if remark else []), *_remarks(bare)]))
            continue
        first, *rest = _lines(bare, level + 1)
        yield f"- {first}"
        yield from (f"  {line}" for line in rest)


def _fits(value: Any, level: int) -> bool:
    """Whether a mapping or list stands on one line."""
    if isinstance(value, list | tuple) and all(
        not isinstance(_bare(item)[0], Mapping | list | tuple) for item in value
    ):
        return len(_flow(value)) <= _WIDTH
    return level >= _BLOCK_LEVELS and _depth(value) <= 2 and len(_flow(value)) <= _WIDTH and "\n" not in repr(value)


def _bare(value: Any) -> tuple[Any, str]:
    return (value.value, value.remark) if isinstance(value, Noted) else (value, "")


def _depth(value: Any) -> int:
    bare, _ = _bare(value)
    inner = bare.values() if isinstance(bare, Mapping) else bare if isinstance(bare, list | tuple) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _remarks(value: Any) -> list[str]:
    """Those inside a value that stands on one line."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    found: list[str] = []
    for item in inner:
        bare, remark = _bare(item)
        found += [*([remark] if remark else []), *_remarks(bare)]
    return found


def _flow(value: Any) -> str:
    bare, _ = _bare(value)
    if isinstance(bare, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {_flow(inner)}" for key, inner in bare.items()) + "}"
    if isinstance(bare, list | tuple):
        return "[" + ", ".join(map(_flow, bare)) + "]"
    return _scalar(bare)


def _key(key: Any) -> str:
    return key if isinstance(key, str) and re.fullmatch("[a-z_]+", key) else _scalar(key)


def _scalar(value: Any) -> str:
    if (
        isinstance(value, str)
        and _PLAIN.fullmatch(value)
        and not _WORDS.fullmatch(value)
        and not _NUMBER.fullmatch(value)
    ):
        return value
    return json.dumps(value, ensure_ascii=False)


def _with(line: str, remark: str) -> str:
    return f"{line}  # {' '.join(remark.split())}" if remark else line
