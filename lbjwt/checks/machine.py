"""What lbjwt keeps and needs on this machine: its state directory, the revocations, and enough file descriptors."""

import fcntl
import os
import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from lbjwt.assembly.descriptors import needed, shortage
from lbjwt.assembly.directories import directory_fault
from lbjwt.assembly.revocations import new_reader
from lbjwt.auth.revocation import RevocationError
from lbjwt.checks.results import OnlineCheck, Outcome, Result, blocking
from lbjwt.config.model import Configuration

REVOCATIONS: Final = 30.0
"""Seconds allowed for reading a revocation list of the maximum size."""


def machine_checks(configuration: Configuration) -> Iterator[OnlineCheck]:
    """The state directory, when one is needed or named; the revocations, when there are any; the descriptors."""
    path, revocation = configuration.state_directory, configuration.revocation
    fetched = any(issuer.fetch is not None for issuer in configuration.issuers.values())
    if path is not None or fetched or revocation is not None:
        lost = ("" if revocation is None else "revocations made at run time and ") + "the last good keys"
        ask = blocking(lambda: [directory_result(path, lost)])
        yield OnlineCheck("state_directory", "state-directory", ask)
    if revocation is not None:
        yield OnlineCheck("revocation", "revocations", partial(_revocations, configuration), REVOCATIONS)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    yield OnlineCheck("limits", "open-files", blocking(lambda: [descriptor_result(configuration, most)]))


def directory_result(path: Path | None, lost: str) -> Result:
    """Whether lbjwt, running as this user, could use the directory, and whether one does; `lost` is what ends with the process without one."""
    outcome: Outcome = "problem"
    try:
        fault = directory_fault(path, os.geteuid()) if path is not None else ""
        if path is None:
            outcome = "note"
            sentence = f"no state_directory is configured, so {lost} are lost when lbjwt stops; set it to keep them"
        elif fault:
            sentence = f"{fault}; or run this command as the user that runs lbjwt"
        elif not path.exists():
            outcome, sentence = "ok", f"lbjwt creates {path} when it starts"
        elif _is_locked(path):
            outcome, sentence = "note", f"a running lbjwt uses {path}; two cannot share one directory"
        else:
            outcome, sentence = "ok", f"{path} can be used by lbjwt"
    except OSError as error:
        sentence = f"cannot read {path}: {error.strerror}; run this command as the user that runs lbjwt"
    return Result("state_directory", "state-directory", outcome, sentence)


def _is_locked(path: Path) -> bool:
    """Whether a process holds the lock that lbjwt takes. Ours is shared and gone at once, so it stops no start for longer than an instant."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


async def _revocations(configuration: Configuration) -> list[Result]:
    reader = new_reader(configuration, configuration.state_directory, lambda more: None)
    assert reader is not None
    try:
        await reader.load()
    except RevocationError as error:
        sentence = f"{error}; lbjwt does not start with this file, and a running lbjwt keeps its current entries"
        return [Result("revocation", "revocations", "problem", sentence)]
    sentence = f"{len(reader)} entries in force: {len(reader.filed)} from the file, {len(reader.made)} made at run time"
    return [Result("revocation", "revocations", "ok", sentence)]


def descriptor_result(configuration: Configuration, most: int) -> Result:
    """Whether a worker may open as many files as its limits promise; `serve` raises the soft limit to the hard one, `most`."""
    fault = shortage(configuration, most)
    room = "any number of" if most == resource.RLIM_INFINITY else str(most)
    sentence = f"a worker can open {room} files and needs at most {needed(configuration)}"
    return Result("limits", "open-files", "warning" if fault else "ok", fault or sentence)
