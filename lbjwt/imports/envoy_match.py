"""Envoy's matches on requests: of routes, of rules of the JWT filter, and of permissions."""

from dataclasses import dataclass, field

from lbjwt.imports.common import usable_path
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.literals import beginning, matches, paths_of
from lbjwt.imports.matching import METHODS, Path, Request
from lbjwt.imports.reading import Value


@dataclass(slots=True)
class Match:
    """
    Which requests are meant.

    Attributes:
        unknown: What else is asked for, which a route of lbjwt cannot ask; "" if nothing.
        beginnings: Prefixes that may end within a segment.
    """

    place: Place
    meant: list[tuple[Path, str]] = field(default_factory=list)
    methods: tuple[str, ...] = ()
    unknown: str = ""

    @property
    def paths(self) -> list[Path]:
        return [path for path, _ in self.meant]

    @property
    def beginnings(self) -> list[str]:
        return [path.text for path, how in self.meant if how == "beginning" and path.text != "/"]

    def covers(self, request: Request) -> bool:
        """Whether it means a request, apart from what is unknown."""
        method = request.method == "HEAD" and "GET" in self.methods
        return matches(self.meant, request.path) and (not self.methods or request.method in self.methods or method)


def read_match(value: Value | None, findings: Findings) -> Match | None:
    """Read a RouteMatch; None when its path cannot be translated, without a finding."""
    if value is None:
        return None
    match = Match(value.place)
    if (text := value.text("prefix")) != "":
        match.meant = beginning(text)
    elif (text := value.text("path")) != "":
        match.meant = [(Path(text, True), "exact")]
    elif (text := value.text("path_separated_prefix")) != "":
        match.meant = [(Path(text), "tree")]
    elif (regex := value.get("safe_regex")) is not None:
        regex.get("google_re2")
        match.meant = paths_of(regex.text("regex"), whole=True) or []
    if not match.meant or not all(usable_path(path.text, findings, value.place) for path in match.paths):
        return None
    for header in value.members("headers"):
        add_header(match, header)
    if value.get("query_parameters") is not None:
        match.unknown = "query parameters"
    if value.text("case_sensitive") == "false":
        match.unknown = "a path in any case"
    return match


def add_header(match: Match, header: Value) -> None:
    """Add a condition on a header; the method is one in Envoy."""
    name = header.text("name")
    wanted = header.text("exact_match") or header.text("string_match", "exact")
    several = header.text("string_match", "safe_regex", "regex") or header.text("safe_regex_match", "regex")
    words = [wanted] if wanted else several.strip("^$()").split("|") if several else []
    if name == ":method" and words and all(word in METHODS for word in words) and not header.get("invert_match"):
        match.methods = tuple(words)
    else:
        match.unknown = f"the header {name}"
        header.skip()
