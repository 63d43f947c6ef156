"""The door itself: help, version, exit codes, and that looking costs little."""

import gc
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import lbjwt.cli
from lbjwt.cli import main

HEAVY = {"uvloop", "httptools", "cryptography", "joserfc", "aiohttp", "pydantic", "ruamel", "asyncio"}


def test_help_lists_every_command():
    """`lbjwt` and `lbjwt --help` say what there is."""
    for arguments in ([], ["--help"], ["-h"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0
        for name in ("serve", "check", "doctor", "explain", "schema", "demo", "keys", "revoke", "token"):
            assert f"\n  {name} " in result.stdout


def test_a_misspelt_command_is_told_with_the_nearest():
    """Nothing is suggested for a word that is like none."""
    for word, meant in (("serv", " Did you mean serve?"), ("explian", " Did you mean explain?"), ("xyzzy", "")):
        result = CliRunner().invoke(main, [word])
        assert result.exit_code == 2
        assert f"No such command '{word}'.{meant}\n" in result.stderr


def test_the_listed_line_is_the_one_of_the_command():
    """The help that is shown without importing a command agrees with the command itself."""
    assert isinstance(main, click.Group)
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert lbjwt.cli._COMMANDS[name]
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0


@pytest.mark.parametrize("command", ["serve", "check"])
def test_garbage_is_collected_again_after_an_import(command: str):
    """Also when the command ends at once."""
    assert CliRunner().invoke(main, [command, "no-such-file.yaml"]).exit_code == 2
    assert gc.isenabled()


def test_an_unknown_command_is_a_usage_error():
    """Exit code 2, the message on standard error."""
    result = CliRunner().invoke(main, ["server"])
    assert result.exit_code == 2
    assert "server" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("code", "banned"),
    [
        ("import lbjwt", HEAVY | {"click"}),
        ("from lbjwt.cli import main; main(['--version'], standalone_mode=False)", HEAVY - {"asyncio"}),
        ("from lbjwt.cli import main; main(['--help'], standalone_mode=False)", HEAVY - {"asyncio"}),
        (
            "from lbjwt.cli import main; main(['schema'], standalone_mode=False)",
            {"uvloop", "aiohttp", "joserfc"},  # the rules that the schema is made of stand beside compiled code
        ),
    ],
)
def test_looking_is_cheap(code: str, banned: set[str]):
    """What was not asked for is not imported: a shell prompt or a container probe may call this every second."""
    report = f"{code}\nimport sys\nprint(sorted({{name.partition('.')[0] for name in sys.modules}} & {banned!r}), file=sys.stderr)"
    finished = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, timeout=60, check=True)
    assert finished.stderr == "[]\n"


def test_the_module_is_a_door_too():
    """`python -m lbjwt` is the command under its own name."""
    finished = subprocess.run(
        [sys.executable, "-m", "lbjwt", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert finished.stdout.startswith("lbjwt ")
