"""What a process tree costs, read from /proc: resident memory, processor time, open files."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over a process tree."""

    rss: int  # bytes, see `memory`
    cpu: float  # seconds, user + system
    fds: int
    processes: int


def children(pid: int) -> list[int]:
    """Direct children of a process; empty when it is gone."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        pass
    return found


def tree(pid: int) -> list[int]:
    """The process and everything below it."""
    found = [pid]
    for member in found:
        found += children(member)
    return found


def name_of(pid: int) -> str:
    """What ps(1) calls the process, at most 15 characters; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """True while the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    """User and system time of one process so far; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int) -> int:
    """
    Anonymous and shared memory of one process in bytes, its share where it is shared; 0 when the process is gone.

    Pages of program files are left out: their share moves when an unrelated process of the same program starts or ends.
    """
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    except OSError:
        pass
    return total


def fd_count(pid: int) -> int:
    """Open file descriptors; 0 when the process is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def usage(pid: int) -> Usage:
    """Sums over the process and everything below it."""
    pids = tree(pid)
    return Usage(sum(map(memory, pids)), sum(map(cpu_seconds, pids)), sum(map(fd_count, pids)), len(pids))


def network_sockets(pid: int) -> set[str]:
    """The sockets of a process as its descriptors show them (`socket:[INODE]`), without those that only join processes of this machine (AF_UNIX)."""
    local = {
        f"socket:[{line.split()[6]}]" for line in Path("/proc/net/unix").read_text("ascii", "replace").splitlines()[1:]
    }
    found: set[str] = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(entry))
    return {name for name in found if name.startswith("socket:")} - local
