"""``required_headers`` of an issuer: members that the JOSE header of its tokens must have."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from lbjwt.auth.policy import MAX_REQUIRED_HEADERS, HeaderValue
from lbjwt.config.fields import Words

_VALUES: Final = 100  # of one header member
_LONGEST: Final = 1024  # characters of a value


def _read(value: Any) -> Any:
    """Read a mapping of names to a value or a list of values: text, whole numbers, true and false."""
    if not isinstance(value, dict):
        raise ValueError("must be a mapping of header members to the values that they must have")
    if len(value) > MAX_REQUIRED_HEADERS:
        raise ValueError(f"must not have more than {MAX_REQUIRED_HEADERS} members")
    return {_name(name): _values(name, values) for name, values in value.items()}


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 256:
        raise ValueError("the name of a header member must be 1 to 256 printable characters")
    return name


def _values(name: str, given: Any) -> tuple[HeaderValue, ...]:
    values = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not 0 < len(values) <= _VALUES:
        raise ValueError(f"{name} must have 1 to {_VALUES} values")
    for value in values:
        if not isinstance(value, str | int) or (isinstance(value, str) and not 0 < len(value) <= _LONGEST):
            raise ValueError(f"{name} must be text, a whole number, true or false, or a list of these")
    return values


def _written(required: dict[str, tuple[HeaderValue, ...]]) -> dict[str, Any]:
    return {name: values[0] if len(values) == 1 else list(values) for name, values in required.items()}


_ONE: Final = {
    "anyOf": [{"type": "string", "minLength": 1, "maxLength": _LONGEST}, {"type": "integer"}, {"type": "boolean"}]
}
_SCHEMA: Final = {
    "type": "object",
    "maxProperties": MAX_REQUIRED_HEADERS,
    "additionalProperties": {
        "anyOf": [*_ONE["anyOf"], {"type": "array", "items": _ONE, "minItems": 1, "maxItems": _VALUES}]
    },
}

RequiredHeaders = Annotated[
    dict[str, tuple[HeaderValue, ...]],
    BeforeValidator(_read),
    PlainSerializer(_written, return_type=dict[str, Any]),
    WithJsonSchema(_SCHEMA),
    Words("mapping of header members to values"),
]
