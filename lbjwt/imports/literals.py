"""
Regular expressions on paths that say no more than a few paths and prefixes do, such as ``^/api/(users|orders)(/.*)?$``.

lbjwt has no regular expressions. Whatever is not surely one of these forms is not translated.
"""

import re
from itertools import product
from typing import Final

from lbjwt.imports.matching import Path

_MOST: Final = 50  # alternatives of one expression; more are no longer a list that somebody wants to read
_PART: Final = re.compile(
    r"(?P<text>(?:[A-Za-z0-9/_~%=@:-]|\\[./_-])+)|\((?:\?:)?(?P<group>(?:[A-Za-z0-9/_~%=@:|-]|\\[./_-])+)\)"
)
_TAILS: Final = {
    "": "beginning", "/": "below", "/.*": "below", "/.+": "below", ".*": "beginning", "(/|$)": "tree", "(/.*)?$": "tree", "(?:/|$)": "tree",
    "(?:/.*)?$": "tree", "$": "exact", "/?$": "both", "/.*$": "below", "/.+$": "below", ".*$": "beginning", "(.*)": "beginning",
    "(.*)$": "beginning", "/(.*)": "below", "/(.*)$": "below", "(/|$)(.*)": "tree", "(/?$|/.*)": "tree",
}  # fmt: skip


def paths_of(pattern: str, *, whole: bool = False) -> list[tuple[Path, str]] | None:
    """
    Translate an expression.

    Args:
        whole: It must match the whole path, as in Envoy, rather than its beginning.

    Returns:
        Each path with how it is meant: ``exact``, ``tree`` (it and everything below), ``below`` (without it) or ``beginning`` (any continuation).
        None for any other expression.
    """
    if not whole:
        if not pattern.startswith("^"):
            return None
        pattern = pattern[1:]
    else:
        pattern = pattern.removeprefix("^").removesuffix("$") + "$"
    for tail in sorted(_TAILS, key=len, reverse=True):
        if not pattern.endswith(tail) or (not tail and pattern.endswith("$")):
            continue
        stems = _alternatives(pattern.removesuffix(tail))
        if stems is None or any(not stem.startswith("/") and (stem or tail[:1] != "/") for stem in stems):
            continue
        return [found for stem in stems for found in _meant(stem, _TAILS[tail])]
    return None


def beginning(text: str) -> list[tuple[Path, str]]:
    """A prefix that is compared character by character, as `paths_of` returns it."""
    return [(Path(text.rstrip("/") or "/"), "below" if text.endswith("/") and text != "/" else "beginning")]


def stem_of(pattern: str) -> Path:
    """The path below which everything lies that an expression matches; ``/`` if that is not certain."""
    if not pattern.startswith("^") or "|" in re.sub(r"\([^()]*\)", "", pattern):
        return Path("/")
    match = re.match(r"\^((?:/(?:[A-Za-z0-9_~-]|\\[._-])+)*)/(?![?*{])", pattern)
    return Path(re.sub(r"\\(.)", r"\1", match[1]) or "/") if match else Path("/")


def _alternatives(text: str) -> list[str] | None:
    """What a text with groups of alternatives can be; None if it has anything else."""
    parts: list[list[str]] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            return None
        words = [match["text"]] if match["text"] else match["group"].split("|")
        parts.append([re.sub(r"\\(.)", r"\1", word) for word in words])
        at = match.end()
    found = ["".join(words) for words in product(*parts)]
    return found if len(found) <= _MOST else None


def _meant(stem: str, how: str) -> list[tuple[Path, str]]:
    if how == "both":
        return [(Path(stem, True), "exact"), (Path(stem + "/", True), "exact")]
    if how == "exact":
        return [(Path(stem, True), "exact")]
    if stem.endswith("/"):
        return [(Path(stem.rstrip("/") or "/"), "below")]
    return [(Path(stem or "/"), how)]


def matches(found: list[tuple[Path, str]], path: str) -> bool:
    """Whether the expression matches a path."""
    for place, how in found:
        stem = place.text.rstrip("/")
        if how == "exact" and path == place.text:
            return True
        if how == "tree" and (path == stem or path.startswith(stem + "/")):
            return True
        if how == "below" and path.startswith(stem + "/"):
            return True
        if how == "beginning" and path.startswith(stem):
            return True
    return False
