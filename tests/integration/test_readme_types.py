"""The Python of docs/python.md under a type checker, which takes longer than all its other tests together."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/python.md").read_text("utf-8")
CACHE = ROOT / ".mypy_cache" / "readme"  # the second time is quick
UNSEEN = ("aiohttp.*", "click.*", "cryptography.*", "joserfc.*", "prometheus_client.*", "ruamel.*")


def test_the_python_passes_a_strict_type_checker(tmp_path):
    """Every Python sample as a program of its own under `mypy --strict`, against this package."""
    samples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    files = [tmp_path / f"sample_{number}.py" for number in range(len(samples))]
    for file, sample in zip(files, samples, strict=True):
        file.write_text(sample)
    configuration = tmp_path / "mypy.ini"
    # silent, as mypy is about an installed package; pydantic it must know, for the types of settings, the others no sample meets
    package = "[mypy-lbjwt.*]\nfollow_imports = silent\nignore_missing_imports = true\n"
    package += f"[mypy-{','.join(UNSEEN)}]\nfollow_imports = skip\n"
    configuration.write_text(f"[mypy]\nstrict = true\nwarn_unreachable = true\nmypy_path = {ROOT}\n{package}")
    command = [sys.executable, "-m", "mypy", "--config-file", configuration, "--cache-dir", CACHE, *files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert (len(samples), done.returncode) == (5, 0), done.stdout + done.stderr
