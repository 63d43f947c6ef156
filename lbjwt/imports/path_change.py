"""
Paths that other products change before they pass a request on, as `rewrite` of a route.

lbjwt replaces the whole path of a route, or its prefix in whole segments. A change that does anything else to some path is not translated.
"""

import re
from dataclasses import dataclass
from typing import Final

from lbjwt.errors import ConfigurationError
from lbjwt.imports.matching import Path
from lbjwt.routing.rewrite import PathTemplate

# The literal beginning of an expression, and what may follow it: the rest of the path in a group or not.
_ANCHORED: Final = re.compile(
    r"\^?(?P<start>/(?:[A-Za-z0-9/_~%=@:-]|\\[./_-])*)(?P<rest>\(\.\*\)|\(/\.\*\)\??|\.\*|)(?P<end>\$?)"
)
_GROUP: Final = re.compile(r"(?:\\1|\$1|\$\{1\})$")


@dataclass(frozen=True, slots=True)
class PathChange:
    """
    What becomes of the paths below `start`.

    Attributes:
        start: A prefix in whole segments, without a slash at its end; "" for every path. Or a whole path.
        new: What stands in its place, also without a slash at its end. Or the whole new path.
        whole: The path is `start`, and nothing is below it.
        within: It also changes paths that go on within the segment, such as `/apix` for `/api`; lbjwt does not.
    """

    start: str
    new: str
    whole: bool = False
    within: bool = False

    @classmethod
    def of_prefix(cls, start: str, new: str) -> "PathChange | None":
        """
        A prefix that is replaced character by character, as nginx and Envoy do; None where that ends within a segment or makes an empty one.
        """
        if start.endswith("/") is not new.endswith("/") or "//" in new:
            return None
        return _usable(cls(start.rstrip("/"), new.rstrip("/"), within=not start.endswith("/")))

    @classmethod
    def of_path(cls, path: str, new: str) -> "PathChange | None":
        """One path that becomes another one."""
        return _usable(cls(path, new, whole=True))

    @classmethod
    def of_pattern(cls, pattern: str, new: str, *, all_of_it: bool) -> "PathChange | None":
        r"""
        A regular expression with a literal beginning, such as `^/api/(.*)$` and `/v1/\1`.

        Args:
            all_of_it: The whole path becomes `new`, whatever part of it matched (HAProxy, nginx); else only the part that matched does (Envoy).

        Returns:
            None for any other expression, and for one that loses or adds something else than a prefix.
        """
        match = _ANCHORED.fullmatch(pattern)
        if match is None or not pattern.startswith("^"):
            return None
        start, rest = re.sub(r"\\(.)", r"\1", match["start"]), match["rest"]
        kept, text = _GROUP.search(new) is not None, _GROUP.sub("", new)
        if re.search(r"[\\$%?]", text):
            return None
        if not rest and match["end"]:
            return None if kept else cls.of_path(start, text)
        if rest.startswith("(/"):  # the slash is in the group
            if not kept or start.endswith("/") or text.endswith("/") or (rest.endswith("?") and not text):
                return None
            return _usable(cls(start, text))
        if rest == "(.*)":
            return cls.of_prefix(start, text) if kept else None
        if rest or all_of_it or kept:
            return None
        return cls.of_prefix(start, text)

    def covers(self, path: str) -> bool:
        """Whether lbjwt changes a path."""
        if self.whole:
            return path == self.start
        return not self.start or path == self.start or path.startswith(f"{self.start}/")

    def applies(self, path: str) -> bool:
        """Whether the other product changes it."""
        return self.covers(path) or (self.within and path.startswith(self.start))

    def rewrite_of(self, path: Path) -> str | None:
        """The `rewrite` of a route with this path or prefix; None where none does the same."""
        if self.whole:
            return self.new if path.exact and path.text == self.start else None
        text = path.text if path.exact else path.text.rstrip("/")
        return self.new + text.removeprefix(self.start) or "/" if self.covers(text or "/") else None


def _usable(change: PathChange) -> PathChange | None:
    """Unless lbjwt would not forward the new path."""
    try:
        template = PathTemplate(change.new or "/")
    except ConfigurationError:
        return None
    return None if template.claims else change
