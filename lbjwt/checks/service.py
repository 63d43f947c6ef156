"""What is dangerous about the service: listeners, identity headers, whom it believes about clients, the admin API and revocation."""

from collections.abc import Iterator

from lbjwt.checks.codes import warning
from lbjwt.config.claim_header import ClaimHeader
from lbjwt.config.model import Configuration
from lbjwt.config.problems import Problem


def service_warnings(configuration: Configuration) -> Iterator[Problem]:
    """Warnings about everything but issuers and routes."""
    for at, listener in enumerate(configuration.listeners):
        if listener.tls is None and not listener.address.is_loopback:
            yield warning(("listeners", at), "listener-plain")
    for at, network in enumerate(configuration.trusted_proxies):
        if network.prefixlen == 0:
            yield warning(("trusted_proxies", at), "trust-everyone")
    if configuration.header_names == "allow":
        yield warning(("header_names",), "header-names-allow")
    headers = configuration.claim_to_headers
    for at, header in enumerate(headers):
        told = any((one.payload or one.claim == ("iss",)) and one.issuer in (None, header.issuer) for one in headers)
        if header.claim == ("sub",) and not told and _has_several_issuers(configuration, header):
            yield warning(("claim_to_headers", at), "identity-without-issuer", at_key=True)
    admin, revocation = configuration.admin, configuration.revocation
    if admin is not None and not admin.address.is_loopback:
        yield warning(("admin", "address"), "admin-exposed")
    if revocation is not None and admin is not None and configuration.state_directory is None:
        yield warning(("revocation",), "revocation-forgotten", at_key=True)


def _has_several_issuers(configuration: Configuration, header: ClaimHeader) -> bool:
    """True when the tokens that a header comes from may have more than one `iss`."""
    of = [issuer for label, issuer in configuration.issuers.items() if header.issuer in (None, label)]
    tenants = [issuer.tenants for issuer in of if issuer.tenants is not None]
    many = any(tenant.names is None or len(tenant.names) > 1 for tenant in tenants)
    return len(of) > 1 or many or any(issuer.any_issuer for issuer in of)
