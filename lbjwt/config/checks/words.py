"""What every check says its findings with: warnings with a stable code, at a key path."""

from collections.abc import Callable, Iterator

from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem

__all__ = ["Check", "warning"]

Check = Callable[[Configuration], Iterator[Problem]]
"""One idea of what is unwise: a configuration in, problems out, in the order of its sections."""


def warning(path: KeyPath, code: str, message: str, *, at_key: bool = False) -> Problem:
    """Return a warning. ``code`` is stable: people silence and search by it. ``at_key``: the value at the path is a mapping, or is not there."""
    return Problem(path, message, "warning", code, at_key=at_key)
