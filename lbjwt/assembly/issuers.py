"""From the configured issuers to those of a verifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbjwt.assembly.decryption import decryption_of
from lbjwt.auth.issuer_pattern import TENANT
from lbjwt.auth.trusted_issuer import Revoked, TrustedIssuer
from lbjwt.auth.verifier import Verifier
from lbjwt.files import ReadFile, read_content

if TYPE_CHECKING:
    from lbjwt.auth.encrypted import Decryption
    from lbjwt.config import model


@dataclass(frozen=True, slots=True)
class IssuerInstance:
    """
    One issuer as verifier, key sources, counters and log know it.

    An issuer with a key set per tenant becomes one instance per tenant, so that no tenant's key verifies the token of another. Every other issuer
    is one instance.

    Attributes:
        index: Its number everywhere: its row in the shared stats.
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

    @property
    def key_source(self) -> object:
        """Where its keys come from. Keys of one source are never trusted for another, so a reload that changes it withdraws them."""
        issuer = self.issuer
        if issuer.remote_jwks is not None:
            place: object = tuple(map(self.of_tenant, issuer.remote_jwks.uris))
        elif issuer.remote_keys is not None:
            place = issuer.remote_keys.uri
        elif issuer.discovery is not None:
            place = self.of_tenant(issuer.issuer or "")
        else:
            place = (issuer.key_files, issuer.secret_env, issuer.jwks, issuer.pem)
        return issuer.key_source, place


def issuer_instances(configuration: model.Configuration, rows: Mapping[str, int] | None = None) -> list[IssuerInstance]:
    """
    All issuers, in the order of the configuration.

    Args:
        rows: The index of each by its name; None for their order.
    """
    found: list[IssuerInstance] = []
    for label, issuer in configuration.issuers.items():
        for tenant in issuer.instances:
            name = f"{label}/{tenant}" if tenant else label
            index = len(found) if rows is None else rows[name]
            found.append(IssuerInstance(index, name, label, issuer, tenant))
    return found


def new_verifier(
    configuration: model.Configuration,
    instances: list[IssuerInstance],
    revoked: Revoked | None = None,
    *,
    decrypts: bool = False,
) -> Verifier:
    """
    The verifier of all issuers, still without keys.

    Args:
        decrypts: Read the keys of `jwe`, as `trusted_issuers` does; otherwise it refuses encrypted tokens until it is reloaded.
    """
    trusted = {one.index: _trusted(configuration, one) for one in instances}
    return Verifier.for_issuers(
        trusted_issuers(configuration, instances) if decrypts else trusted,
        revoked=revoked,
        cache_bytes=configuration.token_cache.max_bytes,
        cache_entries=configuration.token_cache.max_entries,
    )


def trusted_issuers(
    configuration: model.Configuration, instances: list[IssuerInstance], read: ReadFile = read_content
) -> dict[int, TrustedIssuer]:
    """
    What a verifier is reloaded with. Reads the files of `jwe`, by `read`.

    Raises:
        KeySourceError: One of them cannot be used.
    """
    decryptions = {label: decryption_of(issuer.jwe, read) for label, issuer in configuration.issuers.items()}
    return {one.index: _trusted(configuration, one, decryptions[one.label]) for one in instances}


def _trusted(
    configuration: model.Configuration, instance: IssuerInstance, decryption: Decryption | None = None
) -> TrustedIssuer:
    limits, log = configuration.limits, configuration.access_log
    return TrustedIssuer(
        decryption=decryption,
        policy=instance.issuer.policy(
            instance.tenant, max_token=limits.max_token, max_token_header=limits.max_token_header
        ),
        identity_headers=tuple(
            entry.identity_header for entry in configuration.claim_to_headers if entry.issuer in (None, instance.label)
        ),
        max_identity_header=limits.max_identity_header,
        max_identity_headers=limits.max_identity_headers,
        logged_claims=log.logged(limits.max_logged_claims) if log is not None else None,
        key_source=instance.key_source,
    )
