"""
What came of reading a configuration once, checks of its files included; and where it can be read again.

At the start and at each reload the same source is read, in the same way.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem


@dataclass(frozen=True, slots=True)
class Reading:
    """
    One look at a configuration.

    Attributes:
        configuration: None when an error prevents its use.
        problems: Errors and warnings, with their places.
        source: The name of the file, for messages; "" of flags.
        places: Line and column of the values that are found wrong only when they are used: issuers, clusters and their
            health checks, addresses to listen on, the access log.
    """

    configuration: Configuration | None
    problems: tuple[Problem, ...] = ()
    source: str = ""
    places: Mapping[KeyPath, tuple[int, int]] = field(default_factory=dict)

    @property
    def errors(self) -> list[str]:
        """A line for each error, as `lbjwt check` prints it."""
        return [problem.render(self.source) for problem in self.problems if problem.level == "error"]

    @property
    def warnings(self) -> dict[str, str]:
        """A line for each warning, by its text without the place in the file, which changes with every line above."""
        return {
            replace(problem, line=None, column=None).render(): problem.render(self.source)
            for problem in self.problems
            if problem.level == "warning"
        }

    def placed(self, problem: Problem) -> Problem:
        """Return a problem that was found later on, with its place."""
        line, column = self.places.get(problem.path, (None, None))
        return replace(problem, line=line, column=column)


class Source(Protocol):
    """Where a configuration comes from."""

    seen: object
    """Its stamp at the last `read` of this process."""
    warned: Collection[str]
    """The warnings of that `read`, without their places."""

    def read(self) -> Reading:
        """Read and check it, and the files that it names. Blocks; raises nothing."""

    def stamp(self) -> object:
        """Return what differs when the file was written or replaced; the same of what cannot change. None: there is no file."""


class FixedSource:
    """A configuration that somebody made, and that stays as it is: without checks."""

    seen: object = None
    warned: Collection[str] = ()

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def read(self) -> Reading:
        """The same again."""
        return Reading(self._configuration)

    def stamp(self) -> object:
        """Nothing to look at."""
        return None
