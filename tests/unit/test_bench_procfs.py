"""The accounting of ``bench/procfs.py`` against processes whose cost is known."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench import procfs

BUSY = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
HELD = "print('ready', flush=True)\ninput()\n"


@contextmanager
def python(program: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has printed one line and now waits for one."""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_busy_time_of_a_process_is_seen():
    """A process that burned 0.3 s of CPU is charged with about that."""
    with python(BUSY + HELD) as process:
        assert 0.25 < procfs.cpu_seconds([process.pid]) < 1.5


def test_waiting_costs_nothing():
    """A process that waits for input is charged with nothing more."""
    with python(HELD) as process:
        before = procfs.cpu_seconds([process.pid])
        os.sched_yield()
        assert procfs.cpu_seconds([process.pid]) - before < 0.05


def test_time_of_a_child_that_has_ended_stays_in_the_sum():
    """Work done by a child that was reaped meanwhile is not lost."""
    with python(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\n" + HELD) as process:
        assert procfs.cpu_seconds([process.pid]) > 0.25


def test_the_tree_holds_children_of_children():
    """A grandchild belongs to the tree of the process that started its parent, and to no other's."""
    inner = "import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=0)\nprint(p.pid, flush=True)\np.wait()"
    outer = f"import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', {inner!r}], stdin=0)\np.wait()"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as root:
        assert root.stdout is not None
        grandchild = int(root.stdout.readline())
        found = procfs.tree(root.pid)
        assert root.pid in found
        assert grandchild in found
        assert os.getpid() not in found
        root.communicate("\n\n")


def test_memory_that_was_written_is_seen():
    """32 MiB that a process filled are in its figure."""
    with python(HELD) as small, python("block = b'x' * (32 << 20)\n" + HELD) as large:
        difference = procfs.memory_bytes([large.pid]) - procfs.memory_bytes([small.pid])
    assert 28 << 20 < difference < 40 << 20


def test_a_process_that_ended_is_an_error():
    """The time of a process that is gone cannot be read, and nobody pretends it was zero."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(FileNotFoundError):
        procfs.cpu_seconds([process.pid])


def test_cores_count_what_anybody_did():
    """The busy time of all cores only grows."""
    cores = tuple(os.sched_getaffinity(0))
    before = procfs.core_busy_seconds(cores)
    assert before > 0
    assert procfs.core_busy_seconds(cores) >= before
