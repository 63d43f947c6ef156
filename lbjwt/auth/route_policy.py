"""
What one route asks of a token that its issuer's policy has accepted, as one frozen value. `_route_rules` compiles it.

Whether a token must be there at all, and whether the whole route is report-only, is not said here: both are the admission's business.
"""

from dataclasses import dataclass

from lbjwt.auth.policy import check_audiences, check_scopes
from lbjwt.auth.rules import MAX_RULES, ClaimRule
from lbjwt.errors import ConfigurationError

MAX_TESTS = 1000  # in all rules of a route: each costs every token


@dataclass(frozen=True, slots=True)
class RouteRule:
    """
    One claim rule of a route.

    Attributes:
        rule: What must be true.
        report_only: A token that fails it passes, and is counted and marked in the log.
        name: For explanations; "" for the rule's own words.
    """

    rule: ClaimRule
    report_only: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePolicy:
    """
    The rules of one route, on top of those of the token's issuer.

    Attributes:
        name: Of the route.
        issuers: Indexes of the issuers whose tokens may come; None for all of them. Another one's are WRONG_ISSUER.
        audiences: One of them must be in `aud`, beside what the issuer's policy asks; None for no more than that.
        scopes_all: All of them must be granted.
        scopes_any: One of them must be granted; empty for none.
        rules: All of them must be true, else CLAIM_REFUSED.

    Raises:
        ConfigurationError: A value that nothing could meet, or that cannot be.
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
