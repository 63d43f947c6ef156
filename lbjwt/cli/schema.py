"""``lbjwt schema``: the JSON Schema of the configuration file."""

import json

import click

from lbjwt.config.schema import json_schema


@click.command()
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of the configuration file.

    Editors use it to complete and check the file. For a YAML language server, save it and begin the file with:

    \b
        # yaml-language-server: $schema=lbjwt.schema.json
    """
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
