"""The functions of libnghttp2 in the wheels of ngh2: a library without them is refused when lbjwt starts, with the way out."""

from __future__ import annotations

import subprocess
import sys

import pytest

STUB = """
import sys, types
import lbjwt._compiled
name, sys.modules["ngh2"], sys.modules["ngh2._core"] = sys.argv[1], types.ModuleType("ngh2"), types.ModuleType("ngh2._core")
sys.modules["ngh2"].__version__ = "9.9"
sys.modules["ngh2"]._core = sys.modules["ngh2._core"]
sys.modules["ngh2._core"].__file__ = name or lbjwt._compiled.__file__
import lbjwt.http2._session
"""


@pytest.mark.parametrize(
    ("path", "said"),
    [("", "(ngh2 9.9) does not export nghttp2_session_callbacks_new"), ("/nowhere/_core.so", "/nowhere/_core.so")],
)
def test_another_library_is_refused(path: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", STUB, path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "ImportError: " in done.stderr
    assert said in done.stderr
    assert "Install ngh2==0.3.0" in done.stderr
