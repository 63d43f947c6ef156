"""Lines for people: in colour on a terminal, plain in a pipe, never folded."""

import io
import re

import pytest

from lbjwt.cli.report import print_lines

LINES = [("ok", "fine"), ("problem", "x" * 300), ("plain", ""), ("note", "[bold]not markup[/bold] 127.0.0.1")]


class Terminal(io.StringIO):
    """What a terminal would get."""

    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]):
    """Nothing but the text."""
    print_lines(LINES)
    assert capsys.readouterr().out == "".join(f"{text}\n" for _, text in LINES)


def test_a_terminal_gets_colours_and_the_same_text(monkeypatch: pytest.MonkeyPatch):
    """A long line is the terminal's to fold, brackets are text, and numbers get no colours of their own."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    print_lines(LINES)
    written = terminal.getvalue()
    assert "\x1b[32mfine\x1b[0m\n" in written
    assert re.sub(r"\x1b\[[0-9;]*m", "", written) == "".join(f"{text}\n" for _, text in LINES)


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch):
    """NO_COLOR (no-color.org) switches colours off on a terminal too."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    print_lines(LINES)
    assert "\x1b" not in terminal.getvalue()
