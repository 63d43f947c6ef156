"""What lbjwt keeps and needs on this machine: its state directory, the revocations, and enough file descriptors."""

from __future__ import annotations

import fcntl
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lbjwt.assembly.revocations import new_reader
from lbjwt.auth.revocation import RevocationError
from lbjwt.doctor.model import Finding
from lbjwt.doctor.runner import Look, in_thread

if TYPE_CHECKING:
    from lbjwt.config.model import Configuration

__all__ = ["descriptor_finding", "directory_findings", "state_looks"]

SUBJECT: Final = "state_directory"
SPARE: Final = 64
"""File descriptors beside connections: listeners, event loop, logs, key files."""

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
    elif owner not in (us, 0) or status.st_uid != us:
        yield finding(
            "problem", f"{path} belongs to another user; chown it, or run this as the user that lbjwt runs as"
        )
    elif status.st_mode & 0o022:
        yield finding("problem", f"group or others can write {path} and put keys of theirs there; chmod 700 it")
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
    clients = configuration.limits.max_connections
    endpoints = sum(len(cluster.endpoints) * cluster.max_connections for cluster in configuration.clusters.values())
    needed = clients + SPARE
    if most == resource.RLIM_INFINITY or most >= needed + endpoints:
        return Finding(
            "limits",
            "open-files",
            "ok",
            f"a worker may open {'any number of' if most < 0 else most} files, and needs {needed + endpoints} at most",
        )
    if most >= needed:
        sentence = f"a worker may open {most} files: enough for {clients} clients, not for all connections to endpoints too ({needed + endpoints})"
        return Finding(
            "limits", "open-files", "note", f"{sentence}; raise LimitNOFILE or ulimit -Hn when it gets there"
        )
    sentence = f"a worker may open {most} files, and limits.max_connections promises {clients} clients"
    return Finding(
        "limits",
        "open-files",
        "warning",
        f"{sentence}; raise the limit (LimitNOFILE, ulimit -Hn), or lower max_connections",
    )
