"""Claim rules, compiled once. Importers in Cython use the shape of the .pxd."""

from typing import Any

from typing_extensions import disjoint_base

from lbjwt.auth.outcome import Outcome
from lbjwt.auth.rules import ClaimRule

@disjoint_base
class Rule:
    """
    A compiled claim rule; `str` is its form for the eye.

    Attributes:
        source: The rule it was compiled from.
    """

    @property
    def source(self) -> ClaimRule: ...
    def judge(self, claims: dict[str, Any]) -> int:
        """1: true, 0: false, -1: unknown. Only true passes."""

    def explain(self, claims: dict[str, Any]) -> list[Outcome]:
        """Each test in the rule, in order and on its own: whether it is met, refused or unknown, and what the claim is."""

def compile_rule(rule: ClaimRule) -> Rule:
    """
    Compile a rule.

    Raises:
        ConfigurationError: Over 16 levels deep, over 256 tests, or no rule.
    """
