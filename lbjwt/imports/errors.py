"""Why a file cannot be imported at all."""

from lbjwt.errors import LbjwtError


class ImportFailure(LbjwtError):
    """The file cannot be read, or is not of the kind that was named; the message says what and where."""
