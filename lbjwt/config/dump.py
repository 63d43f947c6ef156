"""
The configuration as YAML that reads back as the same configuration.

Writes what was given, with readable units, and leaves out what was left to its default. File names come out resolved, so that the
text can be saved anywhere.
"""

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from lbjwt.config.model import Configuration
from lbjwt.config.syntax import curly_quotes


def dump(configuration: Configuration) -> str:
    """Return the YAML text of a configuration. It holds no secret: keys and secrets stand in files of their own."""
    writer = YAML(typ="rt", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = True
    writer.width = 4096  # never fold a value: a folded name is hard to read and easy to break by editing
    writer.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    writer.dump(
        _quoted(configuration.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)), text
    )
    return text.getvalue()


def _quoted(value: Any) -> Any:
    """The value with quotes around what would be read as a mistake without."""
    if isinstance(value, dict):
        return {key: _quoted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_quoted(inner) for inner in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and curly_quotes(value) else value
