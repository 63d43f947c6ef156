"""
The base of every mapping of the configuration: frozen, no unknown key, and rules between keys that point at a place.

A rule between keys is written as the validator of the last key it needs, so that it runs even when another key of the same mapping is wrong
and all problems come out in one run. ``across`` makes the error that belongs to the whole mapping, or to another of its keys, instead.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError

__all__ = ["ACROSS", "Section", "across", "given"]

ACROSS = "lbjwt_across"
"""The error type of a rule between keys: its place is the mapping that holds the reporting key, followed by ``ctx["key"]`` when that is not empty."""


class Section(BaseModel):
    """One mapping of the configuration file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def across(message: str, key: str = "") -> PydanticCustomError:
    """Return the error of a rule between keys, to be raised; ``key`` is the key to point at, the whole mapping when empty."""
    return PydanticCustomError(ACROSS, "{sentence}", {"sentence": message, "key": key})


def given(info: ValidationInfo, key: str) -> bool:
    """True when an earlier key has a value other than None, be it a wrong one (whose own problem is reported separately)."""
    value: Any = info.data.get(key, ...)
    return value is not None
