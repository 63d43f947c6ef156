"""
The exceptions of lbjwt, all under one roof.

    LbjwtError
    ├── ConfigurationError     what was asked for cannot be (also a ValueError)
    ├── KeyFormatError         a key or key set that cannot be used (also a ValueError)
    └── TokenRefused           a token that was not accepted; carries its DenyReason

No message holds a token, a key or a secret, or a part of one.
"""

import os
from collections.abc import Iterable

from lbjwt._fastverify import DenyReason


class LbjwtError(Exception):
    """Base of everything lbjwt raises on purpose."""


class ConfigurationError(LbjwtError, ValueError):
    """
    What was asked for cannot be: the message says what, in the words of the configuration.

    Attributes:
        place: Names and indices that lead from what was being made to the value that is wrong; () for the whole.
    """

    def __init__(self, message: str, *place: str | int) -> None:
        super().__init__(message)
        self.place = place


class KeyFormatError(LbjwtError, ValueError):
    """A key or key set that cannot be used: wrong form, too weak, or not meant for checking signatures."""


class TokenRefused(LbjwtError):
    """A token was not accepted."""

    def __init__(self, reason: DenyReason) -> None:
        super().__init__(f"token refused: {reason.name}")
        self.reason = reason


def cause_of(error: OSError) -> str:
    """What the system says went wrong, in its own words: event loops put words of theirs in place of "Connection refused"."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or ("timed out" if isinstance(error, TimeoutError) else "no connection")


def there_are(names: Iterable[str]) -> str:
    """Which names there are instead of one that there is not: all of them, or of many their number."""
    found = sorted(names)
    if len(found) > 5:
        return f"there are {len(found)}"
    return f"there {'is' if len(found) < 2 else 'are'} {', '.join(found) or 'none'}"
