"""From the configured issuers to those of a verifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbjwt.auth.issuer_pattern import TENANT
from lbjwt.auth.verifier import Revoked, TrustedIssuer, Verifier

if TYPE_CHECKING:
    from lbjwt.config import model


@dataclass(frozen=True, slots=True)
class IssuerInstance:
    """
    One issuer as verifier, key sources, counters and log know it.

    An issuer with a key set per tenant becomes one instance per tenant, so that no tenant's key verifies the token of another. Every other issuer
    is one instance.

    Attributes:
        name: For metrics and log: the label, or ``label/tenant``.
        label: Its key in the configuration.
        tenant: "" for an instance of all tenants, or of an issuer without tenants.
    """

    index: int
    name: str
    label: str
    issuer: model.Issuer
    tenant: str = ""

    def of_tenant(self, text: str) -> str:
        """Replace the tenant's placeholder in a configured text."""
        return text.replace(TENANT, self.tenant) if self.tenant else text


def issuer_instances(configuration: model.Configuration) -> list[IssuerInstance]:
    """All issuers, in the order of the configuration."""
    found: list[IssuerInstance] = []
    for label, issuer in configuration.issuers.items():
        for tenant in issuer.instances:
            found.append(IssuerInstance(len(found), f"{label}/{tenant}" if tenant else label, label, issuer, tenant))
    return found


def new_verifier(
    configuration: model.Configuration, instances: list[IssuerInstance], revoked: Revoked | None = None
) -> Verifier:
    """The verifier of all issuers, still without keys."""
    return Verifier.for_issuers(
        [_trusted(configuration, instance) for instance in instances],
        revoked=revoked,
        cache_bytes=configuration.token_cache.max_bytes,
        cache_entries=configuration.token_cache.max_entries,
    )


def _trusted(configuration: model.Configuration, instance: IssuerInstance) -> TrustedIssuer:
    limits = configuration.limits
    return TrustedIssuer(
        policy=instance.issuer.policy(
            instance.tenant, max_token=limits.max_token, max_token_header=limits.max_token_header
        ),
        identity_headers=tuple(
            entry.identity_header for entry in configuration.claim_to_headers if entry.issuer in (None, instance.label)
        ),
        max_identity_header=limits.max_identity_header,
        max_identity_headers=limits.max_identity_headers,
    )
