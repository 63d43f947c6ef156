"""Requests that must be refused: every case, each with the one answer it must get and the one reason the operator must read. See `house`."""

from __future__ import annotations

from tests.harness import deny_claims, deny_tokens
from tests.harness.house import Denial, House

GROUPS = (
    deny_tokens.credentials,
    deny_tokens.form,
    deny_tokens.headers,
    deny_tokens.signatures,
    deny_claims.claims,
    deny_claims.issuers,
    deny_claims.states,
    deny_claims.strict,
    deny_claims.sealed,
    deny_claims.routes,
    deny_claims.styles,
)


def denials(house: House) -> list[Denial]:
    """Every case; names are unique. Times are those of now: use them within half a minute."""
    cases = [case for group in GROUPS for case in group(house)]
    assert len({case.name for case in cases}) == len(cases), "two cases share a name"
    return cases
