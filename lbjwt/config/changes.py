"""
What differs between two configurations, in words; and which of it can only come with a restart.

Sections are compared key by key. What has a name (issuers, clusters, routes) or an address (listeners, endpoints) is the same one in both wherever it
stands: order decides nothing. No value is told: it may be a secret in the wrong place.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pydantic import ValidationError

from lbjwt.config.model import Configuration, Endpoint
from lbjwt.config.problems import ConfigurationError, KeyPath, describe, key_path_text
from lbjwt.config.route import Route
from lbjwt.config.section import Section, keys_of

RESTART: Final = ("workers", "admin", "state_directory", "token_cache", "revocation", "fail_limit")
"""
Keys that are in force from start to end: sockets, memory and processes that are made once, before the first fork. The cache of verified tokens and
the failures by address would have to be thrown away.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. The last step of the path is what was added, removed or changed."""

    path: KeyPath
    what: Literal["added", "removed", "changed"]

    def __str__(self) -> str:
        """`issuers.main: audiences changed`, `routes: orders added`, `realm changed`."""
        place = f"{key_path_text(self.path[:-1])}: " if len(self.path) > 1 else ""
        return f"{place}{key_path_text(self.path[-1:])} {self.what}"


def changes(old: Configuration, new: Configuration) -> list[Change]:
    """Return every difference, in the order of the new configuration; what was removed comes after what its place has now."""
    return list(_section((), old, new))


def needs_restart(old: Configuration, new: Configuration) -> list[str]:
    """Return the keys whose new values only a restart can put into force."""
    return [key for key in RESTART if getattr(old, key) != getattr(new, key)]


def until_restart(old: Configuration, new: Configuration) -> tuple[Configuration, list[str]]:
    """
    Return what a reload puts into force: the new configuration as far as a running service can apply it, and the keys that keep their old values
    for that.

    Raises:
        ConfigurationError: The kept values do not go with the new ones.
    """
    kept = needs_restart(old, new)
    if not kept:
        return new, []
    values = dict(new) | {key: getattr(old, key) for key in kept}
    given = (new.model_fields_set - {*kept}) | (old.model_fields_set & {*kept})
    effective = Configuration.model_construct(given, **values)
    try:
        Configuration.model_validate(dict(effective))
    except ValidationError as error:
        why = f" (with {', '.join(kept)} as in force until a restart)"
        problems = describe(error, Configuration)
        raise ConfigurationError(replace(problem, message=problem.message + why) for problem in problems) from None
    return effective, kept


def _section(path: KeyPath, old: Section, new: Section) -> Iterator[Change]:
    if type(old) is not type(new):
        yield Change(path, "changed")
        return
    for key, name in _names(new).items():
        if key == "listeners" and isinstance(old, Configuration) and isinstance(new, Configuration):
            yield from _parts((key,), old.named_listeners, new.named_listeners)
        else:
            yield from _value((*path, key), getattr(old, name), getattr(new, name))


def _value(path: KeyPath, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if old is None or new is None:
        yield Change(path, "added" if old is None else "removed")
    elif isinstance(old, Section) and isinstance(new, Section):
        yield from _section(path, old, new)
    elif isinstance(old, Mapping) and isinstance(new, Mapping) and _holds_sections(old, new):
        yield from _parts(path, old, new)
    elif isinstance(old, tuple) and isinstance(new, tuple) and (_named(old) or _named(new)):
        yield from _parts(path, _named(old), _named(new))
    else:
        yield Change(path, "changed")


def _parts(path: KeyPath, old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Iterator[Change]:
    """Differences of two collections whose parts have names."""
    for name, part in new.items():
        if name in old:
            yield from _value((*path, str(name)), old[name], part)
        else:
            yield Change((*path, str(name)), "added")
    for name in old:
        if name not in new:
            yield Change((*path, str(name)), "removed")


def _named(parts: Sequence[Any]) -> dict[Hashable, Any]:
    """The parts of a list by what tells them apart; {} for a list whose parts have no names."""
    if all(isinstance(part, Route) for part in parts):
        return {part.name: part for part in parts}
    if all(isinstance(part, Endpoint) for part in parts):
        return {str(part.address): part for part in parts}
    return {}


def _holds_sections(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> bool:
    return all(isinstance(part, Section) for part in (*old.values(), *new.values()))


def _names(section: Section) -> dict[str, str]:
    """Of each key in the file the name of its attribute."""
    fields = type(section).model_fields
    return dict(zip(keys_of(type(section)), fields, strict=True))
