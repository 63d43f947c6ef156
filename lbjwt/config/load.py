"""
From a YAML text to the configuration, or to all its problems with line and column. Files named in the text are not opened.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from lbjwt.config import document
from lbjwt.config.fields import Source
from lbjwt.config.model import Configuration
from lbjwt.config.partial import partial
from lbjwt.config.problems import ConfigurationError, KeyPath, Problem, describe


@dataclass(frozen=True, slots=True)
class Examination:
    """
    The result of reading a configuration.

    Attributes:
        configuration: None when an error prevents it.
        problems: Every error of the text, in the order of the lines; none when there is a configuration.
        source: The name of the text.
        root: The document with its places; None when the text is no YAML.
        readable: The configuration, or its valid values only, to check the files that they name.
    """

    configuration: Configuration | None
    problems: tuple[Problem, ...]
    source: str
    root: document.Node | None = None
    readable: Configuration | None = None

    def placed(self, problems: list[Problem]) -> list[Problem]:
        """Problems that were found elsewhere, with their places in this text."""
        return problems if self.root is None else [_placed(problem, self.root) for problem in problems]


def load_config(path: str | os.PathLike[str]) -> Configuration:
    """
    Read a configuration file; relative file names in it are relative to its directory. Files named in it are not opened.

    Raises:
        ConfigurationError: The file cannot be read or has errors; the text has a line for each, with line and column.
    """
    return load_file(Path(path))


def load_file(path: Path) -> Configuration:
    """
    Read a configuration file; relative file names in it are relative to its directory.

    Raises:
        ConfigurationError: The file cannot be read or has errors.
    """
    return _usable(examine_file(path))


def load_text(text: str, directory: Path, source: str = "configuration") -> Configuration:
    """
    Read a configuration from text; relative file names in it are relative to ``directory``.

    Raises:
        ConfigurationError: The text has errors.
    """
    return _usable(examine_text(text, directory, source))


def examine_file(path: Path) -> Examination:
    """Read a configuration file. Does not raise: a file that cannot be read is a problem too."""
    source = str(path)
    try:
        with path.open("rb") as file:
            text = file.read(document.MAX_BYTES + 1).decode("utf-8-sig")
    except OSError as error:
        problem = Problem((), f"cannot be read: {error.strerror or 'unknown reason'}", code="unreadable")
        return Examination(None, (problem,), source)
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return Examination(None, (Problem((), "not UTF-8", code="not-utf-8", line=line, column=column),), source)
    return examine_text(text, path.absolute().parent, source)


def examine_text(text: str, directory: Path, source: str = "configuration") -> Examination:
    """Read a configuration from text. Does not raise."""
    root, faults = document.read(text)
    if root is None:
        return Examination(None, tuple(faults), source)
    context = Source(directory)
    configuration, problems = None, list[Problem]()
    try:
        configuration = Configuration.model_validate(root.data, context=context)
    except ValidationError as error:
        problems = describe(error, Configuration)
    told = {fault.path for fault in faults}
    found = [*faults, *(_placed(problem, root) for problem in problems if problem.path not in told)]
    found.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
    if faults or configuration is None:
        return Examination(None, tuple(found), source, root, partial(root.data, context))
    return Examination(configuration, (), source, root, configuration)


def _usable(examination: Examination) -> Configuration:
    if examination.configuration is None:
        raise ConfigurationError(examination.problems, examination.source)
    return examination.configuration


def _placed(problem: Problem, root: document.Node) -> Problem:
    """The problem with the place of its key or value, or of the mapping that lacks the key."""
    path: KeyPath = problem.path
    if path and problem.code == "missing":
        path = path[:-1]
    line, column = root.place(path, key=problem.at_key)
    key = root.place(path, key=True)
    if line != key[0] and isinstance(getattr(root.find(path), "data", None), dict | list):
        line, column = key  # a mapping or list that begins on the line after its key
    return replace(problem, line=line, column=column)
