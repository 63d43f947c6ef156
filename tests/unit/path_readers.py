"""How others read a path: the canonical one by the book, slowly and with other tools, and the readings of many kinds of back ends."""

from __future__ import annotations

import itertools
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]")


def canonical_by_the_book(path: bytes) -> bytes | None:
    """The path of RFC 3986 section 6.2.2 with the refusals of THREATS R2, one regular expression at a time. None: refused."""
    if not path.startswith(b"/") or re.search(rb"[^!-~]|[#?\\]|%(?![0-9A-Fa-f]{2})", path):
        return None
    if re.search(rb"%(?:2[Ff]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])", path):
        return None
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return None
    spelled = re.sub(rb"%..", _normal_escape, path)
    if re.search(rb"%25[0-9A-Fa-f]{2}", spelled):
        return None
    segments = resolved(re.split(rb"/+", spelled)[1:])
    for segment in segments:
        name = re.split(rb";|%3B|%3F|%23", segment)[0].replace(b"%20", b" ")
        if b"." in name and not name.strip(b". "):
            return None
    return b"/" + b"/".join(segments)


def _normal_escape(match: re.Match[bytes]) -> bytes:
    character = bytes([int(match[0][1:], 16)])
    return character if UNRESERVED.fullmatch(character) else match[0].upper()


def resolved(segments: list[bytes]) -> list[bytes]:
    """Without dot segments (RFC 3986 section 5.2.4); where the last one was, the path ends with a slash."""
    stack: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            del stack[-1:]
        elif segment != b".":
            stack.append(segment)
    if segments and segments[-1] in (b".", b".."):
        stack.append(b"")
    return stack


class BackEnd(NamedTuple):
    """What one kind of server does with the path it was sent before it looks for a handler."""

    decodings: int
    query_after_decoding: bool  # cuts at a "?" or "#" that came out of an escape
    backslashes: bool  # takes them for slashes
    parameters: bool  # cuts ";…" off each segment
    trims: bool  # dots and spaces at the end of a segment
    collapses: bool  # runs of slashes, dot segments
    folds: bool  # compares without regard to case
    slash_at_end: bool  # looks over one

    def read(self, path: bytes) -> list[bytes]:
        """The segments it looks for."""
        written = _written(path, self.decodings, self.query_after_decoding, self.backslashes, self.folds)
        return list(_segments(written, self.parameters, self.trims, self.collapses, self.slash_at_end))


# Styles have much in common, and are asked one after another for one path.


@lru_cache(10_000)
def _written(path: bytes, decodings: int, query_after_decoding: bool, backslashes: bool, folds: bool) -> bytes:
    """What is cut into segments."""
    for _ in range(decodings):
        path = unquote_to_bytes(path)
    if query_after_decoding:
        path = re.split(rb"[?#]", path)[0]
    if backslashes:
        path = path.replace(b"\\", b"/")
    return path.lower() if folds else path


@lru_cache(10_000)
def _segments(path: bytes, parameters: bool, trims: bool, collapses: bool, slash_at_end: bool) -> tuple[bytes, ...]:
    segments = path.split(b"/")[1:]
    if parameters:
        segments = [segment.split(b";")[0] for segment in segments]
    if trims:
        segments = [segment if segment in (b".", b"..") else segment.rstrip(b". ") for segment in segments]
    if collapses:
        segments = resolved([segment for segment in segments[:-1] if segment] + segments[-1:])
    if slash_at_end and len(segments) > 1 and not segments[-1]:
        del segments[-1]
    return tuple(segments)


KEEPS_AS_IS = BackEnd(0, False, False, False, False, False, False, False)
DECODES_ONCE = KEEPS_AS_IS._replace(decodings=1)
DECODES_TWICE = KEEPS_AS_IS._replace(decodings=2)
NORMALISES = BackEnd(1, False, True, True, True, True, True, True)
FOUR_STYLES = (KEEPS_AS_IS, DECODES_ONCE, DECODES_TWICE, NORMALISES)

ALL_STYLES = tuple(
    BackEnd(decodings, *switches)
    for decodings in (0, 1, 2)
    for switches in itertools.product((False, True), repeat=len(BackEnd._fields) - 1)
)
