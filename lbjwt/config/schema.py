"""
The JSON Schema (draft 2020-12) of the configuration file, for editors. It has few of the rules between keys; ``lbjwt check`` has all.
"""

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from lbjwt.config.model import Configuration
from lbjwt.config.relations import MAX_CLUSTERS, MAX_ISSUERS
from lbjwt.units import DURATION_PATTERN, PERCENT_PATTERN, SIZE_PATTERN, format_duration, format_percent, format_size

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Without a title for every field."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    schema = Configuration.model_json_schema(schema_generator=_Generator)
    for section in (schema, *schema["$defs"].values()):
        for key, rule in section["properties"].items():
            _write_default(rule)
            _ask_for_content(rule)
            _add_shortcut(rule)
            if section is schema and key in ("issuers", "clusters"):
                rule.update(minProperties=1, maxProperties=MAX_ISSUERS if key == "issuers" else MAX_CLUSTERS)
    return {"$schema": DIALECT, **schema, "title": "lbjwt configuration"}


def _ask_for_content(rule: dict[str, Any]) -> None:
    """Refuse null for a mapping, as the model does for text, because it could be read as off."""
    parts = rule.get("anyOf", ())
    if len(parts) == 2 and parts[1] == {"type": "null"} and "$ref" in parts[0]:
        rule.update(rule.pop("anyOf")[0])


def _add_shortcut(rule: dict[str, Any]) -> None:
    """Accept the short form of a mapping, too."""
    shortcut = rule.pop("shortcut", None)
    if shortcut is not None:
        rule["anyOf"] = [{"$ref": rule.pop("$ref")}, shortcut]


def _write_default(rule: dict[str, Any]) -> None:
    """Write the default of a duration, size or share with its unit, and drop null and mappings."""
    default = rule.get("default")
    patterns = {part.get("pattern") for part in (rule, *rule.get("anyOf", ()))}
    if isinstance(default, dict) or ("default" in rule and default is None):
        del rule["default"]
    elif DURATION_PATTERN in patterns and isinstance(default, int | float):
        rule["default"] = format_duration(default)
    elif SIZE_PATTERN in patterns and isinstance(default, int):
        rule["default"] = format_size(default)
    elif PERCENT_PATTERN in patterns and isinstance(default, int | float):
        rule["default"] = format_percent(default)
