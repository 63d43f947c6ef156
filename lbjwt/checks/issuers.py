"""What is dangerous about an issuer: who is believed, for which audience and how long, with which keys, and where tokens are looked for."""

from collections.abc import Iterator

from lbjwt.checks.codes import warning
from lbjwt.config.issuer import Issuer
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.url import is_loopback_url


def issuer_warnings(configuration: Configuration) -> Iterator[Problem]:
    """Warnings about each issuer, and about keys that two of them share."""
    sources: dict[tuple[str, str], str] = {}
    for label, issuer in configuration.issuers.items():
        path: KeyPath = ("issuers", label)
        if issuer.any_issuer:
            yield warning((*path, "any_issuer"), "any-issuer")
        if issuer.any_audience and _opens_unasked(label, configuration):
            yield warning((*path, "any_audience"), "any-audience")
        if not issuer.require_expiration and issuer.max_lifetime is None:  # which asks for exp, too
            yield warning((*path, "require_expiration"), "expiration-optional")
        yield from _fetch(path, issuer)
        yield from _locations(path, issuer)
        key = issuer.key_source
        held = issuer.remote_jwks.uri if issuer.remote_jwks is not None else repr(getattr(issuer, key))
        first = sources.setdefault((key, held), label)
        if first != label and issuer.discovery is None:
            yield warning((*path, key), "keys-shared", at_key=True, other=first)
        if configuration.revocation is not None and issuer.max_lifetime is None:
            yield warning(path, "revocation-without-lifetime", at_key=True)


def _opens_unasked(label: str, configuration: Configuration) -> bool:
    """Whether its tokens open something that asks for no audience itself."""
    unasked = [route for route in configuration.routes if not route.public and not route.audiences]
    return not configuration.routes or any(one.require is None or label in one.require.labels for one in unasked)


def _fetch(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    fetch = issuer.fetch
    if fetch is None:
        return
    here: KeyPath = (*path, issuer.key_source)
    uri = issuer.remote_jwks.uri if issuer.remote_jwks is not None else issuer.issuer or ""
    if uri.startswith("http:") and not is_loopback_url(uri):
        yield warning((*here, "uri" if issuer.remote_jwks is not None else "allow_http"), "jwks-plain-http")
    if fetch.max_stale < fetch.longest_interval:
        yield warning((*here, "max_stale"), "jwks-stale-short")


def _locations(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    """Where a token is looked for: what would take one by mistake, let others plant one, or leak it."""
    for at, header in enumerate(issuer.from_headers or ()):
        if header.name.lower() == "authorization" and not header.scheme:
            yield warning((*path, "from_headers", at, "scheme"), "authorization-without-scheme")
    for at, cookie in enumerate(issuer.from_cookies):
        if not cookie.name.startswith(("__Host-", "__Secure-")):
            yield warning((*path, "from_cookies", at, "name"), "cookie-without-prefix")
    for at in range(len(issuer.from_params)):
        yield warning((*path, "from_params", at), "query-token")
