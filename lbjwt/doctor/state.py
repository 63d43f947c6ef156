"""What lbjwt keeps and needs on this machine: its state directory, the revocations, and enough file descriptors."""

from __future__ import annotations

import fcntl
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lbjwt.assembly.descriptors import needed, shortage
from lbjwt.assembly.directories import shared_directory
from lbjwt.assembly.revocations import new_reader
from lbjwt.auth.revocation import RevocationError
from lbjwt.doctor.model import Finding
from lbjwt.doctor.runner import Look, in_thread

if TYPE_CHECKING:
    from lbjwt.config.model import Configuration

__all__ = ["descriptor_finding", "directory_findings", "state_looks"]

SUBJECT: Final = "state_directory"
REVOCATIONS: Final = 30.0
"""Seconds for a list of revocations of the greatest size."""


def state_looks(configuration: Configuration) -> Iterator[Look]:
    """The state directory, when one is needed or named; the revocations, when there are any; the descriptors."""
    path = configuration.state_directory
    fetched = any(issuer.fetch is not None for issuer in configuration.issuers.values())
    if path is not None or fetched or configuration.revocation is not None:

        async def directory() -> list[Finding]:
            return (
                [_without(configuration)] if path is None else await in_thread(lambda: list(directory_findings(path)))
            )

        yield Look(SUBJECT, "state-directory", directory)
    if configuration.revocation is not None:

        async def revocations() -> list[Finding]:
            return [await _revocations(configuration)]

        yield Look("revocation", "revocations", revocations, REVOCATIONS)

    async def descriptors() -> list[Finding]:
        return [descriptor_finding(configuration, resource.getrlimit(resource.RLIMIT_NOFILE)[1])]

    yield Look("limits", "open-files", descriptors)


def _without(configuration: Configuration) -> Finding:
    lost = (
        "the last good keys"
        if configuration.revocation is None
        else "revocations made at run time and the last good keys"
    )
    return Finding(
        SUBJECT, "state-directory", "note", f"none is configured, so {lost} end with the process; name one to keep them"
    )


def directory_findings(path: Path) -> Iterator[Finding]:
    """Whether lbjwt, running as this user, could use the directory; and whether one does."""
    us = os.geteuid()

    def finding(outcome: str, sentence: str) -> Finding:
        return Finding(SUBJECT, "state-directory", outcome, sentence)  # type: ignore[arg-type]

    try:
        owner = path.lstat().st_uid
        status = path.stat()
    except FileNotFoundError:
        if os.access(path.parent, os.W_OK | os.X_OK):
            yield finding("ok", f"{path} is made at the start")
        else:
            yield finding(
                "problem",
                f"{path} is not there and cannot be made: there is no directory {path.parent} this user may write",
            )
        return
    except OSError as error:
        yield finding(
            "problem", f"{path} cannot be looked at: {error.strerror}; run this as the user that lbjwt runs as"
        )
        return
    if not stat.S_ISDIR(status.st_mode):
        yield finding("problem", f"{path} is not a directory; name another place")
    elif owner not in (us, 0):
        yield finding("problem", f"{path} is a link of another user; name another place")
    elif status.st_uid != us or status.st_mode & 0o022:
        yield finding("problem", f"{shared_directory(path, status)}; or run this as the user that lbjwt runs as")
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield finding("problem", f"{path} cannot be read and written by its owner; chmod 700 it")
    elif _is_locked(path):
        yield finding("note", f"{path} is held by a running lbjwt; two never share one")
    elif status.st_mode & 0o077:
        yield finding("warning", f"others can look into {path}; chmod 700 it")
    else:
        yield finding("ok", f"{path} is lbjwt's own, and free")


def _is_locked(path: Path) -> bool:
    """Whether somebody holds the lock that lbjwt takes. Ours is shared and gone at once, so it stops no start for longer than an instant."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


async def _revocations(configuration: Configuration) -> Finding:
    reader = new_reader(configuration, configuration.state_directory, lambda more: None)
    assert reader is not None
    try:
        await reader.load()
    except RevocationError as error:
        return Finding(
            "revocation",
            "revocations",
            "problem",
            f"{error}; lbjwt does not start with it, and a running one keeps the entries it has",
        )
    return Finding(
        "revocation",
        "revocations",
        "ok",
        f"{len(reader)} in force: {len(reader.filed)} of the file, {len(reader.made)} made at run time",
    )


def descriptor_finding(configuration: Configuration, most: int) -> Finding:
    """
    Whether a worker may open as many files as its limits promise.

    Args:
        most: The hard limit of open files, which `lbjwt serve` raises the soft one to.
    """
    told = shortage(configuration, most)
    if told:
        return Finding("limits", "open-files", "warning", told)
    room = "any number of" if most == resource.RLIM_INFINITY else str(most)
    return Finding(
        "limits", "open-files", "ok", f"a worker may open {room} files, and needs {needed(configuration)} at most"
    )
