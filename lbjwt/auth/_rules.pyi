"""Claim rules, compiled once. Importers in Cython use the shape of the .pxd."""

from typing import Any

from typing_extensions import disjoint_base

from lbjwt.auth.rules import ClaimRule

@disjoint_base
class Rule:
    """
    A compiled claim rule.

    Attributes:
        source: The rule it was compiled from.
    """

    @property
    def source(self) -> ClaimRule: ...
    def judge(self, claims: dict[str, Any]) -> int:
        """1: true, 0: false, -1: unknown. Only true passes."""

def compile_rule(rule: ClaimRule) -> Rule:
    """
    Compile a rule.

    Raises:
        ConfigurationError: Over 16 levels deep, over 256 tests, or no rule.
    """
