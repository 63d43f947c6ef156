"""
HAProxy: frontends as listeners and routes. What its rules ask of a token is collected rule by rule for each request, as HAProxy would run them.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Final

from lbjwt.errors import ConfigurationError
from lbjwt.imports.common import host_of, usable_path
from lbjwt.imports.draft import Draft, shut
from lbjwt.imports.errors import ImportFailure
from lbjwt.imports.findings import Findings, Place
from lbjwt.imports.haproxy_backend import Backends
from lbjwt.imports.haproxy_edge import PATH_CHANGES, Edge
from lbjwt.imports.haproxy_file import (
    Atom,
    Line,
    Section,
    Test,
    read_acls,
    read_condition,
    read_sections,
    split_condition,
)
from lbjwt.imports.haproxy_issuer import Issuers
from lbjwt.imports.haproxy_token import (
    Fact,
    Formula,
    Variables,
    conjunction,
    disjunction,
    expand,
    fact_of,
    is_unknown,
    names_token,
    negation,
)
from lbjwt.imports.literals import matches, paths_of
from lbjwt.imports.matching import METHODS, UNKNOWN, Decision, Path, Request
from lbjwt.imports.path_change import PathChange
from lbjwt.imports.words import Words
from lbjwt.routing.table import check_path

_PATHS: Final = {"path": "exact", "path_beg": "beginning", "path_dir": "tree", "path_reg": "regex"}
_KEEPS_PATH: Final = ("url_dec", "lower", "upper")
"""Converters after which a path is still the path, in some case."""


@dataclass(slots=True)
class _Scene:
    """One frontend with what its rules set before."""

    section: Section
    acls: dict[str, tuple[Test, ...]]
    variables: Variables = field(default_factory=dict)


def read(path: FilePath, draft: Draft, findings: Findings) -> None:
    """
    Read ``haproxy.cfg``.

    Raises:
        ImportFailure: It cannot be read, or has no frontend in mode http.
    """
    sections = read_sections(path)
    frontends = [one for one in sections if one.kind in ("frontend", "listen") and _is_http(one) and one.all("bind")]
    for one in sections:
        if one.kind in ("frontend", "listen") and one not in frontends:
            findings.left_out(one.place, f"{one.kind} {one.name}, which is not in mode http")
    frontends = [one for one in frontends if not one.all("stats")] or frontends
    if not frontends:
        raise ImportFailure(f"{path}:1: has no frontend in mode http")
    _Reader(path.absolute().parent, sections, frontends, draft, findings).run()


def _is_http(section: Section) -> bool:
    mode = section.last("mode")
    return mode is not None and mode.words[1:] == ("http",)


class _Reader:
    def __init__(
        self, directory: FilePath, sections: list[Section], frontends: list[Section], draft: Draft, findings: Findings
    ) -> None:
        self._frontends = frontends
        self._draft = draft
        self._findings = findings
        self._backends = Backends(sections, draft, findings)
        self._issuers = Issuers(directory, draft, findings)
        self._changed = False
        self._change: PathChange | None = None
        self._not_taken: set[Place] = set()
        """Of lines that change a path, and of which the result lacks something."""
        self._hosts: set[str] = set()
        self._places: set[Path] = set()
        self._methods: set[str] = set()
        self._beginnings: dict[str, Place] = {}

    def run(self) -> None:
        chosen = max(
            self._frontends,
            key=lambda one: (
                any("jwt_" in word for line in one.lines for word in line.words),
                not self._redirects(one),
                bool(one.all("use_backend")),
            ),
        )
        for other in self._frontends:
            if other is chosen:
                continue
            if self._redirects(other):
                self._findings.left_out(
                    other.place,
                    f"the redirect of {other.name} to https; lbjwt sends no redirects, so leave this frontend where it is",
                )
            else:
                self._findings.left_out(
                    other.place,
                    f"the frontend {other.name}: all listeners of lbjwt have the same routes; import it by itself into a second file",
                )
        scene = self._scene(chosen)
        backends = {
            line.words[1]
            for line in [*chosen.all("use_backend"), *chosen.all("default_backend")]
            if len(line.words) > 1
        }
        scenes = {
            name: self._scene(section, scene)
            for name in backends
            if (section := self._backends.sections.get(name)) is not None
        }
        for each in [scene, *scenes.values()]:
            self._collect(each)

        def decide(request: Request) -> Decision | None:
            return self._decide(request, scene, scenes)

        self._draft.set_routes(sorted(self._hosts), self._places, self._methods, decide, beginnings=self._beginnings)
        edge = Edge(chosen, self._draft, self._findings)
        edge.listeners()
        for each in [scene, *scenes.values()]:
            edge.headers(each.section, each.variables, self._not_taken)
        edge.settings()

    def _scene(self, section: Section, before: _Scene | None = None) -> _Scene:
        acls = read_acls(section)
        variables = dict(before.variables) if before is not None else {}
        for line in section.all("http-request"):
            match = re.fullmatch(r"set-var(?:-fmt)?\(([^,)]+)[^)]*\)", line.words[1]) if len(line.words) > 2 else None
            if match:
                rule, _, _ = split_condition(line.words[2:])
                sample = "".join(rule)
                # what is set in two ways is not known
                variables[match[1]] = sample if variables.get(match[1], sample) == sample else f"var({match[1]})"
        return _Scene(section, acls, variables)

    @staticmethod
    def _redirects(section: Section) -> bool:
        lines = [*section.all("http-request", "redirect"), *section.all("redirect")]
        return (
            any("scheme" in line.words for line in lines)
            and not section.all("use_backend")
            and not section.all("default_backend")
        )

    def _collect(self, scene: _Scene) -> None:
        """The hosts, paths and methods that a section distinguishes."""
        for line in scene.section.lines:
            if line.words[0] not in ("http-request", "use_backend", "acl", "redirect"):
                continue
            if line.words[1] in PATH_CHANGES:
                self._distinguish_change(line)
            _, _, words = split_condition(line.words)
            for group in read_condition(words, scene.acls, line.place) if words else []:
                for atom in group:
                    for test in atom.tests:
                        self._distinguish(test)

    def _distinguish(self, test: Test) -> None:
        name, _, argument = test.sample.partition("(")
        name, argument = name.split(",")[0], argument.rstrip(")").lower()
        if name == "method":
            named = {method for method in test.patterns if method in METHODS}
            self._methods |= named if len(named) == len({*test.patterns}) else {*METHODS}
        elif self._is_host(test):
            for pattern in test.patterns:
                host = host_of(f"*{pattern}" if pattern.startswith(".") else pattern, self._findings, test.place)
                if host is not None:
                    self._hosts |= {host} if host.startswith("*") or not _is_end(test) else {host, f"*.{host}"}
        elif (meant := self._meant(test)) is not None:
            for path, how in meant:
                if usable_path(path.text, self._findings, test.place):
                    self._places.add(path)
                    if _ignores_case(test) and path.text.swapcase() != path.text:
                        self._findings.approximated(
                            test.place, f"{path.text} in any case: other spellings than this one get 400 here"
                        )
                    if how == "beginning" and path.text != "/":
                        self._beginnings[path.text] = test.place

    def _distinguish_change(self, line: Line) -> None:
        change = change_of(line, UNKNOWN)
        if change is not None and change.start and usable_path(change.start, self._findings, line.place):
            self._places.add(Path(change.start, change.whole))
            if change.within:
                self._beginnings[change.start] = line.place

    @staticmethod
    def _is_host(test: Test) -> bool:
        sample = test.sample.lower().replace(" ", "")
        fetch = r"(?:(?:req\.)?hdr(?:_dom|_end|_beg)?\(host\)|ssl_fc_sni|req\.ssl_sni)(?:,(?:lower|host_only|field\(1,:\)))*"
        return re.fullmatch(fetch, sample) is not None and test.how in ("", "str", "end", "dom", "beg", "reg")

    @staticmethod
    def _meant(test: Test) -> list[tuple[Path, str]] | None:
        """The paths that a test means; None when it is about something else, or cannot be translated."""
        name = test.sample.split(",")[0]
        how = {"beg": "beginning", "str": "exact", "reg": "regex", "dir": "tree", "": _PATHS.get(name, "")}.get(
            test.how, ""
        )
        converters = test.sample.split(",")[1:]
        if name not in _PATHS or test.from_file or (name != "path" and test.how) or not {*converters} <= {*_KEEPS_PATH}:
            return None
        found: list[tuple[Path, str]] = []
        for pattern in test.patterns:
            if how == "regex":
                read = paths_of(pattern)
                if read is None:
                    return None
                found += read
            elif how == "exact":
                found.append((Path(pattern, True), "exact"))
            elif how in ("beginning", "tree"):
                stem = pattern.rstrip("/") or "/"
                found.append((Path(stem), "below" if pattern.endswith("/") and pattern != "/" else how))
            else:
                return None
        return found or None

    def _decide(self, request: Request, scene: _Scene, scenes: dict[str, _Scene]) -> Decision | None:
        needs: list[Formula] = []
        self._forget_change()
        refused = self._rules(scene, request, needs)
        name = self._backend(scene, request, needs) if refused is None else None
        if name is None and refused is None:
            return None
        cluster = {"cluster": self._backends.label(name, scene.section.place)} if name is not None else {}
        if refused is None and name in scenes:
            refused = self._rules(scenes[name], request, needs)
        if refused is not None:
            return shut(cluster, *refused)
        decision: Decision = {**cluster, **({} if self._change is None else {"rewrite": self._change})}
        return self._issuers.apply(decision, needs, scene.section.place)

    def _forget_change(self) -> None:
        """Another request: its path is as the client sent it."""
        self._changed, self._change = False, None

    def _rules(self, scene: _Scene, request: Request, needs: list[Formula]) -> tuple[int, str] | None:
        """Run the rules of a section. What must hold is added to `needs`; a status and a reason when the request is refused whatever its token is."""
        redirects = [Line(Words(("http-request", *line.words)), line.place) for line in scene.section.all("redirect")]
        for line in [*scene.section.all("http-request"), *redirects]:
            action = line.words[1]
            if action not in (
                *PATH_CHANGES,
                "deny",
                "reject",
                "tarpit",
                "silent-drop",
                "return",
                "auth",
                "allow",
                "redirect",
            ):
                continue
            rule, word, words = split_condition(line.words)
            holds = self._condition(words, scene, request, line) if word else True
            if word == "unless":
                holds = negation(holds)
            if holds is False:
                continue
            if action in PATH_CHANGES:
                self._change_path(line, request, holds)
                continue
            if action == "redirect":
                self._findings.left_out(line.place, f"{line}; lbjwt sends no redirects")
                if holds is not True and (names_token(holds) or not self._is_about_address(words, scene, line)):
                    needs.append(negation(holds))  # instead of being sent to a login page, the others are refused
                continue
            if action == "allow":
                if holds is True:
                    return None
                self._findings.left_out(line.place, f"{line}; write a public route, or a rule with any")
                continue
            status = _status(rule)
            if action == "auth" or (action == "return" and status < 400):
                self._findings.left_out(line.place, f"{line}; its routes are closed until you decide")
                return 403 if action == "auth" else 404, f"{action} was left out"
            if holds is True:
                return status, f"{action} there"
            if is_unknown(holds):
                if any(word.startswith(("sc_", "src_http", "src_conn", "sc0_", "sc1_")) for word in line.words):
                    self._findings.left_out(
                        line.place,
                        f"{line}; lbjwt does not limit rates of good requests, see fail_limit for bad tokens",
                    )
                    continue
                self._findings.left_out(
                    line.place,
                    f"{line}; its routes are closed until you decide: remove the rule called closed once something else protects them",
                )
                return 403, "a condition of HAProxy was left out"
            needs.append(negation(holds))
        return None

    def _change_path(self, line: Line, request: Request, holds: Formula) -> None:
        change = change_of(line, request.path)
        if change is None or holds is not True or self._changed:
            self._not_taken.add(line.place)
        elif change.applies(request.path):
            self._change = change
        else:
            return
        self._changed = True

    def _backend(self, scene: _Scene, request: Request, needs: list[Formula]) -> str | None:
        """The backend of a request. If a token may lead to another one, what keeps it from there is added to `needs`."""
        for line in scene.section.all("use_backend"):
            _, word, words = split_condition(line.words)
            holds = self._condition(words, scene, request, line) if word else True
            if word == "unless":
                holds = negation(holds)
            if holds is True:
                if "%" in line.words[1]:
                    self._findings.left_out(
                        line.place, f"{line}; write cluster: {{claim: …, clusters: …}} if a claim chooses"
                    )
                    continue
                return line.words[1]
            if holds is not False:
                self._findings.left_out(
                    line.place, f"{line}; write a route with cluster: {{claim: …, clusters: …}} if a claim chooses"
                )
                if names_token(holds):
                    needs.append(negation(holds))
        if scene.section.kind == "listen":
            return scene.section.name
        default = scene.section.last("default_backend")
        return default.words[1] if default is not None else None

    def _is_about_address(self, words: Words, scene: _Scene, line: Line) -> bool:
        """Whether a condition asks for nothing but where the client wants to go."""
        groups = read_condition(words, scene.acls, line.place)
        samples = [test.sample.lower() for group in groups for atom in group for test in atom.tests]
        return all(
            re.match(r"(?:(?:req\.)?hdr\w*\(host|ssl|req\.ssl|path|base|url|method|dst|https?_)", one)
            for one in samples
        )

    def _condition(self, words: Words, scene: _Scene, request: Request, line: Line) -> Formula:
        groups = read_condition(words, scene.acls, line.place)
        return disjunction([conjunction([self._atom(atom, scene, request) for atom in group]) for group in groups])

    def _atom(self, atom: Atom, scene: _Scene, request: Request) -> Formula:
        found = (
            disjunction([self._test(test, scene, request) for test in atom.tests]) if atom.tests else Fact("unknown")
        )
        return negation(found) if atom.negated else found

    def _test(self, test: Test, scene: _Scene, request: Request) -> Formula:
        sample = test.sample.split(",")[0]
        if sample in ("always_true", "always_false"):
            return sample == "always_true"
        if sample == "method":
            if request.method == UNKNOWN and not {*test.patterns} <= {*METHODS}:
                return Fact("unknown")  # one that no route can name
            return request.method in test.patterns or (request.method == "HEAD" and "GET" in test.patterns)
        if sample == "ssl_fc":
            return any("ssl" in line.words for line in scene.section.all("bind"))
        if sample.startswith("var(") and expand(test.sample, scene.variables)[:1] in ([("path", "")], [("method", "")]):
            test = Test(
                scene.variables[sample[4:-1]], test.how, test.patterns, test.place, test.ignore_case, test.from_file
            )
        if self._is_host(test) and not test.from_file:
            return self._host(test, request)
        meant = self._meant(test)
        if meant is not None:
            if self._changed or not all(_is_usable(path.text) for path, _ in meant):
                return Fact("unknown")  # of the new path, or of one that no route can have
            return matches(meant, request.path)
        return fact_of(test, scene.variables)

    def _host(self, test: Test, request: Request) -> Formula:
        ends = _is_end(test)
        if test.how == "beg" or "_beg" in test.sample or test.how == "reg":
            return Fact("unknown")
        return any(
            request.host == one or (ends and request.host.endswith(f".{one.lstrip('.')}"))
            for one in (pattern.lower().partition(":")[0] for pattern in test.patterns)
        )


_OF_PATH: Final = re.compile(r"""%\[path,regsub\((['"]?)(?P<pattern>.*?)\1,\s*(['"]?)(?P<new>.*?)\3(?:,g?)?\)\]""")


def change_of(line: Line, path: str) -> PathChange | None:
    """What a line that changes paths makes of one; None if no `rewrite` can do the same."""
    rule, _, _ = split_condition(line.words)
    action, first, second = rule[1], rule[2], rule[3]
    if action in ("replace-path", "replace-pathq"):
        change = PathChange.of_pattern(first, second, all_of_it=True)
        return None if change is not None and change.whole and action == "replace-pathq" else change
    if action != "set-path":
        return None
    if first.endswith("%[path]"):
        return PathChange.of_prefix("/", f"{first.removesuffix('%[path]')}/")
    if (match := _OF_PATH.fullmatch(first)) is not None:
        return PathChange.of_pattern(match["pattern"], match["new"], all_of_it=False)
    return None if "%" in first or UNKNOWN in path else PathChange.of_path(path, first)


def _is_end(test: Test) -> bool:
    """Whether a test of the host is about its end."""
    return test.how in ("end", "dom") or "_end" in test.sample or "_dom" in test.sample


def _ignores_case(test: Test) -> bool:
    return test.ignore_case or "lower" in test.sample.split(",") or "upper" in test.sample.split(",")


def _is_usable(path: str) -> bool:
    """Whether a route can have this path."""
    try:
        check_path(path)
    except ConfigurationError:
        return False
    return True


def _status(rule: Words) -> int:
    for word in ("deny_status", "status"):
        if word in rule and rule[rule.index(word) + 1 :][:1] and rule[rule.index(word) + 1].isdigit():
            return int(rule[rule.index(word) + 1])
    return 200 if "return" in rule[:2] else 403
