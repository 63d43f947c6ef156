"""
The valid values of a configuration that has errors, so that the files they name can be checked in the same run.

It is no configuration to serve with: invalid and missing values are absent, and no rule between keys was applied.
"""

from typing import Annotated, Any, Final, get_origin

from pydantic import TypeAdapter, ValidationError

from lbjwt.config.fields import Source
from lbjwt.config.model import Configuration
from lbjwt.config.section import Section, container_of, keys_of, section_in

_NOTHING: Final = object()


def partial(document: Any, source: Source) -> Configuration:
    """
    The configuration of a document's valid values. Sections in lists and under labels keep their positions; required keys without a valid
    value are empty.
    """
    made = _section(Configuration, document, source)
    assert isinstance(made, Configuration)
    lacking: dict[str, Any] = {
        name: {} if get_origin(field.annotation) is dict else ()
        for name, field in Configuration.model_fields.items()
        if field.is_required() and name not in made.model_fields_set
    }
    return made.model_copy(update=lacking)


def _section(kind: type[Section], given: Any, source: Source) -> Section:
    known: dict[str, Any] = {}
    names = {field.alias or name: name for name, field in kind.model_fields.items()}
    for key, field in keys_of(kind).items():
        if isinstance(given, dict) and key in given:
            annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
            value = _value(annotation, given[key], source)
            if value is not _NOTHING:
                known[names[key]] = value
    return kind.model_construct(None, **known)


def _value(annotation: Any, given: Any, source: Source) -> Any:
    """The value, or the valid values of the sections in it, or _NOTHING."""
    try:
        return TypeAdapter(annotation).validate_python(given, context=source)
    except ValidationError:
        pass
    kind, container = section_in(annotation), container_of(annotation)
    if kind is None:
        return _NOTHING
    if container is dict:
        return (
            {label: _section(kind, one, source) for label, one in given.items()}
            if isinstance(given, dict)
            else _NOTHING
        )
    if container is tuple:
        return tuple(_section(kind, one, source) for one in given) if isinstance(given, list) else _NOTHING
    section = _section(kind, given, source)
    required = {name for name, field in kind.model_fields.items() if field.is_required()}
    return section if required <= section.model_fields_set else _NOTHING
