"""
What a claim may still be after some comparisons: a small algebra of kinds, values, numbers and beginnings.

Pure. It never says that nothing is possible when something is; that it may overlook a contradiction is no harm.
"""

import math
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Possible"]

_KINDS = frozenset({"text", "number", "boolean", "list", "absent"})


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


@dataclass(slots=True)
class Possible:
    """The values that one claim may have."""

    kinds: frozenset[str] = _KINDS
    values: frozenset[tuple[str, Any]] | None = None
    """Kind and value of all that is left; None for any."""
    low: tuple[float, bool] = (-math.inf, False)
    """A number is above this, and not this itself when the second is true."""
    high: tuple[float, bool] = (math.inf, False)
    prefixes: list[str] = field(default_factory=list)

    def narrow(self, operator: str, operand: Any) -> None:
        """Take one more comparison that must hold."""
        match operator:
            case "exists":
                self.kinds &= _KINDS - {"absent"} if operand else {"absent"}
                return
            case "equals" | "one_of":
                given = frozenset((_kind(value), value) for value in (operand if operator == "one_of" else (operand,)))
                self.values = given if self.values is None else self.values & given
                self.kinds &= {kind for kind, _ in given}
            case "contains" | "contains_any" | "contains_all":
                self.kinds &= {"list"}
            case "less_than" | "at_most":
                # of two equal limits the one without the limit itself is narrower
                self.high = min(
                    self.high, (operand, operator == "less_than"), key=lambda limit: (limit[0], not limit[1])
                )
                self.kinds &= {"number"}
            case "more_than" | "at_least":
                self.low = max(self.low, (operand, operator == "more_than"))
                self.kinds &= {"number"}
            case "contains_word" | "contains_any_word" | "contains_all_words":
                self.kinds &= {"text"}
            case "prefix":
                self.prefixes.append(operand)
                self.kinds &= {"text"}

    def is_empty(self) -> bool:
        """True when no claim is like this."""
        if not self.kinds:
            return True
        if self.values is not None:
            return not any(kind in self.kinds and self._fits(value) for kind, value in self.values)
        if self.kinds == {"number"}:
            return self.low[0] > self.high[0] or (self.low[0] == self.high[0] and (self.low[1] or self.high[1]))
        longest = max(self.prefixes, key=len, default="")
        return self.kinds == {"text"} and not all(longest.startswith(prefix) for prefix in self.prefixes)

    def _fits(self, value: Any) -> bool:
        if isinstance(value, str):
            return all(value.startswith(prefix) for prefix in self.prefixes)
        if isinstance(value, bool):
            return True
        above = value > self.low[0] or (value == self.low[0] and not self.low[1])
        return above and (value < self.high[0] or (value == self.high[0] and not self.high[1]))
