"""Build sdist and wheel, install the wheel into a clean environment away from the source tree, and use it there.

The wheel is built from the unpacked sdist, whose package must have every file of the source tree, byte for byte. So what `make build` compiled here
is what compiling there would give, and is not compiled a second time.
"""

import filecmp
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {".py", ".pyi", ".pyx", ".pxd", ".c"}
TESTS = ["unit/test_packaging.py", "integration/test_demo.py"]  # need no file of the source tree but the next one
USED = "harness/ports.py"


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command away from the source tree; its failure ends the check, and only then is its output shown."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if finished.returncode:
        print(finished.stdout)
        sys.exit(f"check_wheel: {' '.join(map(str, command))} ended with {finished.returncode}")


def forgotten(unpacked: Path) -> list[str]:
    """Files of the package that the unpacked sdist has not, or has otherwise."""
    files = [
        path.relative_to(ROOT)
        for path in (ROOT / "lbjwt").rglob("*")
        if path.suffix in SOURCES or path.name == "py.typed"
    ]
    return [
        str(file)
        for file in files
        if not ((unpacked / file).is_file() and filecmp.cmp(ROOT / file, unpacked / file, False))
    ]


def reuse(unpacked: Path) -> None:
    """Put what `make build` made where setuptools and Cython look for it. Both make anew what is missing or older than its source."""
    shutil.copytree(ROOT / "build" / "cython", unpacked / "build" / "cython")
    tag, objects = sys.implementation.cache_tag, Path("build") / "cython"
    platform = f"{sysconfig.get_platform()}-{tag}"
    shutil.copytree(ROOT / "build" / tag / objects, unpacked / "build" / f"temp.{platform}" / objects)
    (library,) = (ROOT / "lbjwt").glob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}")
    place = unpacked / "build" / f"lib.{platform}" / library.relative_to(ROOT)
    place.parent.mkdir(parents=True)
    shutil.copy2(library, place)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="lbjwt-wheel-") as name:
        away = Path(name)
        dist = away / "dist"
        run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", dist, ROOT, cwd=away)
        (sdist,) = dist.glob("*.tar.gz")
        shutil.unpack_archive(sdist, away, filter="data")
        unpacked = away / sdist.name.removesuffix(".tar.gz")
        if missing := forgotten(unpacked):
            sys.exit(f"check_wheel: the sdist has not, or has otherwise: {', '.join(missing)}")
        reuse(unpacked)
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, unpacked, cwd=away)
        (wheel,) = dist.glob("*.whl")

        venv.create(away / "venv")
        python = away / "venv" / "bin" / "python"
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install")
        lock = ROOT / "requirements-dev.lock"
        run(*pip, "--quiet", "--no-compile", "--constraint", lock, wheel, "pytest", cwd=away)

        for test in [*TESTS, USED]:
            (away / "tests" / test).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "tests" / test, away / "tests" / test)
        shutil.copy(ROOT / "tests" / "harness" / "no_skip.py", away / "tests" / "conftest.py")
        (away / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers --import-mode=importlib\n")
        run(python, "-m", "pytest", "-q", "tests", cwd=away)
        print(f"{wheel.name}: works outside the source tree")


if __name__ == "__main__":
    main()
