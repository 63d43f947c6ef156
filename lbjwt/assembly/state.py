"""
The state directory: where the keeper writes what has to outlive a process. The supervisor, or an embedded balancer, makes, locks and removes it.

What lies here is believed at the next start: keys, and which tokens are revoked. So a directory that anybody else can write, or that is not
ours, is refused, and two services never share one. Without a configured place it is a private temporary directory that ends with the service, in
memory (``/dev/shm``) where the file system cannot be written.

A program that replaces another one (`lbjwt.process.upgrade`) uses the same directory and inherits its lock, which two processes then hold together. A
temporary directory is removed by the one that goes on.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from lbjwt.assembly.discovered import discovers
from lbjwt.assembly.sources import KEYS
from lbjwt.config.model import Configuration
from lbjwt.errors import LbjwtError, cause_of
from lbjwt.files import directory_fault

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the directory below it is ours alone
"""Writable also in a container with a read-only root."""


def state_needed(configuration: Configuration) -> bool:
    """
    True when there may be something to write: revocations made at run time, and keys that are fetched and endpoints that are discovered when they
    shall outlive a restart. A reload may bring the first of these keys, but not the first control process.
    """
    kept = configuration.state_directory is not None and (
        configuration.admin is not None or keys_fetched(configuration) or discovers(configuration)
    )
    return configuration.revocation is not None or kept


def keys_fetched(configuration: Configuration) -> bool:
    """True when some key source is behind a URL."""
    return any(issuer.fetch is not None for issuer in configuration.issuers.values())


class StateDirectoryError(LbjwtError):
    """A state directory that cannot be used; the message names the directory, the cause and what mends it."""


@dataclass(frozen=True, slots=True)
class InheritedState:
    """The state directory of the program before."""

    path: Path
    lock: int
    """The descriptor that holds its lock."""
    temporary: bool


class StateDirectory:
    """
    A context manager around the directory; its value is the path.

    Args:
        configured: The place, made with mode 0700 when it is missing; None: a temporary directory, removed at the end.
        inherited: That of the program before. It is used if it is the configured one, or a temporary one and none is configured; if not, its lock
            is given up.
    """

    def __init__(self, configured: Path | None, inherited: InheritedState | None = None) -> None:
        self._configured = configured
        self._inherited = inherited
        self._owner = os.getpid()  # children inherit the object and must not clean up
        self._temporary: Path | None = None
        self._borrowed: Path | None = None  # a temporary directory that the program before still owns
        self._lock = -1

    @property
    def borrowed(self) -> bool:
        """The directory is a temporary one of the program before."""
        return self._borrowed is not None

    def own(self) -> None:
        """The program before has given its temporary directory up: this one removes it at the end."""
        self._temporary, self._borrowed = self._borrowed or self._temporary, None

    def give_up(self) -> None:
        """The program that follows removes the temporary directory, not this one."""
        self._temporary = None

    def inheritance(self, path: Path) -> InheritedState:
        """What the program that follows has to know."""
        return InheritedState(path, self._lock, self._temporary is not None)

    def __enter__(self) -> Path:
        """
        Make the directory ready.

        Raises:
            StateDirectoryError: It cannot be made or written, somebody else can write it, or another service uses it.
        """
        path = self._configured
        try:
            inherited = self._inherited
            if path is None and inherited is not None and inherited.temporary:
                path = self._borrowed = inherited.path
            elif path is None:
                path = self._temporary = _temporary()
            for directory in (path, path / KEYS):
                with contextlib.suppress(FileExistsError):
                    directory.mkdir(mode=0o700)
                if fault := directory_fault(directory, os.geteuid()):
                    raise StateDirectoryError(f"state_directory: {fault}")
            if inherited is not None and os.path.samestat(os.fstat(inherited.lock), path.stat()):
                self._lock = inherited.lock
            else:
                self._lock = _lock(path)
        except OSError as error:
            self._close()
            raise StateDirectoryError(f"state_directory: {path} cannot be used: {cause_of(error)}") from None
        except StateDirectoryError:
            self._close()
            raise
        finally:
            if self._inherited is not None and self._inherited.lock != self._lock:
                os.close(self._inherited.lock)
        return path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() == self._owner:
            self._close()

    def leave(self) -> None:
        """In a child: give up the lock's descriptor, or the lock would outlive a supervisor that was killed. The lock stays with the supervisor."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _close(self) -> None:
        self.leave()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None


def _temporary() -> Path:
    for parent in (None, MEMORY):
        with contextlib.suppress(OSError):
            return Path(tempfile.mkdtemp(prefix="lbjwt-", dir=parent))
    raise StateDirectoryError(
        f"state_directory: none is configured, and lbjwt cannot create a temporary one in TMPDIR, /tmp, /var/tmp or {MEMORY}; "
        "set TMPDIR to a writable directory, or configure state_directory"
    )


def _lock(path: Path) -> int:
    """A descriptor that holds the lock of the directory; the kernel lets it go with the last process that has it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StateDirectoryError(f"state_directory: another lbjwt uses {path}; choose another directory") from None
    except OSError:
        os.close(fd)
        raise
    return fd
