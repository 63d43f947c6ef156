"""The sources of `lbjwt serve`: a file, or flags; read with every check that `lbjwt check` makes."""

from collections.abc import Collection
from pathlib import Path

from lbjwt.checks.registry import every_problem, start_problems
from lbjwt.config.flags import problems_under_flags
from lbjwt.config.load import Examination, examine_file
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.reading import Reading
from lbjwt.files import stamp_of


class FileSource:
    """A configuration file, which can be replaced while the service runs."""

    def __init__(self, path: Path) -> None:
        self.seen: object = None
        self.warned: Collection[str] = ()
        self._path = path

    def read(self) -> Reading:
        """Read the file and those that it names."""
        self.seen = self.stamp()  # before: what is written meanwhile is another state of the file
        examination = examine_file(self._path)
        made = examination.configuration
        reading = _reading(
            examination, every_problem(examination) if made is None else examination.placed(start_problems(made))
        )
        self.warned = frozenset(reading.warnings)
        return reading

    def read_text(self) -> Reading:
        """Read the file alone, unless it is wrong: then every problem is told."""
        examination = examine_file(self._path)
        return _reading(examination, every_problem(examination) if examination.configuration is None else [])

    def stamp(self) -> object:
        """As `stamp_of`."""
        return stamp_of(self._path)


class FlagsSource:
    """What flags described: only the files that they name can change."""

    seen: object = None

    def __init__(self, configuration: Configuration) -> None:
        self.warned: Collection[str] = ()
        self._configuration = configuration

    def read(self) -> Reading:
        """Read the files that the flags name."""
        problems = problems_under_flags(start_problems(self._configuration))
        wrong = any(problem.level == "error" for problem in problems)
        reading = Reading(None if wrong else self._configuration, tuple(problems))
        self.warned = frozenset(reading.warnings)
        return reading

    def read_text(self) -> Reading:
        """The flags by themselves."""
        return Reading(self._configuration)

    def stamp(self) -> object:
        """Nothing to look at."""
        return None


def _reading(examination: Examination, problems: list[Problem]) -> Reading:
    made = examination.configuration
    if any(problem.level == "error" for problem in problems):
        made = None
    paths: list[KeyPath] = [("access_log", "path")]
    if made is not None:
        paths += [("listeners", at, "address") for at in range(len(made.listeners))]
        paths += [("issuers", label) for label in made.issuers]
        paths += [("clusters", label) for label in made.clusters]
        paths += [("clusters", label, "health_check") for label in made.clusters]
    root = examination.root
    places = {} if root is None else {path: root.place(path, key=path[0] != "listeners") for path in paths}
    return Reading(made, tuple(problems), examination.source, places)
