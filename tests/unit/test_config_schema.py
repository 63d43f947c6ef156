"""The JSON Schema and the reference page: made from the model, and in step with it."""

import re
from pathlib import Path
from typing import Any

import pytest

from docs import reference
from lbjwt.config import document
from lbjwt.config.model import Configuration
from lbjwt.config.schema import json_schema

SCHEMA = json_schema()
EXAMPLES = [
    Path("examples/minimal.yaml"),
    *sorted(set(Path("examples").glob("*.yaml")) - {Path("examples/minimal.yaml")}),
]
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "number": int | float,
    "null": type(None),
}


def accepts(rule: dict[str, Any], value: Any) -> bool:
    """A validator for exactly the keywords that the schema uses; another keyword fails the test."""
    if "$ref" in rule:
        return accepts(SCHEMA["$defs"][rule["$ref"].rpartition("/")[2]], value)
    for keyword, operand in rule.items():
        match keyword:
            case "$schema" | "$defs" | "title" | "description" | "default" | "examples" | "additionalProperties":
                good = True
            case "type":
                good = isinstance(value, TYPES[operand]) and (
                    operand not in ("integer", "number") or not isinstance(value, bool)
                )
            case "anyOf":
                good = any(accepts(part, value) for part in operand)
            case "const":
                good = value == operand
            case "enum":
                good = value in operand
            case "pattern":
                good = isinstance(value, str) and re.search(operand, value) is not None
            case "minLength" | "minItems" | "minProperties":
                good = len(value) >= operand
            case "maxLength" | "maxItems" | "maxProperties":
                good = len(value) <= operand
            case "minimum":
                good = not isinstance(value, int) or value >= operand
            case "maximum":
                good = not isinstance(value, int) or value <= operand
            case "items":
                good = all(accepts(operand, item) for item in value)
            case "required":
                good = not isinstance(value, dict) or set(operand) <= value.keys()
            case "properties" if not isinstance(value, dict):
                good = True  # that it is none is for `type` to say
            case "properties":
                closed = rule.get("additionalProperties") is not False or value.keys() <= operand.keys()
                good = closed and all(accepts(operand[key], item) for key, item in value.items() if key in operand)
            case "propertyNames":
                good = all(accepts(operand, key) for key in value)
            case "patternProperties":
                ((pattern, inner),) = operand.items()
                good = all(re.search(pattern, key) and accepts(inner, item) for key, item in value.items())
            case _:
                raise AssertionError(f"a keyword this test does not know: {keyword}")
        if not good:
            return False
    return True


def value_of(text: str) -> Any:
    """What a text that can be read says."""
    root, _ = document.read(text)
    assert root is not None
    return root.data


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_schema_accepts_the_examples(example: Path):
    """What lbjwt loads, an editor does not underline."""
    assert accepts(SCHEMA, value_of(example.read_text()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("audiences: [api]", "audience: [api]"),
        ("audiences: [api]", "audiences: api"),
        ("jwks_file: jwks.json", "jwks_file: jwks.json\n    clock_skew: 60"),
        ("jwks_file: jwks.json", "jwks_file: jwks.json\n    clock_skew: 1.5s"),
        ("jwks_file: jwks.json", "jwks_file: jwks.json\n    algorithms: [none]"),
        ("clusters:", "limits: {max_token: 8KB}\nclusters:"),
        ("clusters:", "workers: 0\nclusters:"),
        ("clusters:", "header_names: maybe\nclusters:"),
        ("clusters:", "backends:"),
        ("clusters:", "revocation:\nclusters:"),
        ("127.0.0.1:8080", "127.0.0.1:8080\n    tls:"),
        ("clusters:", "routes: [{name: a, rules: [{not: {claim: a, equals: 1, is: 2}}]}]\nclusters:"),
        ("clusters:", "routes: [{name: a, rules: [{claim: a, less_than: '1'}]}]\nclusters:"),
    ],
)
def test_the_schema_refuses_what_the_model_refuses(old: str, new: str):
    """Units, spelling and closed lists are known to the schema."""
    text = EXAMPLES[0].read_text()
    assert old in text
    assert not accepts(SCHEMA, value_of(text.replace(old, new)))


def test_the_schema_is_of_the_draft_it_names_and_explains_every_key():
    """Editors show the description of each key; defaults are written as in the file."""
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    sections = [SCHEMA, *SCHEMA["$defs"].values()]
    for section in sections:
        for key, rule in section["properties"].items():
            assert rule.get("description") or "$ref" in rule, key
            assert not isinstance(rule.get("default"), float), key
    assert SCHEMA["$defs"]["Issuer"]["properties"]["clock_skew"]["default"] == "1m"
    assert SCHEMA["$defs"]["Limits"]["properties"]["max_token"]["default"] == "8KiB"


def test_the_reference_is_in_step_with_the_model():
    """docs/reference.md is renewed by: python -m docs.reference docs/reference.md"""
    page = Path("docs/reference.md").read_text()
    assert reference.rewrite(page) == page


def test_the_reference_names_every_key():
    """No key is left out, however deep it stands."""
    text = reference.render()
    for section in (Configuration.model_json_schema(), *Configuration.model_json_schema()["$defs"].values()):
        for key in section["properties"]:
            assert f"| `{key}` |" in text


def test_a_page_without_its_markers_is_refused():
    """The text around the reference is never lost."""
    with pytest.raises(ValueError, match="no place"):
        reference.rewrite("# Configuration\n")
