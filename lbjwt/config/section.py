"""
The base of every mapping of the configuration: frozen, no unknown key, and rules between keys that point at a place.

A rule between keys is written as the validator of the last key it needs, so that it runs even when another key of the same mapping is wrong
and all problems come out in one run. ``across`` makes the error that belongs to the whole mapping, or to another of its keys, instead; ``refuse``
raises one error for many, because a validator can raise only once.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from lbjwt import errors

ACROSS = "lbjwt_across"
"""The error type of a rule between keys: ``ctx["faults"]`` has the faults, placed from the mapping that holds the reporting key."""

EMPTY = "lbjwt_empty"
"""The error type of a key that is to hold a mapping and has no value."""


class Section(BaseModel):
    """One mapping of the configuration file."""

    # A validation error is printed by whoever embeds lbjwt; what was given may be a secret in the wrong place.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _something_below(cls, value: Any, info: ValidationInfo) -> Any:
        """``tls:`` with nothing below it would be no TLS, and ``revocation:`` no revocation: in a text that is hardly what was meant."""
        if (
            value is None
            and info.context is not None
            and _holds_section(cls.model_fields[str(info.field_name)].annotation)
        ):
            raise PydanticCustomError(
                EMPTY, "{sentence}", {"sentence": "has no value; write {} for the defaults, or remove the key"}
            )
        return value


class Fault(NamedTuple):
    """
    What a rule between keys has found.

    ``place`` leads from the mapping to the value that is wrong, () for the mapping itself; ``at_key`` tells that the key of that value is meant,
    as it is when the value is a mapping. ``code`` is that of the problem; "" for one without its own.
    """

    place: tuple[str | int, ...]
    sentence: str
    at_key: bool = False
    code: str = ""


def _holds_section(annotation: Any) -> bool:
    return any(isinstance(part, type) and issubclass(part, Section) for part in get_args(annotation))


def across(message: str, *place: str | int, at_key: bool = False) -> PydanticCustomError:
    """Return the error of a rule between keys, to be raised by the validator of a key; see ``Fault``."""
    return _error([Fault(place, message, at_key)])


def refuse(faults: Iterable[Fault]) -> None:
    """Raise one error that tells all the faults, for the validator of a key; nothing happens when there are none."""
    if found := list(faults):
        raise _error(found)


def _error(faults: list[Fault]) -> PydanticCustomError:
    sentence = "; ".join(fault.sentence for fault in faults)
    return PydanticCustomError(ACROSS, "{sentence}", {"sentence": sentence, "faults": faults})


@contextmanager
def placed(key: str = "") -> Iterator[None]:
    """
    Let a constructor of the domain refuse what it is given: its error becomes that of the value at the place it names, seen from the mapping.

    With the key that is being validated the place is one inside its value.
    """
    try:
        yield
    except errors.ConfigurationError as error:
        if key and not error.place:
            raise  # pydantic takes it for the error of the key
        raise across(str(error), *[key] * bool(key), *error.place) from None


def given(info: ValidationInfo, key: str) -> bool:
    """True when an earlier key has a value other than None, be it a wrong one (whose own problem is reported separately)."""
    value: Any = info.data.get(key, ...)
    return value is not None


def keys_of(section: type[Section]) -> dict[str, FieldInfo]:
    """The keys of a mapping as the file writes them."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def section_in(annotation: Any) -> type[Section] | None:
    """The section inside an annotation such as ``Annotated[tuple[Listener, ...], ...]`` or ``Tls | None``."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, Section) else None
    return next((section for part in get_args(annotation) if (section := section_in(part)) is not None), None)


def container_of(annotation: Any) -> Any:
    """``tuple`` or ``dict`` for an annotation of several values; something else for one."""
    if hasattr(annotation, "__metadata__"):
        return container_of(annotation.__origin__)
    if get_origin(annotation) in (Union, UnionType):
        return container_of(get_args(annotation)[0])
    return get_origin(annotation)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value below a mapping that is no mapping or list itself, with its path in the file."""
    inner: Iterable[tuple[str | int, Any]]
    if isinstance(value, Section):
        inner = ((field.alias or name, getattr(value, name)) for name, field in type(value).model_fields.items())
    elif isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    else:
        yield path, value
        return
    for step, one in inner:
        yield from leaves(one, (*path, step))
