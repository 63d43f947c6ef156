"""A case of the table of unsafe configurations, and what its cases are made of."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Case", "remote", "route"]


@dataclass(frozen=True)
class Case:
    """An unsafe change, what it earns, and a safe one."""

    name: str
    code: str
    path: str
    unsafe: dict[str, Any]
    safe: dict[str, Any]
    also: set[str] = field(default_factory=set)


def remote(**changes: Any) -> dict[str, Any]:
    """An issuer whose keys are fetched."""
    return {
        "issuers.main.jwks_file": ...,
        "issuers.main.remote_jwks": {"uri": "https://issuer.example/jwks", **changes},
    }


def route(**changes: Any) -> dict[str, Any]:
    """One route for everything."""
    return {"routes": [{"name": "all", **changes}]}
