"""Exit codes of ``lbjwt serve`` and of its processes."""

from typing import Final

OK: Final = 0
"""Stopped as asked; whatever was cut at the end of the drain was cut by configuration."""

FAILED: Final = 1
"""Could not start (a port in use), or a process had to be killed."""

WRONG_CONFIGURATION: Final = 2
"""A configuration, key or certificate file or the state directory is wrong: starting again changes nothing."""
