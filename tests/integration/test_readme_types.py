"""The Python of docs/python.md under a type checker, which takes longer than all its other tests together."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/python.md").read_text("utf-8")


def test_the_python_passes_a_strict_type_checker(tmp_path):
    """Every Python sample as a program of its own, as strictly as this package and against it."""
    samples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    files = [tmp_path / f"sample_{number}.py" for number in range(len(samples))]
    for file, sample in zip(files, samples, strict=True):
        file.write_text(sample)
    # In the tree and with its settings, so that mypy knows what `make types` found out about the package.
    command = [sys.executable, "-m", "mypy", *files]
    environment = os.environ | {"MYPYPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (len(samples), done.returncode) == (9, 0), done.stdout + done.stderr
