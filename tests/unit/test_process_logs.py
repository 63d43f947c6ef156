"""The log of the processes: one record, one line."""

import logging

import pytest

from lbjwt.process import logs


@pytest.fixture
def restored():
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("lbjwt").setLevel(logging.NOTSET)


def test_a_line_has_time_level_and_process(restored, capsys):
    """``time level lbjwt[who]: sentence``, in UTC, on standard error; the library's debug chatter stays away."""
    logs.set_up("worker 3")
    logging.getLogger("lbjwt.jwks").info("hello %d", 7)
    logging.getLogger("lbjwt.jwks").debug("no")
    logging.getLogger("somebody").info("no")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.endswith("Z INFO lbjwt[worker 3]: hello 7\n")


def test_no_value_forges_a_line(restored, capsys):
    """Newlines and escape sequences in a message become visible characters (CVE-2020-7694)."""
    logs.set_up("supervisor")
    logging.getLogger("lbjwt").warning("x %s", "a\nERROR lbjwt[supervisor]: b\x1b[2J")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert r"a\x0aERROR" in err
