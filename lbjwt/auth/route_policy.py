"""
What one route requires of a token that its issuer's policy has accepted, as one frozen value. `_route_rules` compiles it.

The admission decides whether the route needs a token at all and whether the whole route is report-only.
"""

from dataclasses import dataclass

from lbjwt.auth.policy import check_audiences, check_scopes
from lbjwt.auth.rules import MAX_RULES, ClaimRule
from lbjwt.errors import ConfigurationError

MAX_TESTS = 1000  # in all rules of a route: each costs every token


@dataclass(frozen=True, slots=True)
class RouteRule:
    """One claim rule of a route. With `report_only`, a token that fails it passes, and is counted and logged."""

    rule: ClaimRule
    report_only: bool = False
    name: str = ""  # for explanations; "" for the rule's own words


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePolicy:
    """
    The rules of one route, on top of those of the token's issuer.

    Attributes:
        issuers: Indexes of the accepted issuers; None for all. A token of another one is WRONG_ISSUER.
        audiences: One of them must be in `aud`, in addition to one of the issuer's; None for no more than that.
        scopes_all: All of them must be granted.
        scopes_any: One of them must be granted; empty for none.
        rules: All of them must be true, else CLAIM_REFUSED.

    Raises:
        ConfigurationError: An invalid value, or one that no token could meet.
    """

    name: str
    issuers: frozenset[int] | None = None
    audiences: tuple[str, ...] | None = None
    scopes_all: tuple[str, ...] = ()
    scopes_any: tuple[str, ...] = ()
    rules: tuple[RouteRule, ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("a route needs a name")
        if self.issuers is not None and (not self.issuers or min(self.issuers) < 0):
            raise ConfigurationError(
                f"the route {self.name} has an empty list of issuers; leave the list out to accept all"
            )
        check_audiences(self.audiences)
        check_scopes(self.scopes_all)
        check_scopes(self.scopes_any)
        if len(self.rules) > MAX_RULES:
            raise ConfigurationError(f"a route can have at most {MAX_RULES} rules", "rules")
        if sum(entry.rule.tests for entry in self.rules) > MAX_TESTS:
            raise ConfigurationError(f"the rules of a route can have at most {MAX_TESTS} comparisons", "rules")
