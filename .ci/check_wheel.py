"""Build sdist and wheel, install the wheel into a clean environment away from the source tree, and use it there.

The wheel is built from the unpacked sdist, so a file that the sdist forgot shows here.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ["unit/test_packaging.py", "integration/test_demo.py"]  # need no file of the source tree


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


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="lbjwt-wheel-") as name:
        away = Path(name)
        dist = away / "dist"
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, ROOT, cwd=away)
        (wheel,) = dist.glob("*.whl")

        venv.create(away / "venv", with_pip=True)
        python = away / "venv" / "bin" / "python"
        lock = ROOT / "requirements-dev.lock"
        run(python, "-m", "pip", "install", "--quiet", "--constraint", lock, wheel, "pytest", cwd=away)

        for test in TESTS:
            (away / "tests" / test).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "tests" / test, away / "tests" / test)
        shutil.copy(ROOT / "tests" / "harness" / "no_skip.py", away / "tests" / "conftest.py")
        (away / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers --import-mode=importlib\n")
        run(python, "-m", "pytest", "-q", "tests", cwd=away)
        print(f"{wheel.name}: works outside the source tree")


if __name__ == "__main__":
    main()
