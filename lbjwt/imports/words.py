"""The words of a line of a configuration."""

from typing import SupportsIndex, overload


class Words(tuple[str, ...]):
    """Words by their positions; one that the line lacks is empty, as nothing checks how many a line must have."""

    __slots__ = ()

    @overload
    def __getitem__(self, at: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> "Words": ...

    def __getitem__(self, at: SupportsIndex | slice) -> "str | Words":
        if isinstance(at, slice):
            return Words(super().__getitem__(at))
        index = at.__index__()
        return super().__getitem__(index) if -len(self) <= index < len(self) else ""
