"""The version of the installed package: one answer for `lbjwt.__version__`, ``lbjwt --version``, the admin door and the metrics."""

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """Return the version of the installed package, ``unknown`` when it runs from a source tree that was never installed."""
    try:
        return version("lbjwt")
    except PackageNotFoundError:
        return "unknown"
