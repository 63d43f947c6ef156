"""The rule of .ci/run that a test which did not run is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANTED = {
    "test_skips.py": "import pytest\ndef test_a(): pytest.skip('no nginx')\n",
    "test_imports.py": "import pytest\npytest.importorskip('no_such_module_of_ours')\n",
    "test_fails.py": "import pytest\n@pytest.mark.xfail\ndef test_a(): assert False\n",
}


def run(directory: Path, no_skip: str, *options: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_passes.py").write_text("def test_good(): pass\n")
    (directory / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.harness.no_skip", *options]
    environment = os.environ | {
        "LBJWT_NO_SKIP": no_skip,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [*command, str(directory)], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("options", [[], ["-p", "xdist", "-n", "1"]], ids=["one process", "in workers"])
def test_planted_skips_fail_the_run(tmp_path: Path, options: list[str]) -> None:
    """A skipped test, a skipped module and an expected failure each end a CI run as failed, by name."""
    for name, text in PLANTED.items():
        (tmp_path / name).write_text(text)
    finished = run(tmp_path, "1", *options)
    assert finished.returncode == pytest.ExitCode.TESTS_FAILED, finished.stdout
    for name in PLANTED:
        assert f"NOT RUN, counted as failed (LBJWT_NO_SKIP=1): {name}" in finished.stdout


def test_a_developer_may_skip(tmp_path: Path) -> None:
    """Without the variable a skipped test is only skipped."""
    (tmp_path / "test_skips.py").write_text(PLANTED["test_skips.py"])
    assert run(tmp_path, "").returncode == 0


def test_a_whole_run_passes(tmp_path: Path) -> None:
    """With the variable a run without skipped tests passes."""
    assert run(tmp_path, "1").returncode == 0
