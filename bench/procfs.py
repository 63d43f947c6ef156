"""What a process tree costs, read from ``/proc``: CPU seconds, memory, and who else used a core. Linux only; reads, never signals."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

_PPID, _UTIME, _CSTIME = (
    1,
    11,
    14,
)  # positions in /proc/PID/stat counted after the command name (proc(5): fields 4, 14, 17)


def _stat_fields(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the state on; the name before them may itself hold blanks and parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(*roots: int) -> list[int]:
    """The processes and all their living descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(_stat_fields(int(entry))[_PPID])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found = list(roots)
    for pid in found:  # grows while it is walked
        found.extend(children.get(pid, ()))
    return found


def cpu_seconds(pids: list[int]) -> float:
    """
    User and system time of the processes, their threads, and the children they have already reaped.

    The kernel derives both from exact run times and hands them out in ticks (10 ms): over a run of 3 s that is under 1 %.

    Raises:
        FileNotFoundError: A process of the list has ended; its time would be missing from the sum.
    """
    ticks = 0
    for pid in pids:
        ticks += sum(int(field) for field in _stat_fields(pid)[_UTIME : _CSTIME + 1])
    return ticks / TICKS


def memory_bytes(pids: list[int]) -> int:
    """Proportional set size of the processes together: a page shared by two counts half in each."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
                break
    return total


def core_busy_seconds(cores: tuple[int, ...]) -> float:
    """Seconds these cores did anything, for anybody, since boot: all of ``/proc/stat`` but idle and waiting for a disk."""
    wanted = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in wanted:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / TICKS
