"""
The base of every mapping of the configuration: frozen, no unknown key, and rules between keys.

A rule between keys is the validator of the last key it needs, so that it runs even when another key of the mapping is wrong and one run reports
all problems. ``across`` makes an error of the whole mapping, or of another of its keys; ``refuse`` raises several faults as one error.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from lbjwt import errors

# Error types: of a rule between keys, with ``ctx["faults"]`` placed from the mapping of the reporting key; of a mapping's key without a value.
ACROSS = "lbjwt_across"
EMPTY = "lbjwt_empty"


class Section(BaseModel):
    """One mapping of the configuration file."""

    # An embedding program may print a validation error, and the input may be a secret in the wrong place.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _something_below(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``tls:`` or ``revocation:`` with nothing below it in a text, which would silently mean none."""
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
    A problem that a rule between keys found.

    ``place`` is the path from the mapping to the wrong value, () for the mapping itself; ``at_key``: show the key, not the value, as for
    a mapping. ``code`` is that of the problem, "" for the default.
    """

    place: tuple[str | int, ...]
    sentence: str
    at_key: bool = False
    code: str = ""


def _holds_section(annotation: Any) -> bool:
    return any(isinstance(part, type) and issubclass(part, Section) for part in get_args(annotation))


def across(message: str, *place: str | int, at_key: bool = False) -> PydanticCustomError:
    """The error of a rule between keys, for the validator of a key to raise; see ``Fault``."""
    return _error([Fault(place, message, at_key)])


def refuse(faults: Iterable[Fault]) -> None:
    """Raise one error with all the faults, if there are any."""
    if found := list(faults):
        raise _error(found)


def _error(faults: list[Fault]) -> PydanticCustomError:
    sentence = "; ".join(fault.sentence for fault in faults)
    return PydanticCustomError(ACROSS, "{sentence}", {"sentence": sentence, "faults": faults})


@contextmanager
def placed(key: str = "") -> Iterator[None]:
    """
    Turn a ConfigurationError of the domain into an error of the section, at the place that it names, seen from the mapping.

    With the key that is being validated, the place is inside its value.
    """
    try:
        yield
    except errors.ConfigurationError as error:
        if key and not error.place:
            raise  # pydantic takes it for the error of the key
        raise across(str(error), *[key] * bool(key), *error.place) from None


def given(info: ValidationInfo, key: str) -> bool:
    """True when an earlier key has a value other than None, also an invalid one."""
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
    """``tuple`` or ``dict`` for an annotation of several values, else another value."""
    if hasattr(annotation, "__metadata__"):
        return container_of(annotation.__origin__)
    if get_origin(annotation) in (Union, UnionType):
        return container_of(get_args(annotation)[0])
    return get_origin(annotation)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value below that is no mapping or list, with its path in the file."""
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
