"""The rule of .ci/run that a test which did not run is a failure."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


def run(directory: Path, text: str, no_skip: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, directory / "conftest.py")
    (directory / "test_planted.py").write_text(f"import pytest\n{text}\n")
    (directory / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(directory)]
    environment = os.environ | {"LBJWT_NO_SKIP": no_skip}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "planted",
    [
        "def test_a(): pytest.skip('no nginx')",
        "pytest.importorskip('no_such_module_of_ours')",
        "@pytest.mark.xfail\ndef test_a(): assert False",
    ],
)
def test_a_planted_skip_fails_the_run(tmp_path, planted):
    """A skipped test, a skipped module and an expected failure each end a CI run as failed, by name."""
    finished = run(tmp_path, f"def test_good(): pass\n{planted}", "1")
    assert finished.returncode != 0, finished.stdout
    assert "NOT RUN, counted as failed" in finished.stdout


def test_a_developer_may_skip(tmp_path):
    """Without the variable a skipped test is only skipped."""
    assert run(tmp_path, "def test_good(): pass\ndef test_a(): pytest.skip('no nginx')", "").returncode == 0


def test_a_whole_run_passes(tmp_path):
    """With the variable a run without skipped tests passes."""
    assert run(tmp_path, "def test_good(): pass", "1").returncode == 0
