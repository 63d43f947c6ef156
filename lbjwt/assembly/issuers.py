"""From the configured issuers to the ones a verifier knows: who is believed, under which rules, with which headers for endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbjwt.auth.identity import IdentityHeader
from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verifier import Revoked, TrustedIssuer, Verifier
from lbjwt.config.url import TENANT

if TYPE_CHECKING:
    from lbjwt.config import model

__all__ = ["IssuerInstance", "issuer_instances", "new_verifier"]


@dataclass(frozen=True, slots=True)
class IssuerInstance:
    """
    One issuer as verifier, key sources, counters and log know it.

    Most configured issuers are one instance. One whose keys have an address for each tenant is one instance a tenant, so that no tenant's key
    ever verifies another's token.

    Attributes:
        index: Its number everywhere.
        name: For metrics and log: the label, with the tenant behind a slash where there is one.
        label: Its key in the configuration.
        issuer: Its configuration.
        tenant: "" where it stands for all tenants, or there are none.
    """

    index: int
    name: str
    label: str
    issuer: model.Issuer
    tenant: str = ""

    def of_tenant(self, text: str) -> str:
        """A configured text with the tenant in its place."""
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
    """The verifier of all issuers, without keys yet."""
    return Verifier.for_issuers(
        [_trusted(configuration, instance) for instance in instances],
        revoked=revoked,
        cache_bytes=configuration.token_cache.max_bytes,
        cache_entries=configuration.token_cache.max_entries,
    )


def _trusted(configuration: model.Configuration, instance: IssuerInstance) -> TrustedIssuer:
    issuer = instance.issuer
    policy = IssuerPolicy(
        issuer=_name(instance),
        audiences=issuer.audiences or None,
        algorithms=issuer.algorithms,
        clock_skew=issuer.clock_skew,
        require_expiration=issuer.require_expiration,
        required_claims=issuer.required_claims,
        max_lifetime=issuer.max_lifetime,
        max_age=issuer.max_age,
        typ=issuer.typ,
        access_token_profile=issuer.access_token_profile,
        subjects=issuer.subjects or None,
        clients=issuer.clients or None,
        refuse_sender_constrained=issuer.refuse_sender_constrained,
        required_scopes=issuer.required_scopes,
        allow_padding=issuer.allow_padding,
        max_token=configuration.limits.max_token,
        max_token_header=configuration.limits.max_token_header,
    )
    return TrustedIssuer(
        policy=policy,
        identity_headers=tuple(
            IdentityHeader(
                header=entry.header,
                path=entry.claim or (),
                style="payload" if entry.payload else entry.style,
                unrepresentable=entry.unrepresentable,
            )
            for entry in configuration.claim_to_headers
            if entry.issuer in (None, instance.label)
        ),
        max_identity_header=configuration.limits.max_identity_header,
        max_identity_headers=configuration.limits.max_identity_headers,
    )


def _name(instance: IssuerInstance) -> str | IssuerPattern | None:
    issuer = instance.issuer
    if issuer.issuer is None or issuer.tenants is None or instance.tenant:
        return None if issuer.issuer is None else instance.of_tenant(issuer.issuer)
    tenants = issuer.tenants
    return IssuerPattern(
        template=issuer.issuer,
        tenants=tenants.names,
        tenant_class=tenants.kind,
        max_length=tenants.max_length,
        max_tenants=tenants.max_tenants,
    )
