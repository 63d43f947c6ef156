"""The sources of `lbjwt serve`: a file, or flags; read with every check that `lbjwt check` makes."""

import os
from pathlib import Path

from lbjwt.checks.dangers import warnings
from lbjwt.checks.files import file_problems
from lbjwt.checks.registry import every_problem
from lbjwt.config.flags import problems_under_flags
from lbjwt.config.load import Examination, examine_file
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.reading import Reading


class FileSource:
    """A configuration file, which can be replaced while the service runs."""

    def __init__(self, path: Path) -> None:
        self.seen: object = None
        self._path = path

    def read(self) -> Reading:
        """Read the file and those that it names."""
        self.seen = self.stamp()  # before: what is written meanwhile is another state of the file
        examination = examine_file(self._path)
        problems = every_problem(examination)
        if examination.configuration is not None:
            problems = [problem for problem in problems if not _is_told_when_opened(problem)]
        return _reading(examination, problems)

    def read_text(self) -> Reading:
        """Read the file alone, unless it is wrong: then every problem is told."""
        examination = examine_file(self._path)
        return _reading(examination, every_problem(examination) if examination.errors else [])

    def stamp(self) -> object:
        """Time of the last write, size, and identity of the file behind all links; None when there is none, or nobody may look."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_dev, found.st_ino


class FlagsSource:
    """What flags described: only the files that they name can change."""

    seen: object = None

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def read(self) -> Reading:
        """Read the files that the flags name."""
        found = [*warnings(self._configuration), *file_problems(self._configuration)]
        problems = problems_under_flags(problem for problem in found if not _is_told_when_opened(problem))
        wrong = any(problem.level == "error" for problem in problems)
        return Reading(None if wrong else self._configuration, tuple(problems))

    def read_text(self) -> Reading:
        """The flags by themselves."""
        return Reading(self._configuration)

    def stamp(self) -> object:
        """Nothing to look at."""
        return None


def _is_told_when_opened(problem: Problem) -> bool:
    """The supervisor opens the access log and says what is wrong with it."""
    return problem.code == "access-log"


def _reading(examination: Examination, problems: list[Problem]) -> Reading:
    made = examination.configuration
    if any(problem.level == "error" for problem in problems):
        made = None
    paths: list[KeyPath] = [("access_log", "path")]
    if made is not None:
        paths += [("listeners", at, "address") for at in range(len(made.listeners))]
        paths += [("issuers", label) for label in made.issuers]
    root = examination.root
    places = {} if root is None else {path: root.place(path, key=len(path) == 2) for path in paths}
    return Reading(made, tuple(problems), examination.source, places)
