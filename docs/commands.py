"""
The page ``commands.md``, made from the help texts of the commands, so that it cannot say anything else.

``python -m docs.commands docs/commands.md`` writes it; a test tells when it is due.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from lbjwt.cli import main

HEAD: Final = """# Commands

Results go to standard output, everything else to standard error. `lbjwt COMMAND --help` prints what stands here. Exit codes: 0 done, 1 refused or
failed, 2 a problem of usage or configuration; each command says what that means for it. This page is made by `python -m docs.commands`."""


def render() -> str:
    """Return the page: an overview, and a section for each command, in the order of ``lbjwt --help``."""
    found = list(_commands(main, click.Context(main, info_name="lbjwt")))
    rows = [
        f"| [`{name}`](#{name.replace(' ', '-')}) | {_paragraphs(command)[0].partition('. ')[0].rstrip('.')} |"
        for name, command, _ in found
    ]
    overview = "\n".join(["| command | |", "| --- | --- |", *rows])
    return "\n\n".join([HEAD, overview, *(part for one in found for part in _section(*one))]) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
        else:
            yield inner.command_path, command, inner


def _section(name: str, command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {name}"
    yield _block(" ".join([name, *command.collect_usage_pieces(context)]))
    for paragraph in _paragraphs(command):
        # click prints a paragraph as it stands when it begins with a backspace
        marked = paragraph.startswith("\b\n")
        yield _block(inspect.cleandoc(paragraph[1:])) if marked else " ".join(paragraph.split())
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [f"| `{_cell(option)}` | {_cell(text)} |" for option, text in filter(None, records) if text]
    if rows:
        yield "\n".join(["| option | meaning |", "| --- | --- |", *rows])


def _paragraphs(command: click.Command) -> list[str]:
    return inspect.cleandoc(command.help or "").split("\n\n")


def _block(text: str) -> str:
    return f"```\n{text}\n```"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
