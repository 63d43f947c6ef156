"""The two C programs, compiled when they are needed and when their source is newer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.child import BenchError

SOURCES = Path(__file__).parent
BUILD = SOURCES.parent / "build" / "bench"  # programs and tokens; ignored by git


def compiler() -> str | None:
    """The C compiler, or None."""
    return shutil.which("cc")


def built(name: str, directory: Path = BUILD) -> Path:
    """
    The executable of ``bench/NAME.c``.

    Raises:
        BenchError: No compiler, or it failed.
    """
    source, program = SOURCES / f"{name}.c", directory / name
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return program
    found = compiler()
    if found is None:
        raise BenchError("no C compiler: apt-get install build-essential")
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([found, "-O2", "-o", str(program), str(source)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{source.name} did not compile: {done.stderr.strip()}")
    return program
