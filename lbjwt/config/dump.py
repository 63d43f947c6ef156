"""
The configuration as YAML that reads back as the same configuration.

Writes the given values, with readable units and absolute file names, and no defaults.
"""

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from lbjwt.config.model import Configuration
from lbjwt.config.syntax import curly_quotes


def dump(configuration: Configuration) -> str:
    """The YAML text of a configuration. It has no secrets: those are in other files."""
    writer = YAML(typ="rt", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = True
    writer.width = 4096  # never fold a value
    writer.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    writer.dump(
        _quoted(configuration.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)), text
    )
    return text.getvalue()


def _quoted(value: Any) -> Any:
    """The value, with quotes around text that would be read as a mistake without."""
    if isinstance(value, dict):
        return {key: _quoted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_quoted(inner) for inner in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and curly_quotes(value) else value
